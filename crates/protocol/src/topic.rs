//! Topics: subjects that sources listen to, and the annotation by which a function takes events of any source.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{FunctionDeployment, Setting};

/// The annotation that names topics, as OpenFaaS's connectors read it: separated by commas, each exact or with `*` and `>`.
pub const TOPIC: &str = "topic";
/// What this names is a schedule of the function's own.
const SCHEDULED: &str = "cron-function";

/// A subject as NATS has it: tokens with dots between them, `*` for any one, `>` for all that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern(String);

impl TopicPattern {
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether it is this topic, or one that its wildcards stand for.
    pub fn matches(&self, topic: &str) -> bool {
        let mut tokens = topic.split('.');
        for pattern in self.0.split('.') {
            match (pattern, tokens.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (pattern, Some(token)) if pattern == token => {}
                (_, Some(_)) => return false,
            }
        }
        tokens.next().is_none()
    }
}

/// The topics that a function names.
pub fn topics(deployment: &FunctionDeployment) -> Vec<TopicPattern> {
    let given = Setting::Annotation(TOPIC).of(deployment).unwrap_or_default();
    let topics = given.split(',').map(str::trim).filter(|topic| !topic.is_empty() && *topic != SCHEDULED);
    topics.map(TopicPattern::new).collect()
}

/// Where reading of a stream begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TopicStart {
    /// With what comes from now on.
    #[default]
    New,
    All,
    At(OffsetDateTime),
    /// Behind a place in the stream.
    After(u64),
}

/// How far a source has come with its topic; queue-workers write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicState {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What keeps it from taking messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Messages of a stream that are not stored as events yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_subjects_do() {
        let matches = |pattern: &str, topic: &str| TopicPattern::new(pattern).matches(topic);
        assert!(matches("orders", "orders") && matches("orders.*", "orders.new") && matches("orders.>", "orders.a.b"));
        assert!(matches("*.new", "orders.new") && matches(">", "a") && matches("a b", "a b"));
        for (pattern, topic) in
            [("orders", "orders.new"), ("orders.>", "orders"), ("orders.*", "orders.a.b"), ("Orders", "orders")]
        {
            assert!(!matches(pattern, topic), "{pattern} {topic}");
        }
    }

    #[test]
    fn a_function_names_topics_and_a_schedule_is_none_of_them() {
        let of = |annotation: &str| {
            let deployment =
                serde_json::json!({ "service": "f", "image": "i", "annotations": { "topic": annotation } });
            topics(&serde_json::from_value(deployment).unwrap())
        };
        assert_eq!(of("github, orders.*,cron-function,"), ["github", "orders.*"].map(TopicPattern::new));
        assert_eq!(of("cron-function"), []);
    }
}
