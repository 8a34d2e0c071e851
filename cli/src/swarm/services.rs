//! How the services of a stack are, and why one is not as it should be.

use super::docker::{Refused, docker};

/// The label that functions carry.
pub(crate) const FUNCTIONS: &str = "label=com.openfaas.function";

pub(crate) struct Service {
    /// Without the name of the stack.
    pub(crate) name: String,
    pub(crate) running: String,
    pub(crate) wanted: String,
}

impl Service {
    /// Whether all tasks run that are wanted; with a health check a task runs once it is healthy.
    pub(crate) fn is_complete(&self) -> bool {
        self.running == self.wanted
    }

    /// Whether more tasks are counted than are wanted.
    pub(crate) fn has_too_many(&self) -> bool {
        self.running.parse::<usize>().unwrap_or_default() > self.wanted_tasks()
    }

    pub(crate) fn wanted_tasks(&self) -> usize {
        self.wanted.parse().unwrap_or_default()
    }
}

/// The services of the platform.
pub(crate) async fn of_stack(stack: &str) -> Result<Vec<Service>, Refused> {
    list(stack, &format!("label=com.docker.stack.namespace={stack}")).await
}

/// The services of functions.
pub(crate) async fn functions(stack: &str) -> Result<Vec<Service>, Refused> {
    list(stack, FUNCTIONS).await
}

async fn list(stack: &str, filter: &str) -> Result<Vec<Service>, Refused> {
    let listed = docker(&["service", "ls", "--filter", filter, "--format", "{{.Name}} {{.Replicas}}"]).await?;
    let services = listed.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let (running, wanted) = words.next()?.split_once('/')?;
        let name = name.strip_prefix(&format!("{stack}_")).unwrap_or(name);
        Some(Service { name: name.to_owned(), running: running.to_owned(), wanted: wanted.to_owned() })
    });
    let mut services: Vec<Service> = services.collect();
    services.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(services)
}

/// The nodes of the tasks that run, as far as Swarm knows: of a node that is lost it goes on saying so.
pub(crate) async fn nodes_of(stack: &str, service: &str) -> Result<Vec<String>, Refused> {
    let name = format!("{stack}_{service}");
    let tasks = docker(&["service", "ps", "--format", "{{.Node}} {{.CurrentState}}", &name]).await?;
    let tasks = tasks.lines().filter_map(|line| line.split_once(' '));
    Ok(tasks.filter(|(_, state)| state.starts_with("Running")).map(|(node, _)| node.to_owned()).collect())
}

/// The newest error of the service's tasks, in Docker's words.
pub(crate) async fn newest_error(stack: &str, service: &str) -> Option<String> {
    newest_error_of(&format!("{stack}_{service}")).await
}

/// The same of a service by its whole name.
pub(crate) async fn newest_error_of(name: &str) -> Option<String> {
    let tasks = docker(&["service", "ps", "--no-trunc", "--format", "{{.Error}}", name]).await.ok()?;
    tasks.lines().map(|line| line.trim_matches('"')).find(|line| !line.is_empty()).map(str::to_owned)
}

/// What to do about a task's error.
pub(crate) fn advice(stack: &str, service: &str, error: &str) -> String {
    let known = |part: &str| error.contains(part);
    if known("No such image") || known("pull access denied") || known("manifest unknown") {
        "a node has not got the image and cannot pull it: load it there, or name one in a registry with --image"
            .to_owned()
    } else if known("host-mode port already in use") {
        let (port, or) = match service {
            "image-relay" => ("--images-port", ""),
            "grafana" => ("--grafana-port", ""),
            "gateway" => ("--port", ", or fewer --gateways"),
            // It has a port for MQTT alone.
            _ => ("--mqtt-port", ""),
        };
        format!("the port is taken on every node that is left: choose another with {port}{or}")
    } else if known("max replicas per node") {
        "there is one gateway to a node at most: fewer --gateways, or more nodes".to_owned()
    } else if known("scheduling constraints not satisfied") {
        format!("no node is as its placement asks: docker service inspect --pretty {stack}_{service}")
    } else if known("insufficient resources") {
        "no node has as much memory left as is reserved".to_owned()
    } else if known("/var/run/docker.sock") {
        "the engine's socket must be at /var/run/docker.sock on the managers".to_owned()
    } else if known("sandbox") || known("vxlan") {
        "the node cannot join an overlay network: modprobe vxlan, and look into the engine's log".to_owned()
    } else {
        format!("docker service logs {stack}_{service} has its last words")
    }
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn a_port_that_is_taken_is_changed_by_the_setting_of_its_service() {
        let error = "no suitable node (host-mode port already in use on 1 node)";
        for (service, setting) in [
            ("gateway", "with --port, or fewer --gateways"),
            ("image-relay", "with --images-port"),
            ("grafana", "with --grafana-port"),
            ("nats", "with --mqtt-port"),
        ] {
            assert!(advice("skep", service, error).ends_with(setting), "{service}");
        }
    }

    #[test]
    fn advice_fits_the_error_of_the_task() {
        for (error, word) in [
            ("No such image: skep/skep:1", "--image"),
            ("no suitable node (max replicas per node limit exceed)", "--gateways"),
            ("no suitable node (scheduling constraints not satisfied on 3 nodes)", "skep_gateway"),
            ("task: non-zero exit (2)", "docker service logs skep_gateway"),
        ] {
            assert!(advice("skep", "gateway", error).contains(word), "{error}");
        }
    }
}
