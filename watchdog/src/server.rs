//! Accepts connections until shutdown, then drains.

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use http::Request;
use skep_http::{Body, Connections, Event, HttpLimits, Runtimes};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, service_fn};

use crate::{
    answer::Answer,
    files::Files,
    fork::Fork,
    health::Health,
    http::HttpMode,
    limit::Limit,
    log::Log,
    metrics::Metrics,
    plan::{self, Plan},
    processes::Processes,
    service::{Mode, Watchdog},
};

const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 200;
/// Starting a process holds its thread until the program is loaded, so there may be more of them than cores.
const MAX_THREADS: usize = 8;
const METRICS_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connections without a call stay open: a client that does not know of the shutdown yet may have sent one.
const LAST_CALLS_TIMEOUT: Duration = Duration::from_millis(500);
/// For what is left when everything was cancelled and killed.
const LAST_TASKS_TIMEOUT: Duration = Duration::from_secs(5);

/// Where calls, and where Prometheus come in.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) calls: TcpListener,
    pub(crate) metrics: Option<TcpListener>,
}

/// The two steps to the end: `drain` lets calls finish, `now` kills them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown {
    pub(crate) drain: CancellationToken,
    pub(crate) now: CancellationToken,
}

/// Serves until a shutdown is over; no process is left then.
pub(crate) async fn run(plan: Plan, listeners: Listeners, shutdown: Shutdown) -> anyhow::Result<()> {
    let log = Log::start(&plan.log).context("cannot start the log")?;
    let tasks = TaskTracker::new();
    let metrics = Metrics::new()?;
    let processes = Processes::new(&plan, tasks.clone(), log.clone(), Arc::clone(&metrics))
        .context("cannot become a reaper of processes")?;
    let watchdog = Watchdog {
        mode: start_mode(&plan, &processes),
        health: Health::starting(plan.lock_file),
        limit: Limit::new(plan.max_inflight, plan.max_inflight_wait),
        calls: TaskTracker::new(),
        metrics: Arc::clone(&metrics),
        log: log.clone(),
        debug_headers: plan.debug_headers,
    };
    let finished = CancellationToken::new();
    let sweeping = Arc::clone(&processes).sweep();
    tasks.spawn(finished.clone().run_until_cancelled_owned(sweeping));
    let scrapes = Connections::default();
    if let Some(listener) = listeners.metrics {
        tasks.spawn(finished.clone().run_until_cancelled_owned(serve_metrics(listener, metrics, scrapes.clone())));
    }
    let runtimes = Runtimes::new(if plan.has_own_threads() { MAX_THREADS } else { 0 });
    // The server goes with this line, and with it tasks that are waited for below.
    let served = Server::new(&plan, watchdog, &shutdown).serve(listeners.calls, &runtimes, &shutdown).await;
    finished.cancel();
    scrapes.cut();
    processes.kill_all().await;
    tasks.close();
    // What is left hangs on something that was killed.
    let _ = timeout(LAST_TASKS_TIMEOUT, tasks.wait()).await;
    runtimes.stop();
    log.flush();
    served
}

fn start_mode(plan: &Plan, processes: &Arc<Processes>) -> Mode {
    match plan.mode.clone() {
        plan::Mode::Fork(fork) => Mode::Fork(Fork::new(plan, fork, processes)),
        plan::Mode::Http(http) => Mode::Http(HttpMode::start(plan, http, processes)),
        plan::Mode::Static(files) => Mode::Static(Files::new(&files, processes.log().clone())),
    }
}

struct Server {
    watchdog: Arc<Watchdog>,
    limits: HttpLimits,
    healthcheck_interval: Duration,
    connections: Connections,
}

impl Server {
    fn new(plan: &Plan, watchdog: Watchdog, shutdown: &Shutdown) -> Self {
        Self {
            watchdog: Arc::new(watchdog),
            limits: limits(plan.read_timeout, plan.write_timeout),
            healthcheck_interval: plan.healthcheck_interval,
            connections: Connections::leaving_at(shutdown.drain.clone()),
        }
    }

