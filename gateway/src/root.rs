//! `/`: the oldest way to call a function (`X-Function: NAME`, or an Alexa request), and a short help text.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use http::{HeaderMap, Uri};
use skep_dispatch::Function;
use skep_http::Peer;
use skep_protocol::{FunctionName, headers};

use crate::{
    Error, Result, alexa,
    app::App,
    body::{self, BodyLimit},
    call_headers::RequestContext,
    function::refused,
    pages,
    target::function_uri,
};

const ALEXA_LIMIT: BodyLimit = BodyLimit { bytes: 256 * 1024, origin: "the limit of an Alexa request" };

const HELP: &str = "skep: functions on an event bus

call a function             POST /function/NAME
  the same, by header       POST / with X-Function: NAME
queue a call                POST /async-function/NAME   (X-Callback-Url: where the answer is posted)
what became of it           GET  /system/calls/CALL-ID?wait=30s
  the function's answer     GET  /system/calls/CALL-ID/result
what is deployed            GET  /system/functions
a function's log            GET  /system/logs?name=NAME&follow=true
web UI                      GET  /ui/
health                      GET  /healthz   (metrics: /metrics on the admin port)

From NATS: publish to skep.publish.NAME, or request skep.call.NAME.
The API under /system is compatible with OpenFaaS.
";

/// Somebody who comes with a browser is sent to the web UI, if it is here.
pub(crate) fn router(has_ui: bool) -> Router<Arc<App>> {
    let help = async move |headers: HeaderMap| {
        if has_ui && pages::is_wanted(&headers) { Redirect::to("/ui/").into_response() } else { HELP.into_response() }
    };
    Router::new().route("/", get(help).post(invoke))
}

async fn invoke(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let context = RequestContext::request(&mut parts, &peer, app.entrance("/"));
    let answered = call(&app, &peer, Request::from_parts(parts, body), &context).await;
    answered.unwrap_or_else(|error| refused(error, &context))
}

async fn call(app: &App, peer: &Peer, request: Request, context: &RequestContext) -> Result<Response> {
    let uri = own_uri(request.uri())?;
    let (function, mut request) = match named(app, request.headers())? {
        Some(name) => (app.function(&name)?, request.map(|body| body::streamed(body, app.body_idle_timeout))),
        None if app.alexa_routing => {
            let (parts, body) = request.into_parts();
            let body = app.gathered(&parts.headers, body, ALEXA_LIMIT).await?;
            (of_intent(app, &body)?, Request::from_parts(parts, skep_http::Body::from(body)))
        }
        None => return Err(Error::NoFunctionNamed),
    };
    app.let_in(&[&function], request.headers_mut(), peer).await?;
    *request.uri_mut() = uri;
    Ok(app.call(&function, request, context).await?.map(Body::new))
}

fn own_uri(uri: &Uri) -> Result<Uri> {
    function_uri("/", uri.query())
}

/// The function that `X-Function` names, if it is there.
fn named(app: &App, headers: &HeaderMap) -> Result<Option<FunctionName>> {
    let Some(name) = headers.get(headers::FUNCTION).filter(|name| !name.is_empty()) else { return Ok(None) };
    app.named(&String::from_utf8_lossy(name.as_bytes()), "").map(Some)
}

fn of_intent(app: &App, body: &[u8]) -> Result<Arc<Function>> {
    let intent = alexa::intent_of(body).ok_or(Error::NoFunctionNamed)?;
    let found = alexa::function_names(&intent).find_map(|name| app.dispatch.registry().get(&name));
    found.ok_or_else(|| Error::UnknownIntent(intent.chars().take(100).collect()))
}
