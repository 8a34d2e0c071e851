//! Events that are NATS messages: of subjects, of a stream, or of a bucket.

use serde::Deserialize;
use serde_json::Value;
use skep_protocol::TopicStart;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::error::SourceError;

/// Subjects of one source.
const MAX_SUBJECTS: usize = 64;
const MAX_SUBJECT: usize = 250;

/// Which NATS messages are events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nats {
    pub from: Origin,
    /// Another server than skep's own.
    pub url: Option<String>,
    /// The secret with the login, if it is not skep's own.
    pub credentials: Option<String>,
}

/// Where the messages of a source are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody stores them before skep does.
    Subjects(Vec<String>),
    /// In a stream of the user's.
    Stream { name: String, subjects: Vec<String>, start: TopicStart },
    /// In the stream under a bucket of the user's.
    Bucket { name: String, subjects: Vec<String>, start: TopicStart },
    /// In a stream that skep makes for them.
    Captured(Vec<String>),
}

/// As it is declared.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spec {
    subjects: Vec<String>,
    stream: Option<String>,
    bucket: Option<String>,
    keys: Vec<String>,
    start: Option<Value>,
    capture: bool,
    url: Option<String>,
    credentials: Option<String>,
}

pub(super) fn read(spec: Spec) -> Result<Nats, SourceError> {
    checked(spec).map_err(|error| error.under("nats"))
}

fn checked(spec: Spec) -> Result<Nats, SourceError> {
    let from = match (&spec.stream, &spec.bucket, spec.capture) {
        (None, None, capture) => of_subjects(&spec, capture)?,
        (Some(stream), None, false) => of_stream(&spec, stream)?,
        (None, Some(bucket), false) => of_bucket(&spec, bucket)?,
        (Some(_), Some(_), _) => return Err(SourceError::at_key("bucket", "cannot be together with stream")),
        (_, _, true) => {
            let reason = "makes a stream, and this source has one already: leave capture out";
            return Err(SourceError::at_key("capture", reason));
        }
    };
    if spec.capture && (spec.url.is_some() || spec.credentials.is_some()) {
        let reason = "works on skep's own server and account only: leave url and credentials out";
        return Err(SourceError::at_key("capture", reason));
    }
    if let Some(url) = &spec.url {
        check_url(url).map_err(|reason| SourceError::at_key("url", reason))?;
    }
    if let Some(name) = &spec.credentials {
        skep_protocol::validate::secret_name(name)
            .map_err(|error| SourceError::at_key("credentials", error.to_string()))?;
    }
    Ok(Nats { from, url: spec.url, credentials: spec.credentials })
}

fn of_subjects(spec: &Spec, capture: bool) -> Result<Origin, SourceError> {
    if spec.start.is_some() {
        let reason = "is for a stream or a bucket: nothing is stored of subjects before skep listens";
        return Err(SourceError::at_key("start", reason));
    }
    if !spec.keys.is_empty() {
        return Err(SourceError::at_key("keys", "are those of a bucket, and none is named"));
    }
    if spec.subjects.is_empty() {
        return Err(SourceError::at_key(
            "subjects",
            "is missing: a list such as [orders.*]; or name a stream or a bucket",
        ));
    }
    let subjects = subjects(&spec.subjects, "subjects")?;
    for (index, subject) in subjects.iter().enumerate() {
        let reason = if subject.split('.').all(|token| matches!(token, "*" | ">")) {
            "matches every message, those of skep too: name a word that is no wildcard"
        } else if subject.starts_with('$') {
            "begins with $, which is NATS's own; name a bucket or a stream instead"
        } else if subject.starts_with("_INBOX") {
            "is where answers go to those who asked"
        } else if capture && subject.starts_with("*.") {
            "cannot be captured: a NATS server stores nothing that could be its own, so name the first word"
        } else {
            continue;
        };
        return Err(SourceError::new(format!("{subject} {reason}")).in_list(index).under("subjects"));
    }
    Ok(if capture { Origin::Captured(subjects) } else { Origin::Subjects(subjects) })
}

fn of_stream(spec: &Spec, stream: &str) -> Result<Origin, SourceError> {
    if !spec.keys.is_empty() {
        return Err(SourceError::at_key("keys", "are those of a bucket; a stream has subjects"));
    }
    check_name(stream).map_err(|reason| SourceError::at_key("stream", reason))?;
    let subjects = subjects(&spec.subjects, "subjects")?;
    Ok(Origin::Stream { name: stream.to_owned(), subjects, start: start(spec.start.as_ref())? })
}

