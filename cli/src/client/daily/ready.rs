//! Waiting until functions are as they are to be, and saying why they are not.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use anyhow::anyhow;
use skep_protocol::{FunctionStatus, format_duration};
use tokio::time::{Instant, sleep};

use super::{full_name, functions, logs};
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
    /// What was said last of it.
    said: String,
}

impl Awaited {
    pub(super) fn updated(name: String, former: Vec<String>) -> Self {
        Self { name, former, said: String::new() }
    }

    pub(super) fn scaled(name: &str) -> Self {
        Self::updated(name.to_owned(), Vec::new())
    }

    fn namespace(&self) -> &str {
        self.name.split_once('.').map_or("", |(_, namespace)| namespace)
    }

    fn is_ready(&self, status: &FunctionStatus) -> bool {
        status.available_replicas == status.replicas && self.new_ones(status) == status.replicas
    }

    fn new_ones(&self, status: &FunctionStatus) -> u64 {
        status.instances.iter().filter(|instance| !self.former.contains(instance)).count() as u64
    }

    /// What there is to say of it that was not said before.
    fn news(&mut self, status: &FunctionStatus, began: Instant) -> Option<String> {
        let count = format!("{} of {} ready", self.new_ones(status).min(status.replicas), status.replicas);
        let now = match &status.problem {
            _ if self.is_ready(status) => count,
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

/// Waits until all replicas that are wanted of these functions are ready, and tells what happens meanwhile.
pub(super) async fn wait(api: &Api, mut awaited: Vec<Awaited>, timeout: Duration) -> Result<()> {
    let began = Instant::now();
    loop {
        let found = look(api, &awaited).await?;
        for one in &mut awaited {
            let news = found.get(&one.name).and_then(|status| one.news(status, began));
            if let Some(news) = news.filter(|_| !api.as_json) {
                output::line(news);
            }
        }
        awaited.retain(|one| !found.get(&one.name).is_some_and(|status| one.is_ready(status)));
        if awaited.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= timeout {
            return Err(not_ready(api, &awaited, &found, timeout).await);
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
) -> Failure {
    let after = format_duration(timeout);
    let mut failures = Vec::new();
    for one in awaited {
        let name = &one.name;
        let Some(status) = found.get(name) else {
            failures.push(Failure::internal(anyhow!("{name} is not deployed any more")));
            continue;
        };
        if !api.as_json {
            logs::show_end(api, name, LOG_LINES).await;
        }
        let old = status.instances.len() as u64 - one.new_ones(status).min(status.instances.len() as u64);
        let serves = if old > 0 { "; the former version goes on serving" } else { "" };
        let why = status.problem.as_deref().map(table::one_line);
        let why = why.unwrap_or_else(|| format!("its log may say why: skep logs {name}"));
        let ready = one.new_ones(status).min(status.replicas);
        let message = format!("{name} is not ready after {after}: {ready} of {}{serves}; {why}", status.replicas);
        failures.push(Failure::internal(anyhow!(message)));
    }
    Failure::all(failures).err().unwrap_or_else(|| Failure::internal(anyhow!("not ready after {after}")))
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
