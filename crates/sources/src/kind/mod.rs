//! How events come to a source. Each kind has keys of its own, and shares the rest with all others.

pub(crate) mod mqtt;
mod nats;
mod platform;
mod program;
mod schedule;

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub use self::mqtt::Mqtt;
pub use self::nats::{Nats, Origin};
pub use self::platform::{OwnEvent, PlatformEvents};
pub use self::program::{Format, Program};
pub use self::schedule::{Due, Gap, Listed, Schedule, Step};
use crate::error::SourceError;

/// How events come to a source.
#[derive(Clone, Debug, Default)]
pub enum Kind {
    /// As requests to `/hooks/NAME`.
    #[default]
    Webhook,
    /// At times that a schedule plans.
    Schedule(Schedule),
    /// As NATS messages.
    Nats(Nats),
    /// As MQTT messages.
    Mqtt(Mqtt),
    /// As lines that a program prints.
    Program(Program),
    /// From skep itself.
    Platform(PlatformEvents),
}

/// Keys that every kind has.
const SHARED: [&str; 11] =
    ["dedup", "disabled", "else", "expect_every", "id", "keep", "paused", "redact", "routes", "stack", "type"];

/// Keys of webhooks alone.
const WEBHOOK: [&str; 16] = [
    "ack",
    "allow",
    "answer",
    "body",
    "challenge",
    "gone",
    "max_body",
    "methods",
    "preset",
    "rate",
    "secrets",
    "tolerance",
    "unverified",
    "url",
    "verify",
    "wait",
];

/// A kind that is not a webhook: its name, the keys that make a source one of it, and all keys of its own.
struct Shape {
    name: &'static str,
    markers: &'static [&'static str],
    keys: &'static [&'static str],
    read: fn(&Value) -> Result<Kind, SourceError>,
}

const SHAPES: [Shape; 5] = [
    Shape {
        name: "schedule",
        markers: schedule::MARKERS,
        keys: schedule::KEYS,
        read: |own| schedule::read(read(own)?).map(Kind::Schedule),
    },
    Shape {
        name: "nats",
        markers: &["nats"],
        keys: &["nats"],
        read: |own| nats::read(at("nats", own)?).map(Kind::Nats),
    },
    Shape {
        name: "mqtt",
        markers: &["mqtt"],
        keys: &["mqtt"],
        read: |own| mqtt::read(&at("mqtt", own)?).map(Kind::Mqtt),
    },
    Shape {
        name: "program",
        markers: &["program"],
        keys: program::KEYS,
        read: |own| program::read(own).map(Kind::Program),
    },
    Shape {
        name: "skep",
        markers: &["skep"],
        keys: &["skep"],
        read: |own| platform::read(at("skep", own)?).map(Kind::Platform),
    },
];

impl Kind {
    /// What the API calls it: `webhook`, `schedule`, `nats`, `mqtt`, `program` or `skep`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Schedule(_) => "schedule",
            Self::Nats(_) => "nats",
            Self::Mqtt(_) => "mqtt",
            Self::Program(_) => "program",
            Self::Platform(_) => "skep",
        }
    }

    /// Which messages are its events, if messages are.
    pub fn messages(&self) -> Option<&Nats> {
        match self {
            Self::Nats(nats) => Some(nats),
            Self::Mqtt(mqtt) => Some(&mqtt.messages),
            Self::Webhook | Self::Schedule(_) | Self::Program(_) | Self::Platform(_) => None,
        }
    }

    /// Why its messages cannot be events, where skep's own subjects and streams begin with this prefix.
    pub(crate) fn clash(&self, prefix: &str) -> Option<SourceError> {
        let clash = self.messages()?.clash(prefix)?;
        let clash = if let Self::Mqtt(_) = self { SourceError::at_key("topics", clash.reason()) } else { clash };
        Some(clash.under(self.name()))
    }

    /// What a message is about, as in its event: the subject, the key of a bucket, or the MQTT topic.
    pub fn topic_of<'s>(&self, subject: &'s str) -> Cow<'s, str> {
        match self {
            Self::Mqtt(_) => mqtt::to_topic(subject).into(),
            Self::Nats(nats) => nats.topic(subject).into(),
            Self::Webhook | Self::Schedule(_) | Self::Program(_) | Self::Platform(_) => subject.into(),
        }
    }

    pub fn is_webhook(&self) -> bool {
        matches!(self, Self::Webhook)
    }

    pub(crate) fn prints_cloudevents(&self) -> bool {
        matches!(self, Self::Program(Program { format: Format::CloudEvents, .. }))
    }

    /// Reads what makes a declaration one of its kind, and leaves the keys that all kinds share, and those of webhooks.
    pub(crate) fn take(declaration: &mut Map<String, Value>) -> Result<Self, SourceError> {
        let is_marked = |shape: &&Shape| shape.markers.iter().any(|key| declaration.contains_key(*key));
        let mut marked = SHAPES.iter().filter(is_marked);
        let (shape, other) = (marked.next(), marked.next());
        if let (Some(one), Some(other)) = (shape, other) {
            let reason = format!("this source is a {} and a {}: make two sources of it", one.name, other.name);
            return Err(SourceError::new(reason));
        }
        let (name, own) = shape.map_or(("webhook", &WEBHOOK[..]), |shape| (shape.name, shape.keys));
        if let Some(key) = declaration.keys().find(|key| !own.contains(&&***key) && !SHARED.contains(&&***key)) {
            let is_webhook = declaration.keys().any(|key| WEBHOOK.contains(&&**key));
            let reason = missing_marker(key).filter(|_| shape.is_none() && !is_webhook);
            return Err(SourceError::at_key(key, reason.unwrap_or_else(|| foreign(key, name, own))));
        }
        let Some(shape) = shape else { return Ok(Self::Webhook) };
        let own = own.iter().filter_map(|key| declaration.remove_entry(*key)).collect();
        (shape.read)(&Value::Object(own))
    }
}

