//! Synchronous calls that come over NATS instead of HTTP: `nats request skep.call.NAME`.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use skep_bus::{CallRequest, CallRequests};
use skep_dispatch::Function;
use skep_protocol::{check_headers, headers};
use skep_trace::Kind;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{
    Error, Result,
    app::App,
    call_headers::RequestContext,
    spans::{self, Scope},
};

/// Requests that run at once; further ones wait with the client's subscription.
const MAX_AT_ONCE: usize = 1024;
/// The timeouts of the function and of dispatch come first; this one only ends an answer that never ends.
const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// NATS delivers what was sent already within milliseconds, or, if it is away, never.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(1);

/// Answers requests until `draining`, and then those that were taken already, for no longer than `grace`.
pub(crate) async fn answer_requests(
    app: Arc<App>,
    mut requests: CallRequests,
    draining: CancellationToken,
    grace: Duration,
) {
    let places = Arc::new(Semaphore::new(MAX_AT_ONCE));
    let tasks = TaskTracker::new();
    let cut = CancellationToken::new();
    let _cut_at_the_end = cut.clone().drop_guard();
    // Boxed, because whatever takes a future by value has room for it several times.
    let begin = |request, place| {
        let answered = Box::pin(answer(Arc::clone(&app), request, place));
        tasks.spawn(cut.clone().run_until_cancelled_owned(answered))
    };
    while let Some((request, place)) = next(&mut requests, &places, &draining).await {
        begin(request, place);
    }
    let drained = timeout(grace, async {
        match timeout(HANDOVER_TIMEOUT, requests.stop()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "requests on NATS were not handed back"),
            Err(_) => debug!("NATS is away, so requests were not handed back"),
        }
        while let Ok(Some(request)) = timeout(HANDOVER_TIMEOUT, requests.next()).await
            && let Ok(place) = Arc::clone(&places).acquire_owned().await
        {
            begin(request, place);
        }
        tasks.close();
        tasks.wait().await;
    });
    if drained.await.is_err() {
        warn!(requests = tasks.len(), "requests on NATS are cut after the grace period");
    }
}

/// The next request and its place; `None` once draining begins or the connection is gone for good.
async fn next(
    requests: &mut CallRequests,
    places: &Arc<Semaphore>,
    draining: &CancellationToken,
) -> Option<(CallRequest, OwnedSemaphorePermit)> {
    let next = async {
        let place = Arc::clone(places).acquire_owned().await.ok()?;
        Some((requests.next().await?, place))
    };
    draining.run_until_cancelled(next).await.flatten()
}

async fn answer(app: Arc<App>, request: CallRequest, _place: OwnedSemaphorePermit) {
    let mut headers = request.headers.clone();
    let incoming = app.tracer.published(&mut headers);
    let scope = Scope::enter(&app.tracer, Kind::Server, Some(incoming));
    if let Some(span) = scope.span() {
        span.describe(|description| {
            description.name = "process skep.call".into();
            description.attributes.push(("messaging.system", "nats".into()));
            description.attributes.push(("messaging.operation.name", "process".into()));
            description.attributes.push(("messaging.operation.type", "process".into()));
            description.attributes.push(("messaging.destination.template", "skep.call.{function}".into()));
        });
    }
    let context = RequestContext::headers(&mut headers).within(scope);
    if let Some(span) = context.scope.span() {
        spans::describe_call(span, &context.call_id);
    }
    let answered = match call(&app, &request, headers, &context).await {
        Ok((function, response)) => respond(&app, &request, &function, response).await,
        Err(error) => Err(error),
    };
    let Err(error) = answered else { return };
    context.log_span().in_scope(|| error.log());
    let mut headers = error.headers();
    context.scope.answered(error.status().0, &headers);
    headers.insert(headers::CALL_ID, context.call_id.clone());
    if let Err(error) = request.refuse(error.status().0, &headers, &error.reason()).await {
        context.log_span().in_scope(|| warn!(%error, "a request on NATS was not answered"));
    }
}

/// Calls the function and gathers its answer.
async fn call(
    app: &App,
    request: &CallRequest,
    mut headers: HeaderMap,
    context: &RequestContext,
) -> Result<(Arc<Function>, Response<Bytes>)> {
    let name = app.bus.connection.default_namespace().function_of_token(&request.function)?;
    let function = app.function(&name)?;
    check_headers(&headers, "", None, None).map_err(skep_bus::Error::HeadersTooLarge)?;
    // A publisher may have copied these from elsewhere; they belong to the HTTP request that is made here.
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::HOST);
    let mut http = Request::new(skep_http::Body::from(request.body.clone()));
    *http.method_mut() = Method::POST;
    *http.headers_mut() = headers;
    let limit = app.bus.connection.largest_message();
    let (parts, body) = app.call(&function, http, context).await?.into_parts();
    let gathered = timeout(function.policy.timeout + ANSWER_GRACE, async {
        match Limited::new(Body::new(body), limit).collect().await {
            Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(Error::AnswerTooLarge { function: name.clone(), limit })
            }
            Err(_) => Err(Error::BrokenAnswer(name.clone())),
        }
    });
    match gathered.await {
        Ok(response) => Ok((Arc::clone(&function), response?)),
        Err(_) => Err(skep_dispatch::Error::TimedOut(name).into()),
    }
}

async fn respond(app: &App, request: &CallRequest, function: &Function, response: Response<Bytes>) -> Result<()> {
    let (parts, body) = response.into_parts();
    let mut headers = HeaderMap::new();
    for name in [headers::CALL_ID, header::CONTENT_TYPE] {
        if let Some(value) = parts.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let status: StatusCode = parts.status;
    match request.answer(status, &headers, body).await {
        Err(skep_bus::Error::TooLarge { .. }) => {
            Err(Error::AnswerTooLarge { function: function.name.clone(), limit: app.bus.connection.largest_message() })
        }
        other => Ok(other?),
    }
}
