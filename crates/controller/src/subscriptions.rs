//! Which functions name which topics in their annotations, as the registry has them: the controller's own view.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use skep_bus::{ControllerBus, RegistryEvent, Result};
use skep_protocol::{FunctionName, FunctionRecord, TopicPattern, topics};
use tokio::{sync::watch, time::sleep};
use tracing::warn;

const RETRY_DELAY: Duration = Duration::from_secs(2);

pub(crate) type Known = BTreeMap<FunctionName, Vec<TopicPattern>>;

/// The functions that name topics.
#[derive(Default)]
pub(crate) struct Subscriptions(watch::Sender<Arc<Known>>);

impl Subscriptions {
    /// Those of the functions that there are.
    pub(crate) fn of(functions: &[(FunctionName, FunctionRecord)]) -> Self {
        let mut known = Known::new();
        functions.iter().for_each(|(name, record)| put(&mut known, name.clone(), record));
        Self(watch::Sender::new(Arc::new(known)))
    }

    /// The functions that name one of these topics, by name.
    pub(crate) fn subscribed(&self, topics: &[String]) -> Vec<FunctionName> {
        let known = Arc::clone(&self.0.borrow());
        let wants = |patterns: &[TopicPattern]| {
            patterns.iter().any(|pattern| topics.iter().any(|topic| pattern.matches(topic)))
        };
        known.iter().filter(|(_, patterns)| wants(patterns)).map(|(name, _)| name.clone()).collect()
    }

    /// Signals each change.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Known>> {
        self.0.subscribe()
    }

    /// Follows the registry, until it is dropped. While that cannot be read, the last state is kept.
    pub(crate) async fn follow(&self, bus: ControllerBus) {
        loop {
            if let Err(error) = Box::pin(self.follow_once(&bus)).await {
                warn!(error = error.chain(), "the functions cannot be followed; their topics stay. Trying again");
            }
            sleep(RETRY_DELAY).await;
        }
    }

    async fn follow_once(&self, bus: &ControllerBus) -> Result<()> {
        let mut events = pin!(bus.registry.watch().await?);
        // Until all have been seen, none that is known is taken away.
        let (mut next, mut is_complete) = (Known::new(), false);
        while let Some(event) = events.next().await {
            match event? {
                RegistryEvent::Put { name, record, .. } => put(&mut next, name, &record),
                RegistryEvent::Deleted { name, .. } => drop(next.remove(&name)),
                RegistryEvent::Current => is_complete = true,
            }
            if is_complete {
                self.0.send_if_modified(|known| {
                    let is_changed = **known != next;
                    if is_changed {
                        *known = Arc::new(next.clone());
                    }
                    is_changed
                });
            }
        }
        Ok(())
    }
}

fn put(known: &mut Known, name: FunctionName, record: &FunctionRecord) {
    let topics = topics(&record.deployment);
    if topics.is_empty() { drop(known.remove(&name)) } else { drop(known.insert(name, topics)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn function(name: &str, topic: &str) -> (FunctionName, FunctionRecord) {
        let deployment = json!({ "service": name, "image": "i", "annotations": { "topic": topic } });
        let deployment = serde_json::from_value(deployment).unwrap();
        let record = FunctionRecord::without_replicas(deployment, 1, time::OffsetDateTime::UNIX_EPOCH);
        (name.parse().unwrap(), record)
    }

    #[test]
    fn functions_are_found_by_the_topics_that_they_name() {
        let functions = [function("b", "nightly"), function("a", "orders.*, nightly"), function("c", "cron-function")];
        let subscriptions = Subscriptions::of(&functions);
        let subscribed = |topic: &str| subscriptions.subscribed(&["none".to_owned(), topic.to_owned()]);
        assert_eq!(subscribed("nightly"), ["a", "b"].map(|name| name.parse().unwrap()));
        assert_eq!(subscribed("orders.new"), ["a".parse().unwrap()]);
        assert_eq!(subscribed("cron-function"), []);
    }
}
