//! Accepts connections until it is told to end, then drains.

use std::{convert::Infallible, future::pending, io, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use http::Request;
use hyper::{body::Incoming, server::conn::http1::Builder};
use hyper_util::rt::{TokioIo, TokioTimer};
use skep_http::{Body, FastPath, Runtimes};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutWriter;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::service_fn;

use crate::{
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
/// Without file descriptors accepting fails at once, and would do so again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// For what is left when everything was cancelled and killed.
const LAST_TASKS: Duration = Duration::from_secs(5);

/// Where calls, and where Prometheus come in.
#[derive(Debug)]
pub struct Listeners {
    pub calls: TcpListener,
    pub metrics: Option<TcpListener>,
}

/// The two steps to the end: `drain` lets calls finish, `now` kills them.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    pub drain: CancellationToken,
    pub now: CancellationToken,
}

/// Serves until a shutdown is over; no process is left then.
pub async fn run(plan: Plan, listeners: Listeners, shutdown: Shutdown) -> anyhow::Result<()> {
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
    if let Some(listener) = listeners.metrics {
        tasks.spawn(finished.clone().run_until_cancelled_owned(serve_metrics(listener, metrics)));
    }
    let runtimes = Arc::new(Runtimes::new(if plan.has_own_threads() { MAX_THREADS } else { 0 }));
    // The server goes with this line, and with it tasks that are waited for below.
    let served = Arc::new(Server::new(&plan, watchdog, Arc::clone(&runtimes))).serve(listeners.calls, &shutdown).await;
    finished.cancel();
    processes.kill_all().await;
    tasks.close();
    // What is left hangs on something that was killed.
    let _ = timeout(LAST_TASKS, tasks.wait()).await;
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
    fast_path: FastPath,
    http: Builder,
    healthcheck_interval: Duration,
    write_timeout: Duration,
    runtimes: Arc<Runtimes>,
    connections: TaskTracker,
    /// Connections end after the call that runs on them.
    finish: CancellationToken,
    /// Connections end now, and with them their calls.
    abort: CancellationToken,
}

impl Server {
    fn new(plan: &Plan, watchdog: Watchdog, runtimes: Arc<Runtimes>) -> Self {
        Self {
            watchdog: Arc::new(watchdog),
            fast_path: FastPath { max_headers: MAX_HEADERS, max_head_bytes: MAX_HEAD, idle: limit(plan.read_timeout) },
            http: http(plan.read_timeout),
            healthcheck_interval: plan.healthcheck_interval,
            write_timeout: plan.write_timeout,
            runtimes,
            connections: TaskTracker::new(),
            finish: CancellationToken::new(),
            abort: CancellationToken::new(),
        }
    }

    async fn serve(self: &Arc<Self>, listener: TcpListener, shutdown: &Shutdown) -> anyhow::Result<()> {
        let gently = async {
            self.serve_and_drain(listener, &shutdown.drain).await;
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
        self.abort.cancel();
        self.connections.close();
        self.connections.wait().await;
        served
    }

    /// Returns when the program has been given up before it was ever ready: whatever runs this watchdog must see that.
    async fn never_begins(&self) -> String {
        match self.watchdog.begin().await {
            Ok(()) => pending().await,
            Err(end) => end,
        }
    }

    async fn serve_and_drain(self: &Arc<Self>, listener: TcpListener, drain: &CancellationToken) {
        let lame_duck = async {
            drain.cancelled().await;
            self.watchdog.health.close();
            self.watchdog
                .log
                .say("Shutting down: no new connections when no call runs, or after healthcheck_interval.");
            let calls = &self.watchdog.calls;
            calls.close();
            // Whoever has no call here needs no time.
            let _ = timeout(self.healthcheck_interval, calls.wait()).await;
        };
        tokio::select! {
            () = self.accept(&listener) => {}
            () = lame_duck => {}
        }
        drop(listener);
        self.finish.cancel();
        self.connections.close();
        if timeout(self.write_timeout, self.connections.wait()).await.is_err() {
            self.watchdog.log.say("Calls that are still running are killed: write_timeout is over.");
            // A program may wait for the end of its connections before it ends itself.
            self.abort.cancel();
            self.connections.wait().await;
        }
    }

    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            let accepted = async { self.begin(listener.accept().await?.0) };
            if let Err(error) = accepted.await {
                self.watchdog.log.say(&format!("Cannot accept a connection: {error}"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    /// Has a connection served, by the thread whose turn it is.
    fn begin(self: &Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let (server, abort) = (Arc::clone(self), self.abort.clone());
        self.runtimes.serve(stream, &self.connections, async move |stream| {
            abort.run_until_cancelled(server.connection(stream)).await;
        })
    }

    async fn connection(&self, stream: TcpStream) {
        // A connection that is gone already needs no options.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        let mut writer = TimeoutWriter::new(writer);
        // A client that does not read holds a process, and what is held back of its output.
        writer.set_timeout(limit(self.write_timeout));
        let mut service =
            service_fn(async |request: Request<Body>| Ok::<_, Infallible>(self.watchdog.answer(request).await));
        let (never, finish) = (CancellationToken::new(), self.finish.cancelled());
        let rest = self.fast_path.serve((reader, Box::pin(writer)), &never, finish, &mut service);
        let Some(rest) = rest.await else { return };
        let service = hyper::service::service_fn(async |request: Request<Incoming>| {
            let mut answer = self.watchdog.answer(request.map(Body::from)).await;
            if let Some(tunnel) = answer.body_mut().take_tunnel() {
                // The connection ends for HTTP, but not for the drain.
                self.connections.spawn(self.abort.clone().run_until_cancelled_owned(tunnel));
            }
            Ok::<_, Infallible>(answer)
        });
        let connection = self.http.serve_connection(TokioIo::new(rest), service).with_upgrades();
        let mut connection = pin!(connection);
        // How a connection ends is the client's business; a call on it has told its own end.
        tokio::select! {
            _ = connection.as_mut() => {}
            () = self.finish.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}

/// A time of 0 is none.
fn limit(time: Duration) -> Option<Duration> {
    Some(time).filter(|time| !time.is_zero())
}

fn http(read_timeout: Duration) -> Builder {
    let mut http = Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limit(read_timeout))
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    http
}

async fn serve_metrics(listener: TcpListener, metrics: Arc<Metrics>) {
    let http = http(Duration::from_secs(5));
    let connections = TaskTracker::new();
    let end = CancellationToken::new();
    // Dropped with this future, which ends the connections.
    let _guard = end.clone().drop_guard();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let metrics = Arc::clone(&metrics);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let page = metrics.page(&request);
            async move { Ok::<_, Infallible>(page) }
        });
        connections.spawn(end.clone().run_until_cancelled_owned(http.serve_connection(TokioIo::new(stream), service)));
    }
}