    async fn serve(&self, listener: TcpListener, runtimes: &Runtimes, shutdown: &Shutdown) -> anyhow::Result<()> {
        let gently = async {
            self.serve_and_drain(listener, runtimes, &shutdown.drain).await;
            if let Mode::Http(http) = &self.watchdog.mode {
                http.stop().await;
            }
        };
        let served = tokio::select! {
            // The first one to be polled: what does not wait for a program is healthy with its first connection.
            biased;
            end = self.never_begins() => Err(anyhow!("the function {end}, and was never ready")),
            () = gently => Ok(()),
            () = shutdown.now.cancelled() => {
                self.watchdog.health.close();
                if let Mode::Http(http) = &self.watchdog.mode {
                    http.halt();
                }
                Ok(())
            }
        };
        self.connections.cut();
        self.connections.ended().await;
        served
    }

    /// Returns when the program has been given up before it was ever ready: whatever runs this watchdog must see that.
    async fn never_begins(&self) -> String {
        match self.watchdog.begin().await {
            Ok(()) => pending().await,
            Err(end) => end,
        }
    }

    async fn serve_and_drain(&self, listener: TcpListener, runtimes: &Runtimes, drain: &CancellationToken) {
        let lame_duck = async {
            drain.cancelled().await;
            self.watchdog.health.close();
            self.watchdog
                .log
                .say("Shutting down: no new connections when no call runs, or after healthcheck_interval.");
            let calls = &self.watchdog.calls;
            calls.close();
            // A client without a call here needs no time.
            let _ = timeout(self.healthcheck_interval, calls.wait()).await;
        };
        self.accept(listener, runtimes, lame_duck).await;
        let _ = timeout(LAST_CALLS_TIMEOUT, self.connections.ended()).await;
        self.connections.close();
        if timeout(self.limits.write_timeout, self.connections.ended()).await.is_err() {
            self.watchdog.log.say("Calls that are still running are killed: write_timeout is over.");
            // A program may wait for the end of its connections before it ends itself.
            self.connections.cut();
            self.connections.ended().await;
        }
    }

    async fn accept(&self, listener: TcpListener, runtimes: &Runtimes, end: impl Future<Output = ()>) {
        let (watchdog, connections) = (Arc::clone(&self.watchdog), self.connections.clone());
        let log = watchdog.log.clone();
        let observe = move |event: &Event<'_>| match event {
            Event::AcceptFailed(error) | Event::NotServed { error, .. } => {
                log.say(&format!("Cannot accept a connection: {error}"));
            }
            // How a connection ends is the client's business; a call on it has logged its own end.
            _ => {}
        };
        let make = move |_| service(Arc::clone(&watchdog), connections.clone());
        let server = skep_http::Server::new(self.limits, self.connections.clone(), make, observe);
        server.accept(listener, runtimes, end).await;
    }
}

/// The service of one connection.
fn service(
    watchdog: Arc<Watchdog>,
    connections: Connections,
) -> impl Service<Request<Body>, Response = Answer, Error = Infallible, Future: Send> + Clone + Send + Sync {
    let shared = Arc::new((watchdog, connections));
    service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move {
            let (watchdog, connections) = &*shared;
            let mut answer = watchdog.answer(request).await;
            if let Some(tunnel) = answer.body_mut().take_tunnel() {
                // The connection ends for HTTP, but not for the drain.
                connections.spawn(tunnel);
            }
            Ok(answer)
        }
    })
}

/// A time of 0 is none.
fn limit(time: Duration) -> Option<Duration> {
    Some(time).filter(|time| !time.is_zero())
}

fn limits(read_timeout: Duration, write_timeout: Duration) -> HttpLimits {
    HttpLimits {
        header_read_timeout: limit(read_timeout),
        max_headers: MAX_HEADERS,
        max_header_bytes: MAX_HEAD,
        max_connections: usize::MAX,
        max_connections_per_address: usize::MAX,
        // A client that does not read holds a process, and what is held back of its output.
        write_timeout,
        ..HttpLimits::default()
    }
}

async fn serve_metrics(listener: TcpListener, metrics: Arc<Metrics>, connections: Connections) {
    let make = move |_| {
        let metrics = Arc::clone(&metrics);
        service_fn(move |request: Request<Body>| ready(Ok::<_, Infallible>(metrics.page(&request))))
    };
    let limits = limits(METRICS_READ_TIMEOUT, Duration::ZERO);
    let server = skep_http::Server::new(limits, connections, make, |_| {});
    server.accept(listener, &Runtimes::new(0), pending()).await;
}
