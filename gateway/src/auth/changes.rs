//! A line in the log for each change: who made it, from where, of what, and what came of it.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{Method, Uri, request::Parts};
use serde::Deserialize;
use skep_http::Peer;
use tracing::info;

use super::{address, role::Caller};
use crate::{app::App, input::JSON_LIMIT};

/// The layer that tells; inside of the one that knows the caller.
pub(super) async fn tell(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = match Box::pin(app.gathered(&parts.headers, body, JSON_LIMIT)).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let change = Change::of(&parts, &body);
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    change.log(response.status().as_u16());
    response
}

struct Change {
    caller: Option<Caller>,
    peer: Option<Peer>,
    method: Method,
    uri: Uri,
    object: String,
}

impl Change {
    fn of(parts: &Parts, body: &[u8]) -> Self {
        Self {
            caller: parts.extensions.get().cloned(),
            peer: parts.extensions.get().cloned(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            object: object(body),
        }
    }

    fn log(&self, status: u16) {
        let Self { method, uri, object, .. } = self;
        let actor = self.caller.as_ref().map_or("anyone", Caller::name);
        let address = address(self.peer.as_ref());
        info!(actor, %address, %method, path = uri.path(), query = uri.query(), object, status, "change");
    }
}

/// What a body names: a function, a secret or a namespace. The rest of it, such as a secret's value, is not looked at.
fn object(body: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Names {
        service: Option<String>,
        service_name: Option<String>,
        function_name: Option<String>,
        name: Option<String>,
        namespace: Option<String>,
    }
    let Names { service, service_name, function_name, name, namespace } =
        serde_json::from_slice(body).unwrap_or_default();
    let names = [service, service_name, function_name, name, namespace];
    names.into_iter().flatten().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_names_is_told_and_nothing_else() {
        assert_eq!(object(br#"{"service":"upper","namespace":"dev","envProcess":"env"}"#), "upper.dev");
        assert_eq!(object(br#"{"functionName":"upper"}"#), "upper");
        assert_eq!(object(br#"{"name":"key","value":"s3cret","namespace":null}"#), "key");
        assert_eq!(object(b""), "");
        assert_eq!(object(b"[1]"), "");
    }
}
