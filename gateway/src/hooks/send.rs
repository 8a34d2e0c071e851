//! `POST /system/sources/NAME/send`: a request that is signed here, and takes the whole way of one that came from outside.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json,
    body::{Body, to_bytes},
    extract::State,
    response::IntoResponse,
};
use http::{HeaderMap, HeaderValue, Method, Request, request::Parts};
use serde::{Deserialize, Serialize};
use skep_http::Peer;
use skep_protocol::{EventId, headers};

use super::{hook::Hook, metrics::Outcome, receive, request::Arrived, trial::Tried};
use crate::{
    Error, Result,
    app::App,
    input::{self, Segment},
};

/// The most of an answer that is shown.
const MAX_TOLD_BYTES: usize = 256 * 1024;

/// A request that the gateway is to make to itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    headers: BTreeMap<String, String>,
    /// What follows the source's name.
    path: String,
    query: Option<String>,
    /// The body, if it is text.
    text: Option<String>,
    /// The body in base64.
    body: Option<String>,
    /// The label of a sample, for all that is not given.
    sample: Option<String>,
    /// It is sent as it is.
    unsigned: bool,
}

/// What the sender would have got.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered {
    status: u16,
    /// None if it is held, or answers a challenge, or if it is a batch of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    duplicate: bool,
    /// It could not be verified, and is kept until it can be.
    held: bool,
    /// The code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    headers: BTreeMap<String, String>,
    body: String,
}

pub(super) async fn send(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Segment(source): Segment,
    input::Json(asked): input::Json<Asked>,
) -> Result<Json<Answered>> {
    let hook = app.hooks.source(&source)?;
    let Asked { headers, path, query, text, body, sample, unsigned } = asked;
    let mut arrived = Tried { headers, path, query, text, body, sample }.arrived(&app, &hook).await?;
    prepare(&hook, &mut arrived)?;
    let arrived = if unsigned { arrived } else { hook.sign(arrived)? };
    let (parts, body) = as_http(&hook, arrived)?;
    let (outcome, response) = match Box::pin(receive::taken(&app, &hook, &peer, parts, body)).await {
        Ok(taken) => taken,
        Err(refused) => (None, refused.into_response()),
    };
    let (parts, body) = response.into_parts();
    // A function's answer may be longer; its end is left out.
    let body = to_bytes(body, MAX_TOLD_BYTES).await.unwrap_or_default();
    let text = |name| parts.headers.get(name).map(text_of);
    Ok(Json(Answered {
        status: parts.status.as_u16(),
        event_id: text(headers::SKEP_EVENT_ID),
        duplicate: parts.headers.contains_key(headers::SKEP_DUPLICATE),
        held: outcome == Some(Outcome::Held),
        error: text(headers::SKEP_ERROR),
        headers: all(&parts.headers),
        body: String::from_utf8_lossy(&body).into_owned(),
    }))
}

/// Makes up what names the event, so that two of them are two events, and takes a verb that the source takes.
fn prepare(hook: &Hook, arrived: &mut Arrived) -> Result<()> {
    let receiver = hook.receiver()?;
    let methods = receiver.methods();
    if !methods.contains(&Method::POST) {
        arrived.method = methods.first().cloned().unwrap_or(Method::POST);
    }
    let absent = receiver.absent_id_header(&arrived.as_request()).cloned();
    if let (Some(name), Ok(id)) = (absent, HeaderValue::from_str(EventId::generate().as_str())) {
        arrived.headers.insert(name, id);
    }
    Ok(())
}

fn as_http(hook: &Hook, arrived: Arrived) -> Result<(Parts, Body)> {
    let Arrived { method, path, query, headers, body, .. } = arrived;
    if !path.is_empty() && !path.starts_with('/') {
        return Err(Error::InvalidRequest(format!("path: {path:?} must begin with /")));
    }
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let uri = format!("{}{}{path}{query}", super::ROUTE, hook.name());
    let request = Request::builder().method(method).uri(uri).body(Body::from(body));
    let request = request.map_err(|error| Error::InvalidRequest(format!("path or query: {error}")))?;
    let (mut parts, body) = request.into_parts();
    parts.headers = headers;
    Ok((parts, body))
}

fn all(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers.iter().map(|(name, value)| (name.to_string(), text_of(value))).collect()
}

fn text_of(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
