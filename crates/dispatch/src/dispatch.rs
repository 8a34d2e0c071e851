//! Calling a function.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use skep_bus::DispatchBus;
use skep_http::{Connection, Incoming, NotAnswered};
use skep_protocol::{PolicyDefaults, headers};
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Awaited, Body, BodyError, Error, Function, Registry, Result, Taker, balance,
    connect::connect,
    endpoint::{Endpoint, IDLE_TIMEOUT},
    follower::Follower,
    mark,
    metrics::Metrics,
    response::{CallGuard, InFlight, ResponseBody},
    usage,
    wake::Wakes,
};

/// Replicas that are tried for one call while nothing of it was sent.
const MAX_ATTEMPTS: usize = 4;
/// If none of them took the call, the registry has this long to name others.
const MOVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a call follows its function to other replicas.
const MAX_MOVES: usize = 3;
/// The first copy of the registry must arrive within this time.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct DispatchConfig {
    /// What holds where a function says nothing.
    pub defaults: PolicyDefaults,
    /// How long a call waits for the first replica of its function.
    pub wake_timeout: Duration,
    /// How many calls may wait for one at once.
    pub held_calls: usize,
    /// Whether a call wakes a function that is scaled to zero.
    pub scale_from_zero: bool,
}

/// The way to every function; cheap to clone.
#[derive(Clone)]
pub struct Dispatch {
    registry: Registry,
    metrics: Arc<Metrics>,
    wakes: Arc<Wakes>,
}

impl Dispatch {
    /// Begins to follow the registry and returns when all of it has been seen. `tasks` owns what goes on beside calls until `shutdown`.
    pub async fn start(
        bus: DispatchBus,
        config: &DispatchConfig,
        metrics: &prometheus::Registry,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::register(metrics)?);
        let (follower, registry) = Follower::new(bus.registry, Arc::clone(&metrics), config.defaults.clone());
        let (first, seen) = oneshot::channel();
        tasks.spawn(follower.run(first, shutdown.clone()));
        tasks.spawn(usage::announce(bus.activity, registry.clone(), shutdown.clone()));
        tasks.spawn(tend(registry.clone(), Arc::clone(&metrics), shutdown));
        timeout(REGISTRY_TIMEOUT, seen)
            .await
            .map_err(|_| anyhow::anyhow!("the registry was not readable in time"))??;
        let wakes = Arc::new(Wakes::new(bus.control, registry.clone(), config));
        Ok(Self { registry, metrics, wakes })
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Calls of all functions that this process has under way.
    pub fn under_way(&self) -> usize {
        self.metrics.under_way()
    }

    /// Wakes a function that is scaled to zero, for a later call; returns when its replicas are seen here, or when the time is over.
    pub async fn wake(&self, function: &Function, patience: Duration) {
        self.wakes.wake(function, patience).await;
    }

    /// The function with a replica. If it has none, this waits for the first one, and wakes a function that is scaled to zero.
    ///
    /// Dropping this future ends the wait.
    async fn ready(&self, function: Arc<Function>) -> Result<Arc<Function>> {
        if function.replicas() > 0 {
            return Ok(function);
        }
        self.wakes.ready(&function).await?;
        let found = self.registry.get(&function.name).filter(|found| found.replicas() > 0);
        found.ok_or_else(|| Error::NoReplica(function.name.clone()))
    }

