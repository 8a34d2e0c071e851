//! `POST /system/sources/NAME/try`: what a request would become if it was verified. Nothing is stored.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use skep_protocol::{
    Event, EventId, FunctionName, IgnoredRoute, Proof, RouteName, Verified, headers, remove_forwarding,
};
use skep_sources::Receiver;

use super::{accept, hook::Hook, request::Arrived, samples};
use crate::{
    Error, Result,
    app::App,
    input::{self, Segment},
};

/// A request as a sender would make it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tried {
    pub(super) headers: BTreeMap<String, String>,
    /// What follows the source's name.
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// The body, if it is text.
    pub(super) text: Option<String>,
    /// The body in base64.
    pub(super) body: Option<String>,
    /// The label of a sample, for all that is not given.
    pub(super) sample: Option<String>,
}

/// The event that it would be, and its routes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Would {
    id: EventId,
    #[serde(rename = "type")]
    kind: String,
    routes: Vec<WouldCall>,
    ignored: Vec<IgnoredRoute>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WouldCall {
    route: RouteName,
    function: FunctionName,
    deployed: bool,
}

pub(super) async fn try_out(
    State(app): State<Arc<App>>,
    Segment(source): Segment,
    input::Json(tried): input::Json<Tried>,
) -> Result<Json<Vec<Would>>> {
    let hook = app.hooks.source(&source)?;
    let arrived = tried.arrived(&app, &hook).await?;
    let verified = Verified { by: Proof::Test, key: None };
    let events = accept::decide(&app, &hook, None, &arrived, &verified)?;
    let would = events.into_iter().map(|event| Would {
        id: event.id,
        kind: event.kind,
        routes: event
            .decision
            .routes
            .into_iter()
            .map(|route| WouldCall {
                deployed: app.dispatch.registry().get(&route.function).is_some(),
                route: route.route,
                function: route.function,
            })
            .collect(),
        ignored: event.decision.ignored,
    });
    Ok(Json(would.collect()))
}

impl Tried {
    /// The request, as if it had come now.
    pub(super) async fn arrived(self, app: &App, hook: &Hook) -> Result<Arrived> {
        let invalid = |reason: String| Error::InvalidRequest(reason);
        let sample = match &self.sample {
            Some(label) => Some(samples::find(app, hook.name().as_str(), label).await?.event),
            None => None,
        };
        let body = match (self.text, self.body) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(body)) => STANDARD.decode(body).map_err(|error| invalid(format!("body: {error}")))?.into(),
            (None, None) => sample.as_ref().map(|sample| sample.body.clone()).unwrap_or_default(),
            (Some(_), Some(_)) => return Err(invalid("body: give it as text or as body, not both".to_owned())),
        };
        let mut headers = match &sample {
            Some(sample) => as_before_it_was_sent(hook.receiver()?, &sample.headers),
            None => HeaderMap::new(),
        };
        for (name, value) in &self.headers {
            let header: HeaderName = name.parse().map_err(|error| invalid(format!("header {name:?}: {error}")))?;
            let value = HeaderValue::from_str(value).map_err(|error| invalid(format!("header {name}: {error}")))?;
            headers.insert(header, value);
        }
        let of_sample = |part: fn(&Event) -> Option<String>| sample.as_ref().and_then(part);
        Ok(Arrived {
            method: Method::POST,
            path: Some(self.path)
                .filter(|path| !path.is_empty())
                .or_else(|| of_sample(|sample| Some(sample.path.clone())))
                .unwrap_or_default(),
            query: self.query.or_else(|| of_sample(|sample| sample.query.clone())),
            headers,
            body,
            received_at: skep_bus::now(),
            remote: None,
            trace: None,
        })
    }
}

/// The headers of a stored event without its signature, its id, and the way that it took.
fn as_before_it_was_sent(receiver: &Receiver, stored: &HeaderMap) -> HeaderMap {
    let mut headers = stored.clone();
    remove_forwarding(&mut headers);
    let gone: Vec<_> = headers.keys().filter(|name| headers::is_secret(name)).cloned().collect();
    for name in gone.iter().chain(receiver.id_headers()) {
        headers.remove(name);
    }
    headers
}
