//! Reads CloudEvents from a request.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode;
use serde_json::{Value, value::RawValue};

use super::{BATCH, EventError, STRUCTURED};
use crate::{Request, event::media_type};

/// Events of one batch; all of them are stored, or none.
const MAX_BATCH: usize = 1000;
const REQUIRED: [&str; 3] = ["id", "source", "type"];

/// What names a CloudEvent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) event_type: String,
}

/// The events of a request, each as a request of its own.
pub(crate) fn read<'a>(request: &Request<'a>) -> Result<Vec<(Request<'a>, Attributes)>, EventError> {
    let kind = media_type(request.headers);
    if kind.eq_ignore_ascii_case(BATCH) {
        let elements: Vec<&'a RawValue> = serde_json::from_slice(request.body)
            .map_err(|_| EventError::Malformed("a batch is a JSON array of events".to_owned()))?;
        if elements.is_empty() || elements.len() > MAX_BATCH {
            return Err(EventError::Malformed(format!("a batch has 1 to {MAX_BATCH} events")));
        }
        let elements = elements.into_iter().map(|element| {
            let request = Request { body: element.get().as_bytes(), ..*request };
            Ok((request, of_json(&request)?))
        });
        return elements.collect();
    }
    if kind.eq_ignore_ascii_case(STRUCTURED) {
        return Ok(vec![(*request, of_json(request)?)]);
    }
    if kind.get(..23).is_some_and(|kind| kind.eq_ignore_ascii_case("application/cloudevents")) {
        return Err(EventError::UnsupportedFormat(kind.chars().take(100).collect()));
    }
    for (name, value) in request.headers {
        if name.as_str().starts_with("ce-") {
            decoded(value).ok_or_else(|| EventError::Malformed(format!("{name} is not UTF-8")))?;
        }
    }
    let attributes = attributes(|name| {
        let mut values = request.headers.get_all(HeaderName::try_from(format!("ce-{name}")).ok()?).iter();
        decoded(values.next().filter(|_| values.next().is_none())?)
    })?;
    Ok(vec![(*request, attributes)])
}

fn of_json(request: &Request<'_>) -> Result<Attributes, EventError> {
    let event: Value =
        serde_json::from_slice(request.body).map_err(|_| EventError::Malformed("the body is no JSON".to_owned()))?;
    attributes(|name| event.get(name)?.as_str().map(str::to_owned))
}

fn attributes(read: impl Fn(&str) -> Option<String>) -> Result<Attributes, EventError> {
    let missing = |name: &str| EventError::Malformed(format!("attribute {name} is missing, or is no text"));
    match read("specversion").ok_or_else(|| missing("specversion"))?.as_str() {
        "1.0" => {}
        _ => return Err(EventError::Malformed("specversion is not 1.0".to_owned())),
    }
    let [id, source, event_type] =
        REQUIRED.map(|name| read(name).filter(|value| !value.is_empty()).ok_or_else(|| missing(name)));
    Ok(Attributes { id: id?, source: source?, event_type: event_type? })
}

/// The value of `ce-*`, percent-decoded once; `None` if that is not UTF-8.
pub(super) fn decoded(value: &HeaderValue) -> Option<String> {
    percent_decode(value.as_bytes()).decode_utf8().ok().map(Cow::into_owned)
}

/// An attribute of an event that was read, in whatever mode it came.
pub(crate) fn attribute<'f>(
    headers: &'f HeaderMap,
    json: impl FnOnce() -> Option<&'f Value>,
    name: &str,
) -> Option<Cow<'f, str>> {
    let kind = media_type(headers);
    if kind.eq_ignore_ascii_case(STRUCTURED) || kind.eq_ignore_ascii_case(BATCH) {
        return match json()?.get(name)? {
            Value::String(text) => Some(text.as_str().into()),
            Value::Bool(value) => Some(value.to_string().into()),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
    }
    decoded(headers.get(format!("ce-{name}"))?).map(Cow::Owned)
}

/// An event of a batch is stored alone, and its headers say so.
pub(crate) fn stored_type(headers: &mut HeaderMap) {
    if media_type(headers).eq_ignore_ascii_case(BATCH) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
    }
}
