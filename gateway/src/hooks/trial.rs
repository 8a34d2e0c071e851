//! `POST /system/sources/NAME/try`: what a request would become if it was verified. Nothing is stored.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use skep_protocol::{EventId, FunctionName, IgnoredRoute, Proof, RouteName, Verified};

use super::{accept, request::Arrived};
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
    let hook = app.hooks.sources.get(&source).ok_or(Error::UnknownSource)?;
    let arrived = tried.arrived()?;
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
    pub(super) fn arrived(self) -> Result<Arrived> {
        let invalid = |reason: String| Error::InvalidRequest(reason);
        let body = match (self.text, self.body) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(body)) => STANDARD.decode(body).map_err(|error| invalid(format!("body: {error}")))?.into(),
            (None, None) => Bytes::new(),
            (Some(_), Some(_)) => return Err(invalid("body: give it as text or as body, not both".to_owned())),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let header: HeaderName = name.parse().map_err(|error| invalid(format!("header {name:?}: {error}")))?;
            headers.append(
                header,
                HeaderValue::from_str(value).map_err(|error| invalid(format!("header {name}: {error}")))?,
            );
        }
        Ok(Arrived {
            method: Method::POST,
            path: self.path,
            query: self.query,
            headers,
            body,
            received_at: skep_bus::now(),
            remote: None,
        })
    }
}
