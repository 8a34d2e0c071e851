//! Each change goes to the gateway's own log, and to the audit log.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, request::Parts};
use skep_protocol::AuditLogEntry;
use tracing::info;

use super::role::Caller;
use crate::{Error, app::App, audit_log::Asked, images, input::JSON_LIMIT};

/// The layer that reports them; inside of the one that knows the caller.
pub(super) async fn log(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // The layer around this one has put it there.
    let Some(caller) = request.extensions().get::<Caller>().cloned() else { return next.run(request).await };
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    match *request.method() {
        // An image comes in very many parts, and counts when its manifest comes.
        _ if route.is_some_and(images::is_of_a_part) => read(&app, &caller, request, next).await,
        Method::OPTIONS => next.run(request).await,
        Method::GET | Method::HEAD => read(&app, &caller, request, next).await,
        _ => Box::pin(change(&app, &caller, request, next)).await,
    }
}

/// A look leaves an entry only if the caller may not have it.
async fn read(app: &App, caller: &Caller, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let asked = Asked::of(caller, &parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    if response.status() == StatusCode::FORBIDDEN {
        app.audit_log.refused(caller, entry_of(asked, &response));
    }
    response
}

/// Makes a change and keeps its entry, even if the caller does not wait for it.
async fn change(app: &Arc<App>, caller: &Caller, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let body = match app.gathered(&parts.headers, body, JSON_LIMIT).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let asked = Asked::read(caller, &mut parts, &body, app.bus.connection.default_namespace()).await;
    let Ok(place) = Arc::clone(&app.changes).acquire_owned().await else {
        return Error::Disconnected.into_response();
    };
    let (app, caller) = (Arc::clone(app), caller.clone());
    let tasks = app.tasks.clone();
    let changing = async move {
        let line = Line::of(&parts);
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        let entry = entry_of(asked, &response);
        line.log(&entry);
        if response.status() == StatusCode::FORBIDDEN {
            app.audit_log.refused(&caller, entry);
        } else {
            app.audit_log.record(&entry).await;
        }
        drop(place);
        response
    };
    tasks.spawn(Box::pin(changing)).await.unwrap_or_else(|error| Error::Ended(error).into_response())
}

fn entry_of(asked: Asked, response: &Response) -> AuditLogEntry {
    asked.answered(response.status(), response.headers(), response.extensions())
}

/// What the gateway's own log says beside the entry.
struct Line {
    method: Method,
    path: String,
    query: Option<String>,
}

impl Line {
    fn of(parts: &Parts) -> Self {
        let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().map(str::to_owned));
        Self { method: parts.method.clone(), path, query }
    }

    fn log(self, entry: &AuditLogEntry) {
        let Self { method, path, query } = self;
        let AuditLogEntry { actor, address, object, status, .. } = entry;
        let address = address.as_deref().unwrap_or_default();
        info!(actor, %address, %method, path, query, object, status, "change");
    }
}