/// What makes a source one of the kind that this key is of.
fn missing_marker(key: &str) -> Option<String> {
    let shape = SHAPES.iter().find(|shape| shape.keys.contains(&key))?;
    Some(format!("is for sources of the kind {}, which this one is with {}", shape.name, shape.markers.join(" or ")))
}

/// Why a source of a kind has no such key.
fn foreign(key: &str, kind: &str, own: &[&str]) -> String {
    let allowed = own.iter().chain(&SHARED).copied().collect::<Vec<_>>().join(", ");
    let owner = SHAPES.iter().find(|shape| shape.keys.contains(&key)).map(|shape| shape.name);
    let owner = owner.or_else(|| WEBHOOK.contains(&key).then_some("webhook"));
    match owner {
        Some(owner) => format!("is for sources of the kind {owner}; this one is a {kind} and can have {allowed}"),
        None => format!("is unknown; a {kind} can have {allowed}"),
    }
}

fn read<T: DeserializeOwned>(own: &Value) -> Result<T, SourceError> {
    serde_path_to_error::deserialize(own).map_err(|error| SourceError::read(&error))
}

/// Reads what stands under the only key of a kind.
fn at<T: DeserializeOwned>(key: &str, own: &Value) -> Result<T, SourceError> {
    read(&own[key]).map_err(|error| error.under(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Source;

    fn refused(spec: &Value) -> String {
        Source::from_spec(spec).unwrap_err().to_string()
    }

    #[test]
    fn each_key_of_a_webhook_is_known_and_no_other() {
        let Err(error) = serde_json::from_value::<Source>(json!({ "none": 1 })) else { panic!("a key that is none") };
        let text = error.to_string();
        let known = text.split('`').skip(3).step_by(2);
        let mut known: Vec<&str> = known.collect();
        let mut listed: Vec<&str> = SHARED.into_iter().chain(WEBHOOK).collect();
        known.sort_unstable();
        listed.sort_unstable();
        assert_eq!(known, listed);
    }

    #[test]
    fn a_key_of_another_kind_is_refused_with_what_is_allowed() {
        for (spec, expected) in [
            (
                json!({ "every": "1h", "preset": "github" }),
                "preset: is for sources of the kind webhook; this one is a schedule and can have cron",
            ),
            (
                json!({ "verify": "none", "overlap": "skip" }),
                "overlap: is for sources of the kind schedule; this one is a webhook",
            ),
            (json!({ "every": "1h", "nats": {} }), "this source is a schedule and a nats"),
            (
                json!({ "timezone": "UTC", "overlap": "skip", "routes": [] }),
                "overlap: is for sources of the kind schedule, which this one is with cron or every",
            ),
            (
                json!({ "ack": "stdin", "format": "json" }),
                "format: is for sources of the kind program; this one is a webhook",
            ),
            (json!({ "format": "json" }), "format: is for sources of the kind program, which this one is with program"),
            (json!({ "corn": "* * * * *" }), "corn: is unknown; a webhook can have ack"),
        ] {
            let error = refused(&spec);
            assert!(error.contains(expected), "{error}");
        }
    }
}
