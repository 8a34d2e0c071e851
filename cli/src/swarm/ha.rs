//! Three NATS servers on three nodes: which nodes, and the password that the servers have among themselves.

use super::{
    docker::{Refused, docker},
    finding::Finding,
    nodes::{self, NATS_LABEL, Node},
    settings::Settings,
};
use crate::output;

/// The servers' numbers; there is one to a node.
const SERVERS: [u32; 3] = [1, 2, 3];
/// How the servers connect to one another: part of their settings.
pub(crate) const SECRET: &str = "nats-routes";

/// The content of the secret.
pub(crate) fn routes(password: &str) -> String {
    let routes = SERVERS.map(|number| format!("nats://skep-route:{password}@nats-{number}:6222"));
    let routes = routes.join(", ");
    format!("authorization {{ user: skep-route, password: {password}, timeout: 5 }}\nroutes: [{routes}]\n")
}

/// Whether it can be done here.
pub(super) async fn check(settings: &Settings) -> Result<Vec<Finding>, Refused> {
    let stack = &settings.now.name;
    let former = if settings.ha { format!("{stack}_nats") } else { format!("{stack}_nats-1") };
    let replicas = docker(&["service", "inspect", "--format", "{{.Spec.Mode.Replicated.Replicas}}", &former]).await;
    let mut findings = Vec::new();
    if replicas.is_ok_and(|replicas| replicas != "0") {
        let what = if settings.ha { "one NATS server" } else { "three NATS servers" };
        findings.push(Finding::wrong(
            format!("the stack has {what}, and what is stored does not move by itself"),
            "skep swarm backup FILE, skep swarm down, then this again with --restore FILE; docs/operations.md has the steps",
        ));
    }
    if !settings.ha {
        return Ok(findings);
    }
    if settings.mqtt_port.is_some() {
        findings.push(Finding::wrong("MQTT is not for three NATS servers yet", "--mqtt-port 0, or --ha=false"));
    }
    let nodes = nodes::all().await?;
    findings.push(match plan(&nodes, settings.now.replace_node.as_deref()) {
        Ok(_) => Finding::fine("three nodes for three NATS servers"),
        Err(reason) if settings.now.replace_node.is_some() => Finding::wrong(
            reason,
            "docker node ls shows the nodes; a new one joins with what docker swarm join-token worker prints",
        ),
        Err(reason) => {
            Finding::wrong(reason, "join more nodes (docker swarm join-token worker), or skep swarm up without --ha")
        }
    });
    for node in nodes.iter().filter(|node| node.nats.is_some() && !node.is_ready) {
        let Node { name, nats, .. } = node;
        if settings.now.replace_node.as_ref() != Some(name) {
            let number = nats.unwrap_or_default();
            findings.push(Finding::note(format!(
                "{name} is down, and nats-{number} waits for it; if it is gone for good: skep swarm up --replace-node {name}"
            )));
        }
    }
    Ok(findings)
}

/// Gives the nodes their labels.
pub(super) async fn place(settings: &Settings) -> Result<(), Refused> {
    let nodes = nodes::all().await?;
    if let Some(lost) = nodes.iter().find(|node| Some(&node.name) == settings.now.replace_node.as_ref()) {
        docker(&["node", "update", "--label-rm", NATS_LABEL, &lost.id]).await?;
    }
    let chosen = plan(&nodes, settings.now.replace_node.as_deref()).map_err(Refused)?;
    for (number, node) in chosen {
        docker(&["node", "update", "--label-add", &format!("{NATS_LABEL}={number}"), &node.id]).await?;
        output::line(format_args!("  nats-{number} is on {}", node.name));
    }
    Ok(())
}

/// Which servers get which nodes, beside those that have theirs already.
fn plan<'nodes>(nodes: &'nodes [Node], lost: Option<&str>) -> Result<Vec<(u32, &'nodes Node)>, String> {
    if let Some(lost) = lost
        && !nodes.iter().any(|node| node.name == lost && node.nats.is_some() && !node.is_ready)
    {
        return Err(format!("{lost} is not a node that is down and has a NATS server"));
    }
    let has_server = |node: &&Node| node.nats.is_some() && Some(node.name.as_str()) != lost;
    let taken: Vec<u32> = nodes.iter().filter(has_server).filter_map(|node| node.nats).collect();
    let free = nodes.iter().filter(|node| node.nats.is_none() && node.is_ready && node.is_active);
    let mut free: Vec<&Node> = free.collect();
    // Managers first, because they are meant to stay.
    free.sort_by(|one, other| other.is_manager.cmp(&one.is_manager).then(one.name.cmp(&other.name)));
    let mut free = free.into_iter();
    SERVERS
        .into_iter()
        .filter(|number| !taken.contains(number))
        .map(|number| Ok((number, free.next().ok_or("there are too few nodes for three NATS servers")?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, is_ready: bool, is_manager: bool, nats: Option<u32>) -> Node {
        let (id, name, address) = (name.to_owned(), name.to_owned(), String::new());
        Node { id, name, address, is_ready, is_active: true, is_manager, nats }
    }

    fn planned(nodes: &[Node], lost: Option<&str>) -> Result<Vec<(u32, String)>, String> {
        plan(nodes, lost).map(|plan| plan.into_iter().map(|(number, node)| (number, node.name.clone())).collect())
    }

    #[test]
    fn managers_come_first_and_each_node_has_one_server_at_most() {
        let nodes = [node("a", true, false, None), node("b", true, true, None), node("c", true, false, None)];
        let expected = [(1, "b".to_owned()), (2, "a".to_owned()), (3, "c".to_owned())];
        assert_eq!(planned(&nodes, None).unwrap(), expected);
        assert!(planned(&nodes[..2], None).unwrap_err().contains("too few"));
    }

    #[test]
    fn a_server_stays_where_it_is_until_its_node_is_replaced() {
        let nodes = [
            node("a", false, true, Some(1)),
            node("b", true, true, Some(2)),
            node("c", true, true, Some(3)),
            node("d", true, false, None),
        ];
        assert_eq!(planned(&nodes, None).unwrap(), []);
        assert_eq!(planned(&nodes, Some("a")).unwrap(), [(1, "d".to_owned())]);
        assert!(planned(&nodes, Some("b")).unwrap_err().contains("not a node that is down"));
        assert!(planned(&nodes[..3], Some("a")).unwrap_err().contains("too few"));
    }

    #[test]
    fn the_routes_name_all_servers_with_their_password() {
        let text = routes("s1");
        assert!(text.contains("password: s1,") && text.contains("nats://skep-route:s1@nats-3:6222]"), "{text}");
    }
}
