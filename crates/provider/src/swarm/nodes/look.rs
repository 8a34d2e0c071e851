//! What the cluster looks like now.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{Node as DockerNode, NodeSpecRoleEnum, NodeState};
use skep_scaling::nodes::{Cluster, Node, Pending, Phase, Seconds};

use super::{
    super::{
        engine::{Engine, Result},
        task::Task,
    },
    ADDITION, ELASTIC, PHASE, SINCE,
};

#[derive(Default)]
pub(super) struct Seen {
    pub(super) cluster: Cluster,
    /// The manager that has the label of the last addition.
    pub(super) manager: Option<String>,
    /// What Swarm says about a task that waits.
    pub(super) reason: String,
}

pub(super) async fn look(engine: &Engine, short_since: &mut HashMap<String, Seconds>, now: Seconds) -> Result<Seen> {
    let nodes = engine.nodes().await?;
    let tasks = engine.every_task().await?;
    Ok(combine(&nodes, &tasks, short_since, now))
}

fn combine(nodes: &[DockerNode], tasks: &[Task], short_since: &mut HashMap<String, Seconds>, now: Seconds) -> Seen {
    let mut seen = Seen::default();
    let mut managers: Vec<&DockerNode> = Vec::new();
    for node in nodes {
        match node.spec.as_ref().and_then(|spec| spec.role) {
            Some(NodeSpecRoleEnum::MANAGER) => managers.push(node),
            _ => seen.cluster.nodes.extend(worker(node, tasks)),
        }
    }
    let first = managers.into_iter().min_by(|one, other| one.id.cmp(&other.id));
    seen.manager = first.and_then(|manager| manager.id.clone());
    seen.cluster.addition = first.and_then(|manager| label(manager, ADDITION)?.parse().ok());
    let mut pending: BTreeMap<String, Pending> = BTreeMap::new();
    for task in tasks.iter().filter(|task| task.lacks_resources()) {
        let function = task.function().map_or_else(|| task.service.clone(), str::to_owned);
        let since = *short_since.entry(function.clone()).or_insert(now);
        let new = Pending { function: function.clone(), tasks: 0, each: task.reserves(), since };
        pending.entry(function).or_insert(new).tasks += 1;
        seen.reason.clone_from(&task.status.err);
    }
    short_since.retain(|function, _| pending.contains_key(function));
    seen.cluster.pending = pending.into_values().collect();
    seen
}

fn worker(node: &DockerNode, tasks: &[Task]) -> Option<Node> {
    let id = node.id.clone()?;
    let here = || tasks.iter().filter(|task| task.node == id && task.is_there());
    let is_elastic = label(node, ELASTIC) == Some("elastic");
    let phase = label(node, PHASE).and_then(|phase| phase.parse().ok()).unwrap_or(Phase::Active);
    Some(Node {
        hostname: node.description.as_ref().and_then(|node| node.hostname.clone()).unwrap_or_default(),
        up: node.status.as_ref().and_then(|status| status.state) == Some(NodeState::READY),
        phase: is_elastic.then_some(phase),
        since: label(node, SINCE).and_then(|since| since.parse().ok()).unwrap_or_default(),
        tasks: here().filter(|task| !task.is_of_each_node()).count(),
        all_tasks: here().count(),
        id,
    })
}

fn label<'node>(node: &'node DockerNode, key: &str) -> Option<&'node str> {
    node.spec.as_ref()?.labels.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use skep_scaling::nodes::{Addition, Size};

    use super::*;

    fn nodes() -> Vec<DockerNode> {
        let text = r#"[
            {"ID":"m2","Spec":{"Role":"manager"},"Description":{"Hostname":"two"},"Status":{"State":"ready"}},
            {"ID":"m1","Spec":{"Role":"manager","Labels":{"skep.node.addition":"17 2 accepted"}}},
            {"ID":"w1","Spec":{"Role":"worker"},"Description":{"Hostname":"own"},"Status":{"State":"ready"}},
            {"ID":"w2","Spec":{"Role":"worker","Labels":{"skep.node":"elastic","skep.node.state":"draining","skep.node.since":"99"}},
             "Description":{"Hostname":"elastic-1"},"Status":{"State":"down"}}]"#;
        serde_json::from_str(text).unwrap()
    }

    fn task(node: &str, slot: u64, state: &str, err: &str) -> Task {
        let text = format!(
            r#"{{"ID":"t","ServiceID":"s","NodeID":"{node}","Slot":{slot},"DesiredState":"running",
            "Status":{{"State":"{state}","Err":"{err}"}},
            "Spec":{{"ContainerSpec":{{"Labels":{{"skep.function":"f"}}}},
            "Resources":{{"Limits":{{}},"Reservations":{{"NanoCPUs":500000000,"MemoryBytes":1024}}}}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn nodes_have_their_phases_and_tasks() {
        let tasks = [task("w2", 0, "running", ""), task("w2", 1, "running", ""), task("w2", 2, "shutdown", "")];
        let seen = combine(&nodes(), &tasks, &mut HashMap::new(), 100);
        assert_eq!(seen.manager.as_deref(), Some("m1"));
        assert_eq!(seen.cluster.addition, Some(Addition { at: 17, count: 2, accepted: true }));
        let [own, elastic] = &seen.cluster.nodes[..] else { panic!("{:?}", seen.cluster.nodes) };
        assert!(own.phase.is_none() && own.up);
        assert_eq!((elastic.phase, elastic.since, elastic.up), (Some(Phase::Draining), 99, false));
        assert_eq!((elastic.tasks, elastic.all_tasks), (1, 2));
    }

    #[test]
    fn only_tasks_that_lack_resources_wait_for_machines() {
        let lack = "no suitable node (insufficient resources on 2 nodes)";
        let other = "no suitable node (scheduling constraints not satisfied on 2 nodes)";
        let tasks = [task("", 1, "pending", lack), task("", 2, "pending", lack), task("", 3, "pending", other)];
        let mut since = HashMap::new();
        combine(&[], &tasks, &mut since, 100);
        let seen = combine(&[], &tasks, &mut since, 120);
        let each = Size { nano_cpus: 500_000_000, memory: 1024 };
        assert_eq!(seen.cluster.pending, [Pending { function: "f".to_owned(), tasks: 2, each, since: 100 }]);
        assert_eq!(seen.reason, lack);
        combine(&[], &[], &mut since, 125);
        assert!(since.is_empty());
    }
}
