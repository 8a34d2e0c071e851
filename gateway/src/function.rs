//! `/function/{name}`: synchronous calls, streamed both ways.

use axum::response::IntoResponse;
use http::{HeaderValue, Method, Request, Response, header};
use skep_http::{Body, Peer};

use crate::{Error, Result, app::App, body, call_headers::RequestContext, target::Target};

const ROUTE: &str = "/function";
const TEMPLATE: &str = "/function/{name}";
const METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];

/// Whether a path is that of a call: the name and what follows it are read from the raw path.
pub(crate) fn is_call(path: &str) -> bool {
    path.strip_prefix(ROUTE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(crate) async fn invoke(app: &App, peer: &Peer, request: Request<Body>) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let context = RequestContext::request(&mut parts, peer, app.entrance(TEMPLATE));
    match call(app, peer, Request::from_parts(parts, body), &context).await {
        Ok(answer) => answer,
        Err(error) => refused(error, &context).map(Body::new),
    }
}

async fn call(app: &App, peer: &Peer, mut request: Request<Body>, context: &RequestContext) -> Result<Response<Body>> {
    if !METHODS.contains(request.method()) {
        return Err(Error::MethodNotAllowed);
    }
    let target = Target::parse(request.uri(), ROUTE, app.bus.connection.default_namespace())?;
    let function = app.function(&target.function)?;
    let uri = target.uri()?;
    app.let_in(&[&function], request.headers_mut(), peer).await?;
    let mut request = request.map(|body| body::passed_on(body, app.body_idle_timeout));
    *request.uri_mut() = uri;
    app.call(&function, request, context).await
}

/// An answer of the platform to a call, which also tells the call's id.
pub(crate) fn refused(error: Error, context: &RequestContext) -> Response<axum::body::Body> {
    let is_method = matches!(error, Error::MethodNotAllowed);
    // Its line in the log is made here.
    let mut response = context.log_span().in_scope(|| error.into_response());
    context.scope.answered(response.status(), response.headers());
    context.answer(response.headers_mut());
    if is_method {
        let allowed = METHODS.map(|method| method.to_string()).join(",");
        if let Ok(allowed) = HeaderValue::try_from(allowed) {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
    }
    response
}
