//! A task of a Swarm service as the engine reports it; the client library leaves out its addresses.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use serde::Deserialize;
use skep_scaling::nodes::Size;

use super::labels;

/// Where a watchdog listens in its container.
const FUNCTION_PORT: u16 = 8080;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Task {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "NodeID")]
    pub(super) node: String,
    #[serde(rename = "ServiceID")]
    pub(super) service: String,
    slot: u64,
    spec: TaskSpec,
    pub(super) status: TaskStatus,
    desired_state: String,
    #[serde(deserialize_with = "null_is_none")]
    networks_attachments: Vec<Attachment>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TaskSpec {
    container_spec: ContainerSpec,
    force_update: u64,
    #[serde(deserialize_with = "null_is_none")]
    resources: Resources,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Resources {
    #[serde(deserialize_with = "null_is_none")]
    reservations: Reservations,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Reservations {
    #[serde(rename = "NanoCPUs")]
    nano_cpus: u64,
    memory_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerSpec {
    #[serde(deserialize_with = "null_is_none")]
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct TaskStatus {
    /// When it entered this state; the timestamps of one engine sort as text.
    pub(super) timestamp: String,
    pub(super) state: String,
    pub(super) message: String,
    pub(super) err: String,
    #[serde(deserialize_with = "null_is_none")]
    container_status: ContainerStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ContainerStatus {
    exit_code: i64,
}

impl TaskStatus {
    /// With which code its program ended, if it has.
    pub(super) fn exit_code(&self) -> i64 {
        self.container_status.exit_code
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Attachment {
    network: Network,
    #[serde(deserialize_with = "null_is_none")]
    addresses: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Network {
    #[serde(rename = "ID")]
    id: String,
}

/// The version of a service's spec that something was created from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Generation {
    pub(super) fingerprint: String,
    /// How often new tasks were forced with the same spec.
    pub(super) force_update: u64,
}

impl Task {
    /// The function that it is a replica of, by its name in the registry.
    pub(super) fn function(&self) -> Option<&str> {
        self.label(labels::FUNCTION)
    }

    pub(super) fn generation(&self) -> Generation {
        Generation {
            fingerprint: self.label(labels::FINGERPRINT).unwrap_or_default().to_owned(),
            force_update: self.spec.force_update,
        }
    }

    /// Whether its container runs and should keep running.
    ///
    /// With a health check in its image, a task may still be starting although its watchdog already answers.
    pub(super) fn is_up(&self) -> bool {
        self.desired_state == "running" && matches!(self.status.state.as_str(), "starting" | "running")
    }

    /// Whether its container is known to run, and therefore has its address.
    pub(super) fn runs(&self) -> bool {
        self.status.state == "running"
    }

    /// Whether it is starting, or has failed to start.
    pub(super) fn is_waited_for(&self) -> bool {
        matches!(self.desired_state.as_str(), "running" | "ready")
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.status.state.as_str(), "failed" | "rejected") || (self.status.state == "complete")
    }

    /// Whether it waits because no node has what it reserves.
    pub(super) fn lacks_resources(&self) -> bool {
        self.status.state == "pending" && self.status.err.contains("insufficient resources")
    }

    pub(super) fn reserves(&self) -> Size {
        let Reservations { nano_cpus, memory_bytes } = self.spec.resources.reservations;
        Size { nano_cpus, memory: memory_bytes }
    }

    /// Whether its service has a task on each node; only those of other services have a slot.
    pub(super) fn is_of_each_node(&self) -> bool {
        self.slot == 0
    }

    /// Whether its container is on its node, or about to be, also if it is to end.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.status.state.as_str(), "assigned" | "accepted" | "preparing" | "ready" | "starting" | "running")
    }

    /// The address of its watchdog on a network, by the network's id.
    pub(super) fn address(&self, network: &str) -> Option<SocketAddr> {
        let attached = self.networks_attachments.iter().find(|attachment| attachment.network.id == network)?;
        let address = attached.addresses.first()?;
        // `10.0.1.5/24`
        let address: IpAddr = address.split('/').next()?.parse().ok()?;
        Some(SocketAddr::new(address, FUNCTION_PORT))
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.spec.container_spec.labels.get(key).map(String::as_str)
    }
}

/// Groups tasks by function.
pub(super) fn by_function(tasks: Vec<Task>) -> HashMap<String, Vec<Task>> {
    let mut found: HashMap<String, Vec<Task>> = HashMap::new();
    for task in tasks {
        if let Some(function) = task.function() {
            found.entry(function.to_owned()).or_default().push(task);
        }
    }
    found
}

fn null_is_none<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A task in a state, with the network `net`.
    pub(in super::super) fn task(id: &str, desired: &str, state: &str, fingerprint: &str) -> Task {
        let text = format!(
            r#"{{"ID":"{id}","NodeID":"n","Spec":{{"ContainerSpec":{{"Labels":{{"skep.function":"f",
            "skep.fingerprint":"{fingerprint}"}}}},"ForceUpdate":0}},"Status":{{"State":"{state}","Timestamp":"1"}},
            "DesiredState":"{desired}","NetworksAttachments":[{{"Network":{{"ID":"net"}},"Addresses":["10.0.1.5/24"]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_the_engine_tells_is_read() {
        let task = task("a", "running", "running", "1");
        assert_eq!(task.function(), Some("f"));
        assert_eq!(task.address("net"), Some("10.0.1.5:8080".parse().unwrap()));
        assert_eq!(task.address("other"), None);
        assert!(task.is_up());
        let sparse: Task = serde_json::from_str(r#"{"ID":"b","NetworksAttachments":null,"Spec":{}}"#).unwrap();
        assert!(sparse.address("net").is_none() && !sparse.is_up() && sparse.function().is_none());
    }

    #[test]
    fn only_tasks_that_run_and_are_to_run_are_up() {
        for (desired, state, up) in [
            ("running", "running", true),
            ("running", "starting", true),
            ("running", "preparing", false),
            ("shutdown", "running", false),
            ("shutdown", "failed", false),
            ("ready", "ready", false),
        ] {
            assert_eq!(task("a", desired, state, "1").is_up(), up, "{desired} {state}");
        }
    }
}
