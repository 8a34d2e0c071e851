//! Waiting until functions are as they are to be, and saying why they are not.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use anyhow::anyhow;
use skep_protocol::{CanaryOverview, FunctionStatus, FunctionVersion, Note, format_duration};
use tokio::time::{Instant, sleep};

use super::{full_name, functions, logs, progress::Progress};
use crate::{
    client::{api::Api, table},
    failure::{Failure, Result},
    output,
};

const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// Lines of the log that are shown of a function that is not ready.
const LOG_LINES: u32 = 5;

/// A function that is waited for.
pub(super) struct Awaited {
    name: String,
    /// The replicas of the former version; all others are of the new one.
    former: Vec<String>,
    /// The version that is to become ready, if the gateway has named it.
    version: Option<u64>,
    /// What was said last of it.
    said: String,
}

impl Awaited {
    pub(super) fn updated(name: String, former: Vec<String>) -> Self {
        Self { name, former, version: None, said: String::new() }
    }

    pub(super) fn of_version(self, version: Option<u64>) -> Self {
        Self { version, ..self }
    }

    pub(super) fn scaled(name: &str) -> Self {
        Self::updated(name.to_owned(), Vec::new())
    }

    fn namespace(&self) -> &str {
        self.name.split_once('.').map_or("", |(_, namespace)| namespace)
    }

    /// The canary, if it is what is waited for.
    fn canary<'status>(&self, status: &'status FunctionStatus) -> Option<&'status CanaryOverview> {
        status.canary.as_ref().filter(|canary| Some(canary.version.number) == self.version)
    }

    fn is_ready(&self, status: &FunctionStatus) -> bool {
        if let Some(canary) = self.canary(status) {
            return canary.available_replicas >= canary.replicas;
        }
        match self.version {
            Some(_) => status.replicas == 0 || status.ready_version >= self.version,
            None => status.available_replicas == status.replicas && self.new_ones(status) == status.replicas,
        }
    }

    /// The version that has taken the place of the one that is waited for, because that did not become ready.
    fn rolled_back<'status>(&self, status: &'status FunctionStatus) -> Option<&'status FunctionVersion> {
        let version = self.version?;
        status.version.as_ref().filter(|now| now.failed() == Some(version))
    }

    fn new_ones(&self, status: &FunctionStatus) -> u64 {
        status.instances.iter().filter(|instance| !self.former.contains(instance)).count() as u64
    }

    /// What there is to say of it that was not said before.
    fn news(&mut self, status: &FunctionStatus, began: Instant) -> Option<String> {
        let is_ready = self.is_ready(status);
        let ready = if is_ready { status.replicas } else { self.new_ones(status).min(status.replicas) };
        let (count, problem) = match self.canary(status) {
            Some(canary) => {
                let CanaryOverview { available_replicas, replicas, share, .. } = canary;
                (
                    format!("{available_replicas} of {replicas} ready as a canary for {share} of the calls"),
                    &canary.problem,
                )
            }
            None => (format!("{ready} of {} ready", status.replicas), &status.problem),
        };
        let now = match problem {
            _ if is_ready => count,
            Some(problem) => format!("{count}: {problem}"),
            None => count,
        };
        if now == self.said {
            return None;
        }
        let line = format!("{}  {now}, after {:.1} s", self.name, began.elapsed().as_secs_f64());
        self.said = now;
        Some(table::one_line(&line))
    }
}