fn of_bucket(spec: &Spec, bucket: &str) -> Result<Origin, SourceError> {
    if !spec.subjects.is_empty() {
        return Err(SourceError::at_key("subjects", "are those of a stream; a bucket has keys"));
    }
    check_name(bucket).map_err(|reason| SourceError::at_key("bucket", reason))?;
    let keys = subjects(&spec.keys, "keys")?;
    let keys = if keys.is_empty() { vec![">".to_owned()] } else { keys };
    let subjects = keys.iter().map(|key| format!("$KV.{bucket}.{key}")).collect();
    Ok(Origin::Bucket { name: bucket.to_owned(), subjects, start: start(spec.start.as_ref())? })
}

/// Checks that each is a subject, perhaps with wildcards.
fn subjects(given: &[String], key: &str) -> Result<Vec<String>, SourceError> {
    if given.len() > MAX_SUBJECTS {
        return Err(SourceError::at_key(key, format!("has more than {MAX_SUBJECTS}")));
    }
    for (index, subject) in given.iter().enumerate() {
        check_subject(subject).map_err(|reason| SourceError::new(reason).in_list(index).under(key))?;
        if given.iter().take(index).any(|other| other == subject) {
            return Err(SourceError::new(format!("{subject} is there twice")).in_list(index).under(key));
        }
    }
    Ok(given.to_vec())
}

pub(super) fn check_subject(subject: &str) -> Result<(), String> {
    let last = subject.split('.').count().saturating_sub(1);
    let is_token = |(place, token): (usize, &str)| match token {
        "*" => true,
        ">" => place == last,
        token => !token.is_empty() && !token.contains(|letter: char| letter.is_whitespace() || letter.is_control()),
    };
    if subject.len() > MAX_SUBJECT {
        return Err(format!("has more than {MAX_SUBJECT} bytes"));
    }
    if subject.split('.').enumerate().all(is_token) {
        return Ok(());
    }
    Err(format!(
        "{subject:?} is no subject: words with dots between them, * for any one, > at the end for all that follow"
    ))
}

/// A stream or a bucket.
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if !name.is_empty() && name.len() <= 200 && name.chars().all(allowed) {
        return Ok(());
    }
    Err("must have letters, digits, - and _ only".to_owned())
}

fn start(given: Option<&Value>) -> Result<TopicStart, SourceError> {
    let error = || {
        let reason = "must be new, all, a time such as 2026-11-01T00:00:00Z, or {after: 4711}, a place in the stream";
        SourceError::at_key("start", reason)
    };
    match given {
        None => Ok(TopicStart::New),
        Some(Value::Object(map)) if map.len() == 1 => {
            map.get("after").and_then(Value::as_u64).map(TopicStart::After).ok_or_else(error)
        }
        Some(Value::String(text)) => match text.as_str() {
            "new" => Ok(TopicStart::New),
            "all" => Ok(TopicStart::All),
            text => OffsetDateTime::parse(text, &Rfc3339).map(TopicStart::At).map_err(|_| error()),
        },
        Some(_) => Err(error()),
    }
}

fn check_url(url: &str) -> Result<(), String> {
    let parsed: Option<url::Url> = url.parse().ok();
    let parsed = parsed.filter(|url| ["nats", "tls"].contains(&url.scheme()) && url.has_host());
    let Some(parsed) = parsed else {
        return Err("must be the URL of a NATS server, such as nats://nats.example.com:4222 or tls://…".to_owned());
    };
    if parsed.username().is_empty() && parsed.password().is_none() {
        return Ok(());
    }
    Err("must not have a login, which everybody could read: put it into a secret and name that as credentials"
        .to_owned())
}

impl Nats {
    /// Why the messages cannot be events, where skep's own subjects and streams begin with this prefix.
    pub(crate) fn clash(&self, prefix: &str) -> Option<SourceError> {
        let first = |subject: &str| subject.split('.').next().unwrap_or_default() == prefix;
        if self.url.is_some() {
            return None;
        }
        let (key, name) = match &self.from {
            Origin::Subjects(subjects) | Origin::Captured(subjects) => {
                let index = subjects.iter().position(|subject| first(subject))?;
                let reason = format!("{} is one of skep's own subjects, which begin with {prefix}.", subjects[index]);
                return Some(SourceError::new(reason).in_list(index).under("subjects"));
            }
            Origin::Stream { name, .. } => ("stream", name),
            Origin::Bucket { name, .. } => ("bucket", name),
        };
        let own = format!("{}_", prefix.to_ascii_uppercase());
        let is_own = name.starts_with(&own) || name.starts_with(&format!("KV_{own}"));
        is_own.then(|| SourceError::at_key(key, format!("{name} is skep's own")))
    }

