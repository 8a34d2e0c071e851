//! Reads and checks what is declared of a schedule.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use skep_protocol::{Missed, Overlap};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Declared, Schedule,
    times::{self, Rule},
    zone,
};
use crate::{
    added_header::AddedHeader,
    error::SourceError,
    route::{added_headers, check_path},
    values::cut,
};

/// Keys that make a source a schedule.
pub(crate) const MARKERS: &[&str] = &["cron", "every"];

/// All keys of a schedule.
pub(in super::super) const KEYS: &[&str] = &[
    "cron",
    "every",
    "offset",
    "timezone",
    "overlap",
    "missed",
    "missed_within",
    "jitter",
    "from",
    "until",
    "body",
    "type",
    "headers",
    "path",
];

const MAX_EXPRESSIONS: usize = 50;
const DAY: Duration = Duration::from_secs(86_400);
/// The longest of `missed_within` and `jitter`.
const MAX_WITHIN: Duration = Duration::from_secs(366 * 86_400);

pub(in super::super) fn read(declared: Declared) -> Result<Schedule, SourceError> {
    let at = |key: &'static str| move |reason: String| SourceError::at_key(key, reason);
    let zone = declared.timezone.as_deref().unwrap_or("UTC");
    let zone = zone::named(zone).map_err(at("timezone"))?;
    let rule = rule(&declared, &zone)?;
    let time = |key: &'static str, text: &Option<String>| text.as_deref().map(read_time).transpose().map_err(at(key));
    let (from, until) = (time("from", &declared.from)?, time("until", &declared.until)?);
    if let (Some(from), Some(until)) = (from, until)
        && until < from
    {
        return Err(SourceError::at_key("until", "must not be before from"));
    }
    let missed_within = declared.missed_within.unwrap_or(DAY);
    if missed_within > MAX_WITHIN {
        return Err(SourceError::at_key("missed_within", "must be 366d or less"));
    }
    let jitter = declared.jitter.unwrap_or_default();
    if jitter.subsec_nanos() > 0 || jitter > DAY {
        return Err(SourceError::at_key("jitter", "must be whole seconds, and 24h or less"));
    }
    if let Some(path) = &declared.path {
        check_path(path)?;
    }
    let (body, is_json) = body(declared.body.as_ref());
    let mut headers = added_headers(&declared.headers).map_err(|error| error.under("headers"))?;
    if is_json && headers.iter().all(|(name, _)| *name != CONTENT_TYPE) {
        headers.push((CONTENT_TYPE, AddedHeader::parse("application/json").map_err(SourceError::new)?));
    }
    Ok(Schedule {
        rule,
        zone,
        from,
        until,
        overlap: declared.overlap.unwrap_or(Overlap::Skip),
        missed: declared.missed.unwrap_or(Missed::Latest),
        missed_within,
        jitter,
        event_type: declared.event_type.map(|text| event_type(&text)).transpose()?,
        headers,
        path: declared.path.unwrap_or_default(),
        body,
    })
}

fn rule(declared: &Declared, zone: &jiff::tz::TimeZone) -> Result<Rule, SourceError> {
    let cron = match (&declared.cron, declared.every) {
        (Some(_), Some(_)) => {
            return Err(SourceError::at_key("every", "cannot be together with cron: make two sources of it"));
        }
        (None, Some(every)) => {
            return times::every(every, declared.offset).map_err(|(key, reason)| SourceError::at_key(key, reason));
        }
        (cron, None) => cron.clone().unwrap_or_default(),
    };
    if declared.offset.is_some() {
        return Err(SourceError::at_key("offset", "needs every"));
    }
    let at = |reason: String| SourceError::at_key("cron", reason);
    let list = match cron {
        Value::String(one) => vec![Value::String(one)],
        Value::Array(list) if (1..=MAX_EXPRESSIONS).contains(&list.len()) => list,
        _ => {
            return Err(at(format!(
                "must be an expression such as \"0 3 * * *\", or a list of 1 to {MAX_EXPRESSIONS}"
            )));
        }
    };
    let read = list.iter().map(|one| {
        let text = one.as_str().ok_or_else(|| at("must be texts such as \"0 3 * * *\"".to_owned()))?;
        times::expression(text, zone).map_err(at)
    });
    read.collect::<Result<Vec<_>, _>>().map(|read| Rule::Cron(read.concat()))
}

fn read_time(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text.trim(), &Rfc3339)
        .map_err(|_| format!("{:?} is not a time such as 2026-12-01T00:00:00Z", cut(text)))
}

/// What is no text is JSON.
fn body(given: Option<&Value>) -> (Bytes, bool) {
    match given {
        None | Some(Value::Null) => (Bytes::new(), false),
        Some(Value::String(text)) => (text.clone().into(), false),
        Some(json) => (json.to_string().into(), true),
    }
}

fn event_type(text: &str) -> Result<String, SourceError> {
    let allowed = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '.' | '_' | '-');
    if text.is_empty() || text.len() > 100 || !text.chars().all(allowed) {
        return Err(SourceError::at_key("type", "must be of lower-case letters, digits and .-_, at most 100"));
    }
    Ok(text.to_owned())
}
