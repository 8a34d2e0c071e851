//! Schedules that functions bring along, as OpenFaaS has them: the annotations `topic: cron-function` and `schedule`.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use futures_util::StreamExt;
use serde_json::{Map, Value, json};
use skep_bus::{ControllerBus, RegistryEvent, Result};
use skep_protocol::{FunctionName, SourceName};
use skep_sources::{Defaults, Receiver};
use tokio::time::sleep;
use tracing::warn;

use crate::{Error, control::Control};

const TOPIC: &str = "topic";
const CRON_TOPIC: &str = "cron-function";
const SCHEDULE: &str = "schedule";
/// Annotations of skep's own, and the keys of a schedule that they stand for.
const SETTINGS: [(&str, &str); 4] = [
    ("skep.schedule.timezone", "timezone"),
    ("skep.schedule.overlap", "overlap"),
    ("skep.schedule.missed", "missed"),
    ("skep.schedule.jitter", "jitter"),
];
const RETRY_DELAY: Duration = Duration::from_secs(2);

/// The source that a function's annotations declare.
fn declared(function: &FunctionName, annotations: &BTreeMap<String, String>) -> Option<(String, Value)> {
    let topics = annotations.get(TOPIC)?;
    if !topics.split(',').any(|topic| topic.trim() == CRON_TOPIC) {
        return None;
    }
    let expressions = annotations.get(SCHEDULE).map(String::as_str).unwrap_or_default();
    let expressions = expressions.split(';').map(str::trim).filter(|one| !one.is_empty());
    let expressions: Vec<Value> = expressions.map(|one| Value::String(one.to_owned())).collect();
    let mut spec = Map::new();
    spec.insert("cron".to_owned(), Value::Array(expressions));
    spec.insert("overlap".to_owned(), json!("allow"));
    for (annotation, key) in SETTINGS {
        if let Some(value) = annotations.get(annotation) {
            spec.insert(key.to_owned(), json!(value));
        }
    }
    spec.insert("routes".to_owned(), json!([{ "to": function.to_string(), "name": "function" }]));
    Some((format!("cron-{}", function.as_str().replace('_', "--")), Value::Object(spec)))
}

/// The source of a function, with its valid name and declaration.
fn source(
    function: &FunctionName,
    annotations: &BTreeMap<String, String>,
    defaults: &Defaults<'_>,
) -> std::result::Result<Option<(SourceName, Value)>, String> {
    let Some((name, spec)) = declared(function, annotations) else { return Ok(None) };
    let name: SourceName = name.parse().map_err(|_| {
        format!("annotation {TOPIC}: the name of the function is too long for a schedule; declare a source of your own")
    })?;
    match Receiver::from_spec(name.clone(), &spec, defaults) {
        Ok(_) => Ok(Some((name, spec))),
        Err(error) => {
            let error = error.to_string();
            let annotation = SETTINGS.iter().find(|(_, key)| error.starts_with(&format!("{key}:")));
            let annotation = annotation.map_or(SCHEDULE, |(annotation, _)| annotation);
            let reason = error.split_once(": ").map_or(error.as_str(), |(_, reason)| reason);
            Err(format!("annotation {annotation}: {reason}"))
        }
    }
}

/// Fails if the annotations of a function declare no schedule that can be.
pub(crate) fn check(
    function: &FunctionName,
    annotations: &BTreeMap<String, String>,
    defaults: &Defaults<'_>,
) -> crate::Result<()> {
    source(function, annotations, defaults).map(drop).map_err(Error::Invalid)
}

/// Keeps the sources of functions as their annotations say, until it is dropped.
pub(crate) async fn follow(bus: ControllerBus, control: std::sync::Arc<Control>) {
    loop {
        if let Err(error) = Box::pin(follow_once(&bus, &control)).await {
            warn!(error = error.chain(), "the functions cannot be followed; their schedules stay. Trying again");
        }
        sleep(RETRY_DELAY).await;
    }
}

async fn follow_once(bus: &ControllerBus, control: &Control) -> Result<()> {
    let mut events = pin!(bus.registry.watch().await?);
    let mut known: BTreeMap<FunctionName, BTreeMap<String, String>> = BTreeMap::new();
    let mut is_current = false;
    while let Some(event) = events.next().await {
        match event? {
            RegistryEvent::Put { name, record, .. } => {
                let annotations = record.deployment.annotations.clone();
                // Replicas come and go far more often than annotations change.
                if known.get(&name) == Some(&annotations) {
                    continue;
                }
                let before = known.insert(name.clone(), annotations.clone()).unwrap_or_default();
                let is_of_schedules = [&before, &annotations].iter().any(|one| declared(&name, one).is_some());
                if is_current && is_of_schedules {
                    set(bus, control, &name, &annotations).await;
                }
            }
            RegistryEvent::Deleted { name, .. } => {
                let before = known.remove(&name).unwrap_or_default();
                if is_current && declared(&name, &before).is_some() {
                    set(bus, control, &name, &BTreeMap::new()).await;
                }
            }
            RegistryEvent::Current => {
                is_current = true;
                for (name, annotations) in &known {
                    if declared(name, annotations).is_some() {
                        set(bus, control, name, annotations).await;
                    }
                }
                remove_stale(bus, control, &known).await?;
            }
        }
    }
    Ok(())
}

/// Removes the sources of functions that are gone, or that do not declare them any more.
async fn remove_stale(
    bus: &ControllerBus,
    control: &Control,
    known: &BTreeMap<FunctionName, BTreeMap<String, String>>,
) -> Result<()> {
    for source in bus.sources.list().await? {
        let Some(function) = source.record.function else { continue };
        let annotations = known.get(&function).cloned().unwrap_or_default();
        if declared(&function, &annotations).is_none() {
            set(bus, control, &function, &annotations).await;
        }
    }
    Ok(())
}

/// Makes, changes or removes the source of a function.
async fn set(bus: &ControllerBus, control: &Control, function: &FunctionName, annotations: &BTreeMap<String, String>) {
    let defaults = Defaults::new(bus.connection.default_namespace());
    let wanted = source(function, annotations, &defaults).unwrap_or_else(|reason| {
        warn!(%function, reason, "the annotations of a function declare no schedule");
        None
    });
    if let Err(error) = control.sources.set_of_function(function, wanted).await {
        warn!(%function, %error, "the schedule of a function cannot be set");
    }
}
