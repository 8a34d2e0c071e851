//! Sends an event as a CloudEvent.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use super::{STRUCTURED, receive::decoded};
use crate::event::{Event, media_type};

/// What an HTTP header of an attribute must not have as it is; all that is not ASCII is encoded, too.
const ENCODED: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'%');

/// Sets attributes as headers; the body stays what it is.
pub(crate) fn binary(attributes: &[(String, String)], headers: &mut HeaderMap) {
    remove_attributes(headers);
    for (name, value) in attributes {
        let value = utf8_percent_encode(value, &ENCODED).to_string();
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(format!("ce-{name}")), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

#[derive(Serialize)]
struct Envelope<'b> {
    #[serde(flatten)]
    attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'b>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'b> {
    Json(&'b RawValue),
    Text(&'b str),
}

/// The event as one JSON object; JSON stays JSON, as it is written, and what is no text is in `data_base64`.
pub(crate) fn structured(attributes: Vec<(String, String)>, headers: &mut HeaderMap, body: &[u8]) -> Vec<u8> {
    remove_attributes(headers);
    let mut attributes: Map<_, _> = attributes.into_iter().map(|(name, value)| (name, value.into())).collect();
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let is_json = is_json(media_type(headers));
    if let Some(kind) = kind {
        attributes.insert("datacontenttype".to_owned(), kind.into());
    }
    let (data, data_base64) = match std::str::from_utf8(body) {
        Ok("") => (None, None),
        Ok(text) => match serde_json::from_str::<&RawValue>(text) {
            Ok(json) if is_json => (Some(Data::Json(json)), None),
            _ if is_json => (None, Some(STANDARD.encode(body))),
            _ => (Some(Data::Text(text)), None),
        },
        Err(_) => (None, Some(STANDARD.encode(body))),
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
    // Texts, and what was JSON before, are JSON.
    serde_json::to_vec(&Envelope { attributes, data, data_base64 }).unwrap_or_default()
}

/// A CloudEvent as it came, as a JSON object.
pub(crate) fn to_structured<'e>(event: &Event<'e>, headers: &mut HeaderMap) -> Cow<'e, [u8]> {
    if is_structured(headers) {
        return event.request.body.into();
    }
    let attributes = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?.to_owned(), decoded(value)?)));
    let attributes = attributes.collect();
    structured(attributes, headers, event.request.body).into()
}

/// A CloudEvent as it came, with its attributes as headers.
pub(crate) fn to_binary<'e>(event: &Event<'e>, headers: &mut HeaderMap) -> Cow<'e, [u8]> {
    #[derive(Deserialize)]
    struct Sent<'b> {
        #[serde(borrow, default)]
        data: Option<&'b RawValue>,
        #[serde(default)]
        data_base64: Option<String>,
        #[serde(default)]
        datacontenttype: Option<String>,
    }
    let body = event.request.body;
    if !is_structured(headers) {
        return body.into();
    }
    // An event that is no JSON was refused when it came.
    let (Ok(sent), Ok(all)) = (serde_json::from_slice::<Sent<'_>>(body), serde_json::from_slice::<Map<_, _>>(body))
    else {
        return body.into();
    };
    let attributes =
        all.into_iter().filter(|(name, _)| !["data", "data_base64", "datacontenttype"].contains(&name.as_str()));
    let attributes = attributes.filter_map(|(name, value)| match value {
        Value::String(text) => Some((name, text)),
        Value::Bool(_) | Value::Number(_) => Some((name, value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    });
    binary(&attributes.collect::<Vec<_>>(), headers);
    let kind = sent.datacontenttype.unwrap_or_else(|| "application/json".to_owned());
    if let Ok(value) = HeaderValue::try_from(&kind) {
        headers.insert(CONTENT_TYPE, value);
    }
    match (sent.data, sent.data_base64) {
        (_, Some(encoded)) => STANDARD.decode(encoded).unwrap_or_default().into(),
        (Some(data), None) => match serde_json::from_str::<String>(data.get()) {
            Ok(text) if !is_json(media_type(headers)) => text.into_bytes().into(),
            _ => data.get().as_bytes().into(),
        },
        (None, None) => Cow::Borrowed(&[]),
    }
}

fn remove_attributes(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("ce-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_structured(headers: &HeaderMap) -> bool {
    media_type(headers).eq_ignore_ascii_case(STRUCTURED)
}

/// Whether a body of this type is JSON; without a type it is.
fn is_json(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    kind.is_empty() || kind.ends_with("/json") || kind.ends_with("+json")
}