/// Waits until all replicas that are wanted of these functions are ready, and shows progress.
pub(super) async fn wait(api: &Api, mut awaited: Vec<Awaited>, timeout: Duration) -> Result<()> {
    let began = Instant::now();
    let mut failures = Vec::new();
    let all = awaited.len();
    let mut progress = Progress::of(all, "ready", !api.as_json);
    loop {
        let found = look(api, &awaited).await?;
        failures.extend(rolled_back(api, &mut awaited, &found).await);
        for one in &mut awaited {
            let status = found.get(&one.name);
            // Of many, only those with a problem are shown.
            let is_shown = !progress.is_of_many() || status.is_some_and(|status| status.problem.is_some());
            let news = status.filter(|_| is_shown).and_then(|status| one.news(status, began));
            if let Some(news) = news.filter(|_| !api.as_json) {
                output::line(news);
            }
        }
        awaited.retain(|one| !found.get(&one.name).is_some_and(|status| one.is_ready(status)));
        progress.show(all - awaited.len());
        if awaited.is_empty() {
            return Failure::all(failures);
        }
        if began.elapsed() >= timeout {
            failures.extend(not_ready(api, &awaited, &found, timeout).await);
            return Failure::all(failures);
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// How the functions are that are waited for; one that somebody has removed meanwhile is missing.
async fn look(api: &Api, awaited: &[Awaited]) -> Result<HashMap<String, FunctionStatus>> {
    let namespaces: BTreeSet<&str> = awaited.iter().map(Awaited::namespace).collect();
    let mut found = HashMap::new();
    for namespace in namespaces {
        let all = functions(api, Some(namespace)).await?.into_iter();
        found.extend(all.map(|status| (full_name(&status.name, namespace), status)));
    }
    Ok(found)
}

async fn not_ready(
    api: &Api,
    awaited: &[Awaited],
    found: &HashMap<String, FunctionStatus>,
    timeout: Duration,
) -> Vec<Failure> {
    let after = format_duration(timeout);
    let mut failures = Vec::new();
    for one in awaited {
        let name = &one.name;
        let Some(status) = found.get(name) else {
            failures.push(Failure::internal(anyhow!("{name} is no longer deployed")));
            continue;
        };
        if !api.as_json {
            logs::show_end(api, name, LOG_LINES).await;
        }
        let old = status.instances.len() as u64 - one.new_ones(status).min(status.instances.len() as u64);
        let serves = if old > 0 { "; the former version continues to serve" } else { "" };
        let why = status.problem.as_deref().map(table::one_line);
        let why = why.unwrap_or_else(|| format!("its log may say why: skep logs {name}"));
        let ready = one.new_ones(status).min(status.replicas);
        let message = format!("{name} is not ready after {after}: {ready} of {}{serves}; {why}", status.replicas);
        failures.push(Failure::internal(anyhow!(message)));
    }
    failures
}

/// Takes out those that were rolled back, and says why.
async fn rolled_back(api: &Api, awaited: &mut Vec<Awaited>, found: &HashMap<String, FunctionStatus>) -> Vec<Failure> {
    let mut failures = Vec::new();
    for one in
        awaited.extract_if(.., |one| found.get(&one.name).is_some_and(|status| one.rolled_back(status).is_some()))
    {
        let Some(now) = found.get(&one.name).and_then(|status| one.rolled_back(status)) else { continue };
        if !api.as_json {
            logs::show_end(api, &one.name, LOG_LINES).await;
        }
        let why = now.note.as_ref().map_or("its version was rolled back", Note::as_str);
        let serves = now.restores.map(|number| format!("; version {number} continues to serve")).unwrap_or_default();
        let message = format!("{}: {}{serves}", one.name, table::one_line(why));
        failures.push(Failure::internal(anyhow!(message)));
    }
    failures
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(replicas: u64, instances: &[&str], problem: Option<&str>) -> FunctionStatus {
        serde_json::from_value(json!({
            "name": "a", "image": "", "labels": {}, "annotations": {}, "invocationCount": 0, "replicas": replicas,
            "availableReplicas": instances.len(), "instances": instances, "createdAt": "2026-01-01T00:00:00Z",
            "problem": problem,
        }))
        .unwrap()
    }

    #[test]
    fn replicas_of_the_former_version_do_not_count() {
        let one = Awaited::updated("a".to_owned(), vec!["a-1".to_owned()]);
        assert!(!one.is_ready(&status(1, &["a-1"], None)));
        assert!(!one.is_ready(&status(1, &["a-1", "a-2"], None)));
        assert!(one.is_ready(&status(1, &["a-2"], None)));
        assert!(one.is_ready(&status(0, &[], None)));
        assert!(!one.is_ready(&status(2, &["a-2"], None)));
    }

    #[test]
    fn a_version_is_ready_when_the_gateway_says_so_and_failed_when_it_was_rolled_back() {
        let one = Awaited::updated("a".to_owned(), vec!["a-1".to_owned()]).of_version(Some(2));
        let mut now = status(1, &["a-1"], None);
        assert!(!one.is_ready(&now) && one.rolled_back(&now).is_none());
        now.ready_version = Some(2);
        assert!(one.is_ready(&now));
        let version = |replaces: u64| {
            let cause = "automatic-rollback";
            json!({ "number": 3, "at": "2026-01-01T00:00:00Z", "actor": "controller", "cause": cause, "replaces": replaces })
        };
        now.version = serde_json::from_value(version(2)).unwrap();
        assert_eq!(one.rolled_back(&now).unwrap().number, 3);
        now.version = serde_json::from_value(version(1)).unwrap();
        assert!(one.rolled_back(&now).is_none());
    }

    #[test]
    fn the_same_is_not_said_twice() {
        let mut one = Awaited::scaled("a.dev");
        assert_eq!(one.namespace(), "dev");
        let mut said = |status| one.news(&status, Instant::now()).unwrap_or_default();
        assert!(said(status(1, &[], None)).starts_with("a.dev  0 of 1 ready, after 0.0 s"));
        assert_eq!(said(status(1, &[], None)), "");
        assert!(said(status(1, &[], Some("no such\nfile"))).contains("0 of 1 ready: no such file"));
        assert!(said(status(1, &["a-1"], None)).contains("1 of 1 ready"));
    }
}
