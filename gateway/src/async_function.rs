//! `/async-function/{name}`: a call is stored, and answered 202 once NATS has acknowledged it, or with its result if the caller waits for it.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{delete, post},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use skep_bus::Submitted;
use skep_dispatch::Function;
use skep_http::Peer;
use skep_protocol::{
    Call, CallId, CallbackTarget, DefaultNamespace, Fingerprint, Fingerprinting, QUEUE_MAX_BYTES, Waiting,
    check_headers, headers, parse_callback, take_run_at,
};
use tracing::Instrument;
use url::Url;

use crate::{
    Error, Result,
    app::App,
    auth,
    body::{self, BodyLimit},
    browsers::Guard,
    call_headers::RequestContext,
    calls,
    function::refused,
    prefer,
    queues::Queue,
    spans,
    target::Target,
};

const ROUTE: &str = "/async-function";
const TEMPLATE: &str = "/async-function/{name}";

const SHAPES: [&str; 3] = [ROUTE, "/async-function/", "/async-function/{*rest}"];

/// Calls are open.
pub(crate) fn calls() -> Router<Arc<App>> {
    SHAPES.into_iter().fold(Router::new(), |router, shape| router.route(shape, post(invoke)))
}

/// Taking one back by its id is for those who may ask for calls.
pub(crate) fn cancels(guard: &Arc<Guard>, app: &Arc<App>) -> Router<Arc<App>> {
    let cancel = || guard.protect_methods(auth::protect_methods(delete(cancel), app));
    SHAPES.into_iter().fold(Router::new(), |router, shape| router.route(shape, cancel()))
}

async fn cancel(State(app): State<Arc<App>>, request: Request) -> Result<StatusCode> {
    let id = request.uri().path().strip_prefix("/async-function/").unwrap_or_default();
    calls::cancel_by_id(&app, id).await
}

async fn invoke(State(app): State<Arc<App>>, Extension(peer): Extension<Peer>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let given = parts.headers.get(headers::CALL_ID).filter(|id| !id.is_empty()).cloned();
    let context = RequestContext::request(&mut parts, &peer, app.entrance(TEMPLATE));
    let wait = prefer::wait(&parts.headers);
    match accept(&app, &peer, parts, body, given, &context).await {
        Ok(accepted) => {
            let mut response = accepted.answer(&app, wait).await;
            context.scope.answered(response.status(), response.headers());
            context.answer(response.headers_mut());
            response
        }
        Err(error) => refused(error, &context),
    }
}

/// A call that is stored.
struct Accepted {
    call_id: CallId,
    submitted: Submitted,
    /// What was asked for, where the id may be another call's.
    fingerprint: Option<Fingerprint>,
    /// What waited before it.
    waiting: Option<Waiting>,
}

impl Accepted {
    /// The call's own answer, if the caller waits for it and it comes in time; else 202.
    async fn answer(self, app: &App, wait: Option<Duration>) -> Response {
        let answer = match wait {
            Some(wait) => calls::answer_within(app, &self.call_id, self.fingerprint.as_ref(), wait).await,
            None => None,
        };
        let mut response = answer.unwrap_or_else(|| (StatusCode::ACCEPTED, self.location()).into_response());
        let map = response.headers_mut();
        map.insert(headers::SKEP_DURABILITY, HeaderValue::from_static(app.bus.connection.durability().tier.as_str()));
        match self.submitted {
            Submitted::Accepted => {}
            Submitted::Duplicate => {
                map.insert(headers::SKEP_DUPLICATE, HeaderValue::from_static("true"));
            }
        }
        if let Some(Waiting { depth, age, .. }) = self.waiting {
            map.insert(headers::SKEP_QUEUE_DEPTH, HeaderValue::from(depth));
            map.insert(headers::SKEP_QUEUE_AGE, HeaderValue::from(age.as_secs()));
        }
        if let Some(wait) = wait {
            prefer::applied(map, wait);
        }
        response
    }

    fn location(&self) -> HeaderMap {
        let location = HeaderValue::try_from(format!("/system/calls/{}", self.call_id));
        location.map(|location| HeaderMap::from_iter([(header::LOCATION, location)])).unwrap_or_default()
    }
}

