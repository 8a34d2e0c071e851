//! Which namespaces a request touches, for callers that are limited to some.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::request::Parts;
use serde::{Deserialize, de::DeserializeOwned};
use skep_protocol::{CallId, DeleteFunction, FunctionDeployment, FunctionName, ScaleFunction, Secret};

use super::{rights, role::Caller};
use crate::{
    Error, Result,
    app::App,
    dead::Kind,
    input::{JSON_LIMIT, NamespaceQuery, Queried, Segment, read_json},
    logs,
};

/// What tells the namespaces that a request touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// It touches none.
    Nothing,
    /// It touches all.
    Everything,
    /// The query.
    Namespace,
    /// The name in the path.
    Function,
    /// The body of a deployment, of a deletion, of a scaling, or of a secret.
    Deployment,
    Deletion,
    Scaling,
    Secret,
    /// The functions of `name` in the query.
    Log,
    /// `function` in the query; all without one.
    Filter,
    /// The function of the call that the path names.
    Call,
    QueuedCall,
    /// The function of the dead letter that the path names.
    DeadLetter,
}

/// Refuses a limited caller what is not in its namespaces.
pub(super) async fn confine(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().filter(|caller| caller.is_limited()).cloned();
    let Some(caller) = caller else { return next.run(request).await };
    match Box::pin(checked(&app, &caller, request)).await {
        Ok(request) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn checked(app: &App, caller: &Caller, request: Request) -> Result<Request> {
    let (mut parts, body) = request.into_parts();
    let route = parts.extensions.get().map(MatchedPath::as_str);
    let scope = rights::of(&parts.method, route).scope;
    if matches!(scope, Scope::Deployment | Scope::Deletion | Scope::Scaling | Scope::Secret) {
        let body = app.gathered(&parts.headers, body, JSON_LIMIT).await?;
        let touched = in_body(app, caller, scope, &mut parts, &body).await?;
        require_touched(app, caller, touched)?;
        return Ok(Request::from_parts(parts, Body::from(body)));
    }
    let touched = in_head(app, caller, scope, &mut parts).await?;
    require_touched(app, caller, touched)?;
    Ok(Request::from_parts(parts, body))
}

fn require_touched(app: &App, caller: &Caller, touched: Option<FunctionName>) -> Result<()> {
    match touched {
        Some(function) => caller.require_function(&function, app.bus.connection.default_namespace()),
        None => Ok(()),
    }
}

/// The function that path or query name; a namespace is checked at once.
async fn in_head(app: &App, caller: &Caller, scope: Scope, parts: &mut Parts) -> Result<Option<FunctionName>> {
    Ok(match scope {
        // A body names it, if anything does.
        Scope::Nothing | Scope::Deployment | Scope::Deletion | Scope::Scaling | Scope::Secret => None,
        Scope::Everything => return Err(all(caller)),
        Scope::Namespace => {
            let NamespaceQuery { namespace } = query(parts).await?;
            require_namespace(app, caller, &namespace)?;
            None
        }
        Scope::Function => {
            let name = segment(parts).await?;
            let NamespaceQuery { namespace } = query(parts).await?;
            Some(app.named(&name, &namespace)?)
        }
        Scope::Log => {
            let Log { name, namespace } = query(parts).await?;
            for name in logs::names(&name) {
                require_touched(app, caller, Some(app.named(name, &namespace)?))?;
            }
            None
        }
        Scope::Filter => {
            let Filter { function } = query(parts).await?;
            let function = function.filter(|name| !name.is_empty()).ok_or_else(|| all(caller))?;
            Some(app.named(&function, "")?)
        }
        Scope::Call => {
            let id = segment(parts).await?;
            function_of_call(app, &id).await?
        }
        Scope::QueuedCall => {
            let id = parts.uri.path().strip_prefix("/async-function/").unwrap_or_default().to_owned();
            function_of_call(app, &id).await?
        }
        Scope::DeadLetter => {
            let id: CallId = segment(parts).await?.parse()?;
            let Kind { kind } = query(parts).await?;
            let letter = app.require_bus().await?.dead_letters.get(&id, kind).await?;
            letter.map(|letter| app.named(&letter.info.function, "")).transpose()?
        }
    })
}

/// The function that a body names; a secret's namespace is checked at once.
async fn in_body(
    app: &App,
    caller: &Caller,
    scope: Scope,
    parts: &mut Parts,
    body: &Bytes,
) -> Result<Option<FunctionName>> {
    let namespace: NamespaceQuery = query(parts).await?;
    let (name, namespace) = match scope {
        Scope::Deployment => {
            let FunctionDeployment { service, namespace: mut named, .. } = read_json(body)?;
            namespace.fill(&mut named)?;
            (service, named)
        }
        Scope::Deletion => {
            let DeleteFunction { function_name, namespace: mut named } = read_json(body)?;
            namespace.fill(&mut named)?;
            (function_name, named)
        }
        Scope::Scaling => {
            let ScaleFunction { namespace: mut named, .. } = read_json(body)?;
            namespace.fill(&mut named)?;
            (segment(parts).await?, named)
        }
        _ => {
            let Secret { namespace: mut named, .. } = read_json(body)?;
            namespace.fill(&mut named)?;
            require_namespace(app, caller, &named)?;
            return Ok(None);
        }
    };
    Ok(Some(app.named(&name, &namespace)?))
}

#[derive(Deserialize)]
struct Log {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct Filter {
    #[serde(default)]
    function: Option<String>,
}

/// A namespace as it was given, or the default one.
fn require_namespace(app: &App, caller: &Caller, given: &str) -> Result<()> {
    let default = app.bus.connection.default_namespace();
    match default.other(given)? {
        Some(other) => caller.require_namespace(other.as_str()),
        None => caller.require_namespace(default.as_str()),
    }
}

/// Of a call that nobody knows there is nothing to see.
async fn function_of_call(app: &App, id: &str) -> Result<Option<FunctionName>> {
    let id: CallId = id.parse()?;
    let status = app.require_bus().await?.calls.status(&id).await?;
    status.map(|status| app.named(&status.function, "")).transpose()
}

fn all(caller: &Caller) -> Error {
    caller.beyond("and this is about all: name one of them, or a function in one")
}

async fn query<T: DeserializeOwned>(parts: &mut Parts) -> Result<T> {
    Queried::from_request_parts(parts, &()).await.map(|Queried(query)| query)
}

async fn segment(parts: &mut Parts) -> Result<String> {
    Segment::from_request_parts(parts, &()).await.map(|Segment(segment)| segment)
}