    /// Calls a function: the request's path and query are what the function sees, its body is streamed, and so is the answer.
    ///
    /// An answer that falls silent for longer than the function may run is broken off, unless it is a stream of events.
    ///
    /// Hop-by-hop headers are removed both ways. Dropping the answer's body, or this future, cancels the call.
    pub async fn call(&self, function: &Arc<Function>, mut request: Request<Body>) -> Result<Response<Body>> {
        headers::remove_hop_by_hop(request.headers_mut());
        *request.version_mut() = Version::HTTP_11;
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("function"));
        }
        mark::put_on(request.headers_mut());
        let mut call = CallGuard::begin(function);
        let taker = request.extensions_mut().remove::<Taker>();
        let sent = self.send_when_ready(function, request, taker.as_ref()).await.and_then(|mut sent| {
            mark::take_off(sent.0.headers_mut());
            match error_of_watchdog(function, sent.0.headers()) {
                Some(error) => Err(error),
                None => Ok(sent),
            }
        });
        call.code = match &sent {
            Ok((response, ..)) => response.status(),
            Err(error) => code_of(error),
        };
        let (response, in_flight) = sent?;
        let (mut parts, incoming) = response.into_parts();
        headers::remove_hop_by_hop(&mut parts.headers);
        let body = ResponseBody::new(incoming, in_flight, call);
        let body = if headers::is_event_stream(&parts.headers) {
            Body::new(body)
        } else {
            Body::new(Awaited::new(body, function.longest_silence()))
        };
        Ok(Response::from_parts(parts, body))
    }

    /// Makes the function ready, and sends it a request.
    async fn send_when_ready(
        &self,
        function: &Arc<Function>,
        request: Request<Body>,
        taker: Option<&Taker>,
    ) -> Result<Sent> {
        // Before the wait, because a server notices that a caller has gone only once its request is read.
        let request = Outgoing::new(request).await.map_err(|error| failed(function, error))?;
        let woken;
        let function = if function.replicas() > 0 {
            function
        } else {
            // Boxed, so that calls of functions that are ready carry nothing of it.
            woken = Box::pin(self.ready(Arc::clone(function))).await?;
            &woken
        };
        self.send_where_it_is(function, request, taker).await
    }

    /// Sends a request, and sends it again when nothing of it was sent and the function's replicas are others by now.
    async fn send_where_it_is(
        &self,
        function: &Function,
        mut request: Outgoing,
        taker: Option<&Taker>,
    ) -> Result<Sent> {
        let mut moved: Option<Arc<Function>> = None;
        let mut moves = 0;
        loop {
            let current = moved.as_deref().unwrap_or(function);
            let failed = match timeout(current.longest_silence(), self.send(current, request, taker)).await {
                Ok(Ok(sent)) => return Ok(sent),
                Ok(Err(failed)) => failed,
                Err(_) => return Err(Error::TimedOut(function.name.clone())),
            };
            let Some(unsent) = failed.unsent.filter(|_| moves < MAX_MOVES) else { return Err(failed.error) };
            let Some(elsewhere) = self.moved(current).await? else { return Err(failed.error) };
            request = *unsent;
            moved = Some(elsewhere);
            moves += 1;
        }
    }

    /// The function with other replicas than it had, if there are some soon.
    async fn moved(&self, function: &Function) -> Result<Option<Arc<Function>>> {
        let known = &function.record.endpoints;
        let is_other =
            |registry: &Registry| registry.get(&function.name).is_none_or(|found| found.record.endpoints != *known);
        if !self.registry.wait_until(is_other, MOVE_TIMEOUT).await {
            return Ok(None);
        }
        let Some(found) = self.registry.get(&function.name) else { return Ok(None) };
        match self.ready(found).await {
            Ok(ready) => Ok(Some(ready)),
            Err(Error::NoReplica(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn send(&self, function: &Function, mut request: Outgoing, taker: Option<&Taker>) -> Result<Sent, Failed> {
        let mut last_error: Option<BodyError> = None;
        for _ in 0..MAX_ATTEMPTS {
            let Some(endpoint) = balance::choose(&function.endpoints) else {
                return Err(Failed { error: Error::NoReplica(function.name.clone()), unsent: Some(request.into()) });
            };
            if let Some(taker) = taker {
                taker.is(&endpoint.instance);
            }
            let in_flight = InFlight::begin(endpoint);
            let connection = match connection(endpoint).await {
                Ok(connection) => connection,
                Err(error) => {
                    last_error = Some(error);
                    continue;
                }
            };
            match connection.send(request).await {
                Ok(response) => return Ok((response, in_flight)),
                // An idle connection that was closed under us: another may be tried.
                Err(NotAnswered { error, unsent: Some(unsent) }) => {
                    request = *unsent;
                    last_error = Some(error.into());
                }
                Err(NotAnswered { error, unsent: None }) => {
                    return Err(Failed { error: failed(function, error), unsent: None });
                }
            }
        }
        let source = last_error.unwrap_or_else(|| "no attempt was made".into());
        let error = Error::Unreachable { function: function.name.clone(), source };
        Err(Failed { error, unsent: Some(request.into()) })
    }
}

/// Closes connections that nobody uses any more, and drops the counters of functions that are gone, until shutdown.
async fn tend(registry: Registry, metrics: Arc<Metrics>, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(IDLE_TIMEOUT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        for function in registry.snapshot().iter() {
            function.endpoints.iter().for_each(|endpoint| endpoint.close_stale());
        }
        metrics.sweep();
    }
}

async fn connection(endpoint: &Endpoint) -> Result<Connection, BodyError> {
    if let Some(connection) = endpoint.take_idle() {
        return Ok(connection);
    }
    let opened = connect(endpoint.address).await;
    match &opened {
        Ok(_) => endpoint.connected(),
        Err(_) => endpoint.refused(),
    }
    opened
}

type Outgoing = skep_http::Outgoing<Body>;
/// An answer that has begun.
type Sent = (Response<Incoming>, InFlight);

/// A call that was not answered, and its request if nothing of it was sent.
struct Failed {
    error: Error,
    unsent: Option<Box<Outgoing>>,
}

fn failed(function: &Function, error: skep_http::Error) -> Error {
    match error {
        skep_http::Error::Body(source) => Error::RequestBody(source),
        error => Error::Broken { function: function.name.clone(), source: error.into() },
    }
}

/// The watchdog's own report that a call failed, in an answer whose mark was checked. All callers see the same error for the same cause.
fn error_of_watchdog(function: &Function, headers: &HeaderMap) -> Option<Error> {
    if !headers.contains_key(headers::OPENFAAS_INTERNAL) {
        return None;
    }
    match headers.get(headers::SKEP_ERROR)?.as_bytes() {
        b"exec_timeout" => Some(Error::TimedOut(function.name.clone())),
        b"upstream" => {
            Some(Error::Broken { function: function.name.clone(), source: "its program closed the connection".into() })
        }
        _ => None,
    }
}

/// The status that a failure is counted under.
fn code_of(error: &Error) -> StatusCode {
    match error {
        Error::NoReplica(_) | Error::TooManyHeld(_) | Error::Unreachable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::Broken { .. } => StatusCode::BAD_GATEWAY,
        Error::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        Error::RequestBody(_) => StatusCode::BAD_REQUEST,
    }
}