/// Checks a call and stores it.
async fn accept(
    app: &App,
    peer: &Peer,
    mut parts: Parts,
    body: Body,
    given: Option<HeaderValue>,
    context: &RequestContext,
) -> Result<Accepted> {
    let target = Target::parse(&parts.uri, ROUTE, app.bus.connection.default_namespace())?;
    let function = app.function(&target.function)?;
    let waiting = admit(app, &function)?;
    let callback = callback_url(&parts.headers, app.bus.connection.default_namespace())?;
    let called_back = function_called_back(app, callback.as_ref());
    let called = [&*function, called_back.as_deref().unwrap_or(&function)];
    app.let_in(&called, &mut parts.headers, peer).await?;
    // The function may ask for a token by the time that it is called back.
    let callback_authorized = called_back.is_some_and(|function| function.policy.needs_token);
    let call_id = call_id(&context.call_id)?;
    let accepted_at = skep_bus::now();
    let run_at = take_run_at(&mut parts.headers, accepted_at).map_err(Error::InvalidRequest)?;
    check_headers(&parts.headers, target.path, target.query, callback.as_ref())
        .map_err(skep_bus::Error::HeadersTooLarge)?;
    let bus = app.require_bus().await?;
    let path = (target.path, target.query);
    let mut fingerprint =
        given.is_some().then(|| Fingerprinting::begin(&target.function, &parts.method, path, &parts.headers));
    let seen = |piece: &Bytes| fingerprint.iter_mut().for_each(|fingerprint| fingerprint.body(piece));
    let body = body::kept(&bus.bodies, &call_id, &parts.headers, body, limit(app), app.body_idle_timeout, seen).await?;
    let mut call = Call {
        path: target.path.to_owned(),
        query: target.query.map(str::to_owned),
        method: parts.method,
        headers: bus.calls.stored_headers(parts.headers, callback.as_ref()),
        body,
        callback,
        callback_authorized,
        has_callers_id: given.is_some(),
        fingerprint: fingerprint.map(Fingerprinting::end),
        run_at,
        ..Call::new(call_id, target.function, accepted_at)
    };
    if let Some(span) = context.scope.span() {
        spans::enter_function(span, &function);
    }
    let publishing = context.scope.publish(&mut call);
    let submitted = bus.calls.submit(&call).instrument(context.span(&call.function)).await?;
    drop(publishing);
    if submitted == Submitted::Accepted {
        app.queues.add(&call.function, call.queued_bytes(), call.run_at.is_some());
    }
    Ok(Accepted { call_id: call.call_id, submitted, fingerprint: call.fingerprint, waiting })
}

/// Refuses a call when too much waits in all, or for its function; returns what waits, if it is known.
fn admit(app: &App, function: &Function) -> Result<Option<Waiting>> {
    let (bytes, limit) = (app.queues.bytes(), app.limits.queue_bytes);
    if bytes >= limit {
        return Err(Error::QueueFull { bytes, limit });
    }
    let Queue { waiting, bytes } = app.queues.of(&function.name);
    let reached = waiting.and_then(|waiting| function.policy.queue.reached(waiting));
    match reached.or_else(|| too_many_bytes(function.policy.queue.bytes, app.limits.queue_bytes_per_function, bytes)) {
        None => Ok(waiting),
        Some(reason) => {
            let age = waiting.unwrap_or_default().age;
            Err(Error::TooManyWait { function: function.name.clone(), reason, age })
        }
    }
}

/// Says that no more bytes may wait for a function, by its own limit or the usual one.
fn too_many_bytes(own: Option<u64>, usual: u64, bytes: u64) -> Option<String> {
    let (limit, setting) = match own {
        Some(limit) => (limit, QUEUE_MAX_BYTES),
        None => (usual, "--queue-bytes-per-function"),
    };
    (bytes >= limit).then(|| format!("about {bytes} bytes wait, and {setting} is {limit}"))
}

/// The function that a callback calls; its callers need what it asks of others, too.
fn function_called_back(app: &App, callback: Option<&Url>) -> Option<Arc<Function>> {
    match CallbackTarget::of(callback?, app.bus.connection.default_namespace()) {
        Ok(CallbackTarget::Function { name, .. }) => app.dispatch.registry().get(&name),
        Ok(CallbackTarget::Web | CallbackTarget::Subject(_)) | Err(_) => None,
    }
}

fn limit(app: &App) -> BodyLimit {
    BodyLimit { bytes: app.async_body_limit, origin: "the limit --async-body-limit (SKEP_ASYNC_BODY_LIMIT)" }
}

fn call_id(given: &HeaderValue) -> Result<CallId> {
    Ok(String::from_utf8_lossy(given.as_bytes()).parse()?)
}

fn callback_url(headers: &HeaderMap, namespace: &DefaultNamespace) -> Result<Option<Url>> {
    let Some(given) = headers.get(headers::CALLBACK_URL).filter(|url| !url.is_empty()) else { return Ok(None) };
    let text = String::from_utf8_lossy(given.as_bytes());
    parse_callback(&text, namespace).map(Some).map_err(Error::InvalidCallbackUrl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_accepted_than_the_limit_that_its_refusal_names() {
        assert_eq!((too_many_bytes(None, 100, 99), too_many_bytes(Some(200), 100, 150)), (None, None));
        let usual = too_many_bytes(None, 100, 100).unwrap();
        assert!(usual.contains("--queue-bytes-per-function is 100"), "{usual}");
        let own = too_many_bytes(Some(50), 100, 60).unwrap();
        assert!(own.contains(&format!("{QUEUE_MAX_BYTES} is 50")), "{own}");
    }

    #[test]
    fn an_id_that_is_none_is_refused() {
        assert_eq!(call_id(&HeaderValue::from_static("order-17")).unwrap().as_str(), "order-17");
        for bad in ["", "a.b", "a b"] {
            assert!(call_id(&HeaderValue::from_static(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_empty_callback_is_none_and_a_bad_one_is_refused() {
        let callback = |text: &'static [u8]| {
            let value = HeaderValue::from_bytes(text).unwrap();
            callback_url(&HeaderMap::from_iter([(headers::CALLBACK_URL, value)]), &DefaultNamespace::default())
        };
        assert!(
            callback(b"").unwrap().is_none()
                && callback_url(&HeaderMap::new(), &DefaultNamespace::default()).unwrap().is_none()
        );
        assert!(callback(b"http://example.com/x").unwrap().is_some());
        for bad in [&b"/relative"[..], b"http://\xff/"] {
            assert!(matches!(callback(bad), Err(Error::InvalidCallbackUrl(_))), "{bad:?}");
        }
    }
}