    /// What it is about, as in its events: the subject, or the key of a bucket.
    pub(crate) fn topic<'s>(&self, subject: &'s str) -> &'s str {
        match &self.from {
            Origin::Bucket { name, .. } => {
                let key = subject.strip_prefix("$KV.").and_then(|rest| rest.strip_prefix(name.as_str()));
                key.and_then(|key| key.strip_prefix('.')).unwrap_or(subject)
            }
            Origin::Subjects(_) | Origin::Stream { .. } | Origin::Captured(_) => subject,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nats(spec: Value) -> Result<Nats, SourceError> {
        read(serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn messages_come_from_subjects_a_stream_a_bucket_or_a_stream_of_skep() {
        let from = |spec: Value| nats(spec).unwrap().from;
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(from(json!({ "subjects": ["orders.*"] })), Origin::Subjects(texts(&["orders.*"])));
        assert_eq!(from(json!({ "subjects": ["a.>"], "capture": true })), Origin::Captured(texts(&["a.>"])));
        let (name, subjects) = ("PAY".to_owned(), texts(&["pay.>"]));
        let start = TopicStart::After(4711);
        let expected = Origin::Stream { name, subjects, start };
        assert_eq!(from(json!({ "stream": "PAY", "subjects": ["pay.>"], "start": { "after": 4711 } })), expected);
        let bucket = nats(json!({ "bucket": "settings", "keys": ["app.*"], "start": "all" })).unwrap();
        let Origin::Bucket { subjects, start, .. } = &bucket.from else { panic!("{bucket:?}") };
        assert_eq!((subjects, *start), (&texts(&["$KV.settings.app.*"]), TopicStart::All));
        assert_eq!(bucket.topic("$KV.settings.app.x"), "app.x");
        let at = from(json!({ "stream": "S", "start": "2026-11-01T00:00:00Z" }));
        assert!(matches!(at, Origin::Stream { start: TopicStart::At(_), .. }), "{at:?}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_key_and_the_fix() {
        for (spec, expected) in [
            (json!({}), "nats.subjects: is missing"),
            (json!({ "subjects": [">"] }), "nats.subjects[0]: > matches every message"),
            (json!({ "subjects": ["*.>"] }), "nats.subjects[0]: *.> matches every message"),
            (json!({ "subjects": ["$JS.API.>"] }), "begins with $"),
            (json!({ "subjects": ["_INBOX.a"] }), "answers"),
            (json!({ "subjects": ["a..b"] }), "is no subject"),
            (json!({ "subjects": ["a.>.b"] }), "is no subject"),
            (json!({ "subjects": ["a", "a"] }), "nats.subjects[1]: a is there twice"),
            (json!({ "subjects": ["a"], "start": "all" }), "nats.start: is for a stream"),
            (json!({ "stream": "A.B" }), "nats.stream: must have letters"),
            (json!({ "stream": "A", "start": "then" }), "nats.start: must be new"),
            (json!({ "stream": "A", "bucket": "b" }), "nats.bucket: cannot be together"),
            (json!({ "stream": "A", "capture": true }), "nats.capture: makes a stream"),
            (json!({ "bucket": "b", "subjects": ["a"] }), "a bucket has keys"),
            (json!({ "subjects": ["a"], "url": "http://a" }), "nats.url: must be the URL"),
            (json!({ "subjects": ["a"], "url": "nats://me:secret@a" }), "put it into a secret"),
            (json!({ "subjects": ["a"], "capture": true, "url": "nats://a" }), "own server"),
            (json!({ "subjects": ["a"], "credentials": "../x" }), "nats.credentials"),
            (json!({ "subjects": ["a", "*.b"], "capture": true }), "nats.subjects[1]: *.b cannot be captured"),
        ] {
            let error = nats(spec).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret@"), "{error}");
        }
    }

    #[test]
    fn skeps_own_subjects_and_streams_are_no_events_but_those_of_another_server() {
        let clash = |spec: Value| nats(spec).unwrap().clash("hive").map(|error| error.to_string());
        for own in [
            json!({ "subjects": ["a", "hive.publish.x"] }),
            json!({ "stream": "HIVE_EVENTS" }),
            json!({ "bucket": "HIVE_SOURCES" }),
            json!({ "stream": "KV_HIVE_SOURCES" }),
        ] {
            assert!(clash(own.clone()).is_some(), "{own}");
        }
        assert_eq!(clash(json!({ "subjects": ["hives.x", "skep.x"] })), None);
        assert_eq!(clash(json!({ "subjects": ["hive.x"], "url": "nats://other" })), None);
    }
}
