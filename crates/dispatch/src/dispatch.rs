//! Calling a function.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use skep_bus::DispatchBus;
use skep_protocol::{Part, PolicyDefaults, headers};
use skep_trace::Span;
use tokio::{
    sync::oneshot,
    time::{Instant, MissedTickBehavior, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    Awaited, Body, Error, Function, Registry, Result, Taker,
    endpoint::IDLE_TIMEOUT,
    follower::Follower,
    function_gauges::FunctionGauges,
    herd::Place,
    mark,
    metrics::Metrics,
    report,
    response::{CallGuard, ResponseBody},
    send::{Noting, Outgoing, Sent, as_said, end_of, failed, send},
    trace,
    trial::{self, Side, Tally},
    wake::Wakes,
};

/// If none of them took the call, the registry has this long to name others.
const MOVE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a call follows its function to other replicas.
const MAX_MOVES: usize = 3;
/// When the log says that the start waits for the first copy of the registry.
const LOG_DELAY: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct DispatchConfig {
    /// What the process is to the controller.
    pub part: Part,
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
        let shown = metrics;
        let metrics = Arc::new(Metrics::register(shown)?);
        let (follower, registry) = Follower::new(bus.registry, Arc::clone(&metrics), config.defaults.clone());
        shown.register(Box::new(FunctionGauges::new(registry.clone())?))?;
        let (first, mut seen) = oneshot::channel();
        tasks.spawn(follower.run(first, shutdown.clone()));
        tasks.spawn(report::run(bus.activity.clone(), registry.clone(), config.part.clone(), shutdown.clone()));
        tasks.spawn(trial::report(bus.activity, registry.clone(), shutdown.clone()));
        tasks.spawn(tend(registry.clone(), Arc::clone(&metrics), shutdown));
        match timeout(LOG_DELAY, &mut seen).await {
            Ok(seen) => seen?,
            Err(_) => {
                warn!("the registry cannot be read yet; the start waits for it");
                seen.await?;
            }
        }
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
    /// Dropping this future ends the wait. The call keeps its place, if it has one, until it is answered.
    async fn ready(&self, function: Arc<Function>) -> Result<(Arc<Function>, Option<Place>)> {
        if function.replicas() > 0 {
            return Ok((function, None));
        }
        let place = self.wakes.ready(&function).await?;
        let found = self.registry.get(&function.name).filter(|found| found.replicas() > 0);
        found.map(|found| (found, place)).ok_or_else(|| Error::NoReplica(function.name.clone()))
    }

    /// Calls a function: the request's path and query are what the function sees, its body is streamed, and so is the answer.
    ///
    /// An answer that falls silent for longer than the function may run is broken off, unless it is a stream of events.
    ///
    /// Hop-by-hop headers are removed both ways. Dropping the answer's body, or this future, cancels the call.
    ///
    /// If the call has a span, the way to the replica becomes a child of it.
    pub async fn call(
        &self,
        function: &Arc<Function>,
        mut request: Request<Body>,
        span: Option<&Arc<Span>>,
    ) -> Result<Response<Body>> {
        headers::remove_hop_by_hop(request.headers_mut());
        *request.version_mut() = Version::HTTP_11;
        if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("function"));
        }
        mark::put_on(request.headers_mut());
        let mut call = CallGuard::begin(function);
        call.span = span.map(|span| trace::begin(span, call.started, &mut request));
        // The replicas of an update on trial are its own; beside a canary they are those of the old version.
        let side = if function.canary.is_some() { Side::Old } else { Side::New };
        let mut tally = Tally::begin(function, side);
        let taker = request.extensions_mut().remove::<Taker>();
        let noting = Noting { taker: taker.as_ref(), span: call.span.as_deref() };
        let sent = match function.canary_for(&request) {
            None => self.send_when_ready(function, request, noting).await.and_then(|sent| as_said(function, sent)),
            // Boxed, so that other calls carry nothing of it.
            Some(canary) => Box::pin(self.send_to_canary(function, canary, request, noting, &mut tally)).await,
        };
        Tally::ends(&mut tally, end_of(&sent));
        if let Some(span) = &call.span {
            trace::answered(span, &sent);
        }
        call.code = match &sent {
            Ok((response, ..)) => response.status(),
            Err(error) => code_of(error),
        };
        let (response, in_flight) = sent?;
        let (mut parts, incoming) = response.into_parts();
        headers::remove_hop_by_hop(&mut parts.headers);
        let body = ResponseBody::new(incoming, in_flight, call, tally);
        let body = if headers::is_event_stream(&parts.headers) {
            Body::new(body)
        } else {
            Body::new(Awaited::new(body, function.idle_timeout()))
        };
        Ok(Response::from_parts(parts, body))
    }

    /// Makes the function ready, and sends it a request.
    pub(crate) async fn send_when_ready(
        &self,
        function: &Arc<Function>,
        request: Request<Body>,
        noting: Noting<'_>,
    ) -> Result<Sent> {
        // Before the wait, because a server notices that a caller has gone only once its request is read.
        let request = Outgoing::new(request).await.map_err(|error| failed(function, error))?;
        self.send_outgoing(function, request, noting).await
    }

    /// The same with a request whose body is awaited already.
    pub(crate) async fn send_outgoing(
        &self,
        function: &Arc<Function>,
        request: Outgoing,
        noting: Noting<'_>,
    ) -> Result<Sent> {
        let woken;
        let function = if function.replicas() > 0 {
            function
        } else {
            // Boxed, so that calls of functions that are ready carry nothing of it.
            let began = Instant::now();
            woken = Box::pin(self.ready(Arc::clone(function))).await?;
            noting.span.into_iter().for_each(|span| trace::woken(span, began.elapsed()));
            &woken.0
        };
        self.send_where_it_is(function, request, noting).await
    }

    /// Sends a request, and sends it again when nothing of it was sent and the function's replicas are others by now.
    async fn send_where_it_is(&self, function: &Function, mut request: Outgoing, noting: Noting<'_>) -> Result<Sent> {
        let mut moved: Option<Arc<Function>> = None;
        let mut moves = 0;
        loop {
            let current = moved.as_deref().unwrap_or(function);
            let failed = match timeout(current.idle_timeout(), send(current, &current.endpoints, request, noting)).await
            {
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
            Ok((ready, _)) => Ok(Some(ready)),
            Err(Error::NoReplica(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Closes connections that nobody uses any more, and drops the counters of functions that are gone, until shutdown.
async fn tend(registry: Registry, metrics: Arc<Metrics>, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(IDLE_TIMEOUT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        for function in registry.snapshot().iter() {
            function.all_endpoints().for_each(|endpoint| endpoint.close_stale());
        }
        metrics.sweep();
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
