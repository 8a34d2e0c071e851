//! A source as it is declared, in a stack file or over the API; the names in YAML and JSON are the same.

use std::{collections::BTreeMap, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;
use skep_protocol::{Backoff, RetryCodes};

use crate::{
    ack::Ack,
    challenge_rule::Challenge,
    error::SourceError,
    kind::Kind,
    message,
    preset::{BodyRule, Otherwise},
    reference::Reference,
    scheme::Verify,
    template::Template,
    values::{self, Rate},
};

/// How long an event is kept, and its id counts, unless the source says otherwise.
pub const DEFAULT_KEEP: Duration = Duration::from_secs(7 * 86_400);
/// The longest body, unless source or preset say otherwise.
pub const DEFAULT_MAX_BODY: u64 = 1 << 20;

/// A source as it is declared.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// How its events come, with the keys that only this kind has.
    #[serde(skip)]
    pub kind: Kind,
    /// A provider that skep knows.
    pub preset: Option<String>,
    /// How requests are verified where there is no preset.
    pub verify: Option<Verify>,
    /// Where the keys are: files, or a named secret for challenges and the file that it is in.
    pub secrets: Vec<SecretUse>,
    /// The address that the provider knows, where that is signed.
    pub url: Option<String>,
    /// Verbs of events.
    pub methods: Vec<String>,
    /// Addresses that may send; none is any.
    #[serde(deserialize_with = "values::networks")]
    pub allow: Vec<IpNet>,
    #[serde(deserialize_with = "values::size")]
    pub max_body: Option<u64>,
    #[serde(deserialize_with = "values::rate")]
    pub rate: Option<Rate>,
    #[serde(deserialize_with = "values::duration")]
    pub keep: Option<Duration>,
    #[serde(deserialize_with = "values::switch")]
    pub dedup: Option<bool>,
    #[serde(deserialize_with = "values::word")]
    pub unverified: Unverified,
    #[serde(deserialize_with = "values::word")]
    pub answer: AnswerBy,
    /// How long the sender waits for the function's answer.
    #[serde(deserialize_with = "values::duration")]
    pub wait: Option<Duration>,
    pub ack: Option<Ack>,
    /// A source without an event for this long is reported.
    #[serde(deserialize_with = "values::duration")]
    pub expect_every: Option<Duration>,
    pub disabled: bool,
    /// A disabled source answers 410, and senders stop.
    pub gone: bool,
    pub paused: bool,
    /// Where the event's id is; the first reference that is there counts.
    pub id: Option<Vec<Reference>>,
    /// What makes the id where there is none.
    #[serde(rename = "else", deserialize_with = "values::maybe_word")]
    pub otherwise: Option<Otherwise>,
    /// The template of the event's type.
    #[serde(rename = "type")]
    pub event_type: Option<Template>,
    pub body: Option<BodyRule>,
    pub challenge: Option<Vec<Challenge>>,
    /// How far a signed time may be from now, in place of the preset's.
    #[serde(deserialize_with = "values::duration")]
    pub tolerance: Option<Duration>,
    /// Headers that are not stored as they came.
    pub redact: Vec<String>,
    /// The stack that it is of, if a stack file with a name declares it.
    pub stack: Option<String>,
    pub routes: Vec<RouteSpec>,
}

/// A file with keys, one a line, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// What a challenge calls it; `None` is a key that events are verified with.
    pub name: Option<String>,
    pub file: String,
}

/// What becomes of events that cannot be verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unverified {
    /// The sender gets 401; a copy is held.
    #[default]
    Reject,
    /// The sender gets its answer; the event is held.
    Hold,
}

/// What the sender of an event gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerBy {
    /// The source's `ack`, when the event is stored.
    #[default]
    Ack,
    /// The function's own answer, if it comes in time.
    Function,
}

/// A route from a source to a function, as it is declared.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteSpec {
    pub to: String,
    pub name: Option<String>,
    pub filter: Option<Value>,
    pub path: Option<String>,
    pub send: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub through: Vec<String>,
    #[serde(deserialize_with = "values::duration")]
    pub delay: Option<Duration>,
    pub debounce: Option<DebounceSpec>,
    pub serial: Option<Value>,
    pub retry: Option<RetryOverride>,
    pub callback: Option<String>,
}

/// Which events of a route replace each other.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebounceSpec {
    /// A path whose value separates what is debounced; without it all events of the route are one.
    #[serde(default)]
    pub key: Option<String>,
    #[serde(deserialize_with = "values::duration")]
    pub wait: Option<Duration>,
    #[serde(default, deserialize_with = "values::duration")]
    pub at_most: Option<Duration>,
}

/// What a route says of retries, in place of the function's annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryOverride {
    pub attempts: Option<u64>,
    #[serde(deserialize_with = "values::from_text")]
    pub codes: Option<RetryCodes>,
    #[serde(deserialize_with = "values::duration")]
    pub min_wait: Option<Duration>,
    #[serde(deserialize_with = "values::duration")]
    pub max_wait: Option<Duration>,
    #[serde(deserialize_with = "values::from_text")]
    pub backoff: Option<Backoff>,
    #[serde(deserialize_with = "values::duration")]
    pub max_age: Option<Duration>,
}

impl Source {
    /// Reads a declaration; the error names the key.
    pub fn from_spec(spec: &Value) -> Result<Self, SourceError> {
        let Value::Object(declaration) = spec else {
            return Err(SourceError::new("must be a mapping with keys such as preset, cron, nats and routes"));
        };
        let mut declaration = declaration.clone();
        let kind = Kind::take(&mut declaration)?;
        let source: Self =
            serde_path_to_error::deserialize(Value::Object(declaration)).map_err(|error| SourceError::read(&error))?;
        let secrets = kind.messages().and_then(message::login).map_or(source.secrets, |login| vec![login]);
        Ok(Self { kind, secrets, ..source })
    }
}

impl<'de> Deserialize<'de> for SecretUse {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let error = || serde::de::Error::custom("a secret is a name, or one named secret such as {verify_token: NAME}");
        match Value::deserialize(deserializer)? {
            Value::String(file) => Ok(Self { name: None, file }),
            Value::Object(map) if map.len() == 1 => match map.into_iter().next() {
                Some((name, Value::String(file))) => Ok(Self { name: Some(name), file }),
                _ => Err(error()),
            },
            _ => Err(error()),
        }
    }
}
