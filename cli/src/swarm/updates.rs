//! Updates of the stack's services: which a deployment has begun, and what became of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    docker::{Refused, docker},
    services::FUNCTIONS,
};

/// What Swarm says of the last update of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Status {
    pub(crate) state: String,
    started_at: String,
    pub(crate) message: String,
}

/// A service as it is wanted, and its last update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    task: String,
    pub(crate) status: Status,
}

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Open,
    Done,
    /// Swarm stopped it, or went back to the version before; in its words.
    Failed(String),
}

impl Status {
    /// Whether the update came to nothing, and the service is as it was before, or in between.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.state.as_str(), "paused" | "rollback_started" | "rollback_paused" | "rollback_completed")
    }
}

/// All services of a stack, without its name.
pub(crate) async fn of_stack(stack: &str) -> Result<BTreeMap<String, Service>, Refused> {
    all(stack, &format!("label=com.docker.stack.namespace={stack}")).await
}

/// All functions, by the names of their services.
pub(crate) async fn of_functions() -> Result<BTreeMap<String, Service>, Refused> {
    all("", FUNCTIONS).await
}

async fn all(stack: &str, filter: &str) -> Result<BTreeMap<String, Service>, Refused> {
    let ids = docker(&["service", "ls", "--quiet", "--filter", filter]).await?;
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let format = "{{.Spec.Name}}\t{{json .UpdateStatus}}\t{{json .Spec.TaskTemplate}}";
    let inspect = ["service", "inspect", "--format", format];
    let reported = docker(&[&inspect[..], &ids.lines().collect::<Vec<_>>()].concat()).await?;
    Ok(reported.lines().filter_map(|line| read(stack, line)).collect())
}

fn read(stack: &str, line: &str) -> Option<(String, Service)> {
    let mut parts = line.splitn(3, '\t');
    let (name, status, task) = (parts.next()?, parts.next()?, parts.next()?);
    let name = name.strip_prefix(&format!("{stack}_")).unwrap_or(name);
    let status: Option<Status> = serde_json::from_str(status).ok()?;
    Some((name.to_owned(), Service { task: task.to_owned(), status: status.unwrap_or_default() }))
}

/// The services that a deployment changes, with how they were before.
pub(crate) struct Changed(BTreeMap<String, Status>);

impl Changed {
    /// `now` is what is there right after the deployment.
    pub(crate) fn between(before: &BTreeMap<String, Service>, now: &BTreeMap<String, Service>) -> Self {
        let is_changed = |name: &String, old: &Service| now.get(name).is_some_and(|new| new.task != old.task);
        let changed = before.iter().filter(|(name, old)| is_changed(name, old));
        Self(changed.map(|(name, old)| (name.clone(), old.status.clone())).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What has become of the update of a service by now.
    pub(crate) fn outcome(&self, name: &str, now: &Status) -> Outcome {
        match self.0.get(name) {
            None => Outcome::Done,
            // Swarm has not begun.
            Some(before) if before.started_at == now.started_at => Outcome::Open,
            Some(_) if now.has_failed() => Outcome::Failed(now.message.clone()),
            Some(_) if now.state == "completed" => Outcome::Done,
            Some(_) => Outcome::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(task: &str, state: &str, started_at: &str) -> Service {
        let (state, started_at) = (state.to_owned(), started_at.to_owned());
        Service { task: task.to_owned(), status: Status { state, started_at, message: "why".to_owned() } }
    }

    #[test]
    fn what_docker_says_is_read() {
        let line =
            "skep_gateway\t{\"State\":\"rollback_completed\",\"StartedAt\":\"1\",\"Message\":\"why\"}\t{\"a\":\"\\t\"}";
        let read_one = read("skep", line).unwrap();
        assert_eq!(read_one, ("gateway".to_owned(), service("{\"a\":\"\\t\"}", "rollback_completed", "1")));
        assert!(read_one.1.status.has_failed());
        assert_eq!(
            read("skep", "other\tnull\t{}").unwrap(),
            ("other".to_owned(), Service { task: "{}".to_owned(), ..Service::default() })
        );
    }

    #[test]
    fn an_update_is_open_until_it_is_done_or_taken_back() {
        let all = |service: Service| BTreeMap::from([("gateway".to_owned(), service)]);
        let before = all(service("1", "completed", "1"));
        let outcome = |begun: &Service, now: &Service| {
            Changed::between(&before, &all(begun.clone())).outcome("gateway", &now.status)
        };
        let begun = service("2", "completed", "1");
        assert_eq!(outcome(&begun, &begun), Outcome::Open, "the status is still that of the one before");
        assert_eq!(outcome(&begun, &service("2", "updating", "2")), Outcome::Open);
        assert_eq!(outcome(&begun, &service("2", "completed", "2")), Outcome::Done);
        for state in ["paused", "rollback_started", "rollback_completed"] {
            assert_eq!(outcome(&begun, &service("1", state, "2")), Outcome::Failed("why".to_owned()), "{state}");
        }
        let same = service("1", "rollback_completed", "1");
        assert_eq!(outcome(&same, &same), Outcome::Done, "nothing was changed");
    }
}
