//! The nodes of a Swarm, as far as Swarm knows how they are.

use super::docker::{Refused, docker};

pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Where other nodes reach it.
    pub(crate) address: String,
    pub(crate) is_ready: bool,
    /// Whether it may get tasks.
    pub(crate) is_active: bool,
    pub(crate) is_manager: bool,
    /// Which of the three NATS servers it has, by its label.
    pub(crate) nats: Option<u32>,
}

/// The label of a node that has a NATS server.
pub(crate) const NATS_LABEL: &str = "skep.nats";

pub(crate) async fn all() -> Result<Vec<Node>, Refused> {
    let ids = docker(&["node", "ls", "--quiet"]).await?;
    let format = format!(
        "{{{{.ID}}}} {{{{.Description.Hostname}}}} {{{{.Status.Addr}}}} {{{{.Status.State}}}} {{{{.Spec.Availability}}}} {{{{.Spec.Role}}}} {{{{index .Spec.Labels {NATS_LABEL:?}}}}}"
    );
    let inspect = ["node", "inspect", "--format", &format];
    let reported = docker(&[&inspect[..], &ids.lines().collect::<Vec<_>>()].concat()).await?;
    Ok(reported.lines().filter_map(read).collect())
}

/// The names of those that are lost.
pub(crate) async fn gone() -> Result<Vec<String>, Refused> {
    Ok(all().await?.into_iter().filter(|node| !node.is_ready).map(|node| node.name).collect())
}

fn read(line: &str) -> Option<Node> {
    let mut words = line.split(' ');
    let (id, name, address, state) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let (availability, role) = (words.next()?, words.next()?);
    Some(Node {
        id: id.to_owned(),
        name: name.to_owned(),
        address: address.to_owned(),
        is_ready: state == "ready",
        is_active: availability == "active",
        is_manager: role == "manager",
        nats: words.next().and_then(|number| number.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_says_of_a_node_is_read() {
        let node = read("x1 node1 10.0.0.1 down active manager 2").unwrap();
        assert!(!node.is_ready && node.is_active && node.is_manager && node.nats == Some(2));
        assert_eq!((node.name.as_str(), node.address.as_str()), ("node1", "10.0.0.1"));
        let node = read("x2 node2 10.0.0.2 ready drain worker ").unwrap();
        assert!(node.is_ready && !node.is_active && !node.is_manager && node.nats.is_none());
    }
}
