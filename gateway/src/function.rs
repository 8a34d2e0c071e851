//! `/function/{name}`: synchronous calls, streamed both ways.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use http::{HeaderValue, Method, header};

use crate::{Error, Result, app::App, body, door::Stamp, target::Target};

const ROUTE: &str = "/function";
const METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];

pub(crate) fn router() -> Router<Arc<App>> {
    let mut router = Router::new();
    // The name and what follows it are read from the raw path, so every shape goes to the one handler.
    for shape in [ROUTE, "/function/", "/function/{*rest}"] {
        router = router.route(shape, any(invoke));
    }
    router
}

async fn invoke(State(app): State<Arc<App>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let stamp = Stamp::request(&mut parts);
    let answered = call(&app, Request::from_parts(parts, body), &stamp).await;
    answered.unwrap_or_else(|error| refused(error, &stamp))
}

async fn call(app: &App, request: Request, stamp: &Stamp) -> Result<Response> {
    if !METHODS.contains(request.method()) {
        return Err(Error::MethodNotAllowed);
    }
    let target = Target::parse(request.uri(), ROUTE, app.bus.default_namespace())?;
    let function = app.function(&target.function)?;
    let uri = target.uri()?;
    let mut request = request.map(|body| body::streamed(body, app.body_idle_timeout));
    *request.uri_mut() = uri;
    app.call(&function, request, stamp).await
}

/// An answer of the platform to a call, which also tells the call's id.
pub(crate) fn refused(error: Error, stamp: &Stamp) -> Response {
    let is_method = matches!(error, Error::MethodNotAllowed);
    let mut response = error.into_response();
    stamp.answer(response.headers_mut());
    if is_method {
        let allowed = METHODS.map(|method| method.to_string()).join(",");
        if let Ok(allowed) = HeaderValue::try_from(allowed) {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
    }
    response
}
