//! `ack`: the answer to an accepted event.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use crate::reference::{ParseError, quoted};

/// The answer to an accepted event: 202 without a body, 200 with one, unless `status` says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenAck", into = "WrittenAck")]
pub struct Ack {
    pub status: StatusCode,
    /// With the content type.
    pub headers: HeaderMap,
    pub body: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAck {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    body: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
}

impl Default for Ack {
    fn default() -> Self {
        Self { status: StatusCode::ACCEPTED, headers: HeaderMap::new(), body: String::new() }
    }
}

impl TryFrom<WrittenAck> for Ack {
    type Error = ParseError;

    fn try_from(written: WrittenAck) -> Result<Self, ParseError> {
        let default = if written.body.is_empty() { StatusCode::ACCEPTED } else { StatusCode::OK };
        let status = written.status.map_or(Ok(default), |status| success(status, "ack"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &written.headers {
            let name: HeaderName =
                name.parse().map_err(|_| ParseError(format!("`ack` has no name of a header in {}", quoted(name))))?;
            headers.insert(name, value_of(value)?);
        }
        if let Some(content_type) = &written.content_type {
            headers.insert(CONTENT_TYPE, value_of(content_type)?);
        }
        Ok(Self { status, headers, body: written.body })
    }
}

impl From<Ack> for WrittenAck {
    fn from(ack: Ack) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut headers: BTreeMap<_, _> =
            ack.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let content_type = headers.remove(CONTENT_TYPE.as_str());
        Self { status: Some(ack.status.as_u16()), content_type, body: ack.body, headers }
    }
}

fn value_of(text: &str) -> Result<HeaderValue, ParseError> {
    text.parse().map_err(|_| ParseError(format!("`ack` cannot send {} in a header", quoted(text))))
}

/// A status that tells the provider that all is well; a redirect is a failure to all of them.
pub(crate) fn success(status: u16, key: &str) -> Result<StatusCode, ParseError> {
    StatusCode::from_u16(status)
        .ok()
        .filter(StatusCode::is_success)
        .ok_or_else(|| ParseError(format!("`status` of `{key}` is {status}, and must be from 200 to 299")))
}
