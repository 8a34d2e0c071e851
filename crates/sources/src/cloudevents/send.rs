//! Sends an event as a CloudEvent.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde_json::value::RawValue;

use super::STRUCTURED;

/// What an HTTP header of an attribute must not have as it is; all that is not ASCII is encoded, too.
const ENCODED: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'%');

/// The attributes that an event is sent with, by name.
pub(crate) type Sent = Vec<(&'static str, String)>;

/// Sets the attributes as headers; the body stays what it is.
pub(crate) fn binary(attributes: &Sent, headers: &mut HeaderMap) {
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
    attributes: serde_json::Map<String, serde_json::Value>,
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
pub(crate) fn structured(attributes: &Sent, headers: &mut HeaderMap, body: &[u8]) -> Vec<u8> {
    let mut attributes: serde_json::Map<_, _> =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let is_json = is_json(kind.as_deref());
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
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
    // Texts and what was JSON before are JSON.
    serde_json::to_vec(&Envelope { attributes, data, data_base64 }).unwrap_or_default()
}

/// Whether a body of this type is JSON; without a type it is.
fn is_json(kind: Option<&str>) -> bool {
    let Some(kind) = kind else { return true };
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.ends_with("/json") || kind.ends_with("+json")
}
