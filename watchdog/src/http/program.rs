//! The program of the http mode: started, watched, started again.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, TcpListener},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use http::uri::{Authority, PathAndQuery};
use skep_backoff::Backoff;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    http::pool::Pool,
    lines::Origin,
    metrics::Kill,
    plan::{Plan, Upstream},
    processes::{Processes, Spawned},
};

/// Between two starts of a program that ends.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
/// A program that ran this long counts as started.
const MIN_GOOD_RUN: Duration = Duration::from_secs(10);
/// A program that has ended this often and was never ready is given up.
const MAX_ENDS_BEFORE_READY: u32 = 5;
const PROBE_INTERVAL: Duration = Duration::from_millis(20);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between TERM and KILL at the end.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// A handle to the program that is kept running.
pub(super) struct Program {
    state: watch::Receiver<State>,
    beginning: watch::Receiver<Beginning>,
    stop: CancellationToken,
}

#[derive(Clone, Debug)]
enum State {
    Starting,
    /// It ended like this, and is started again.
    Down(String),
    Ready(Arc<Pool>),
    Stopped,
}

/// Whether the program has ever been ready.
#[derive(Clone, Debug)]
enum Beginning {
    Awaited,
    Ready,
    /// It ended like this each time, and is given up.
    Failed(String),
}

struct Supervisor {
    command: Vec<String>,
    upstream: Option<Upstream>,
    ready_path: Option<PathAndQuery>,
    processes: Arc<Processes>,
    stop: CancellationToken,
    state: watch::Sender<State>,
    beginning: watch::Sender<Beginning>,
}

impl Program {
    pub(super) fn start(
        plan: &Plan,
        upstream: Option<Upstream>,
        ready_path: Option<PathAndQuery>,
        processes: &Arc<Processes>,
    ) -> Self {
        let (sender, state) = watch::channel(State::Starting);
        let (begins, beginning) = watch::channel(Beginning::Awaited);
        let stop = CancellationToken::new();
        let supervisor = Supervisor {
            command: plan.command.clone(),
            upstream,
            ready_path,
            processes: Arc::clone(processes),
            stop: stop.clone(),
            state: sender,
            beginning: begins,
        };
        processes.tasks().spawn(supervisor.supervise());
        Self { state, beginning, stop }
    }

    /// Returns when the program is ready for the first time, or was given up: then with the way in which it ended.
    pub(super) async fn began(&self) -> Result<(), String> {
        let mut beginning = self.beginning.clone();
        match beginning.wait_for(|beginning| !matches!(beginning, Beginning::Awaited)).await.as_deref() {
            Ok(Beginning::Failed(end)) => Err(end.clone()),
            Ok(Beginning::Ready) => Ok(()),
            // The supervisor was stopped before it came to that.
            Ok(Beginning::Awaited) | Err(_) => pending().await,
        }
    }

    /// How to reach the program, or in words why it cannot be reached.
    pub(super) fn pool(&self) -> Result<Arc<Pool>, String> {
        match &*self.state.borrow() {
            State::Ready(pool) => Ok(Arc::clone(pool)),
            State::Starting => Err("the function is starting".to_owned()),
            State::Down(end) => Err(format!("the function {end} and is started again")),
            State::Stopped => Err("the function was stopped".to_owned()),
        }
    }

    /// Does not start it again any more, and asks it to end.
    pub(super) fn halt(&self) {
        self.stop.cancel();
    }

    /// Returns when the program and all that it started are gone.
    pub(super) async fn stop(&self) {
        self.halt();
        let mut state = self.state.clone();
        // It fails only where the supervisor is gone, and then so is the program.
        let _ = state.wait_for(|state| matches!(state, State::Stopped)).await;
    }
}

impl Supervisor {
    async fn supervise(self) {
        let (mut delays, mut ends) = (BACKOFF.delays(), 0);
        while !self.stop.is_cancelled() {
            let begun = Instant::now();
            let end = self.run_once().await;
            self.state.send_replace(State::Down(end.clone()));
            if self.stop.is_cancelled() {
                break;
            }
            ends += 1;
            if ends == MAX_ENDS_BEFORE_READY && matches!(*self.beginning.borrow(), Beginning::Awaited) {
                self.beginning.send_replace(Beginning::Failed(end));
                break;
            }
            if begun.elapsed() >= MIN_GOOD_RUN {
                delays.reset();
            }
            let pause = delays.next_delay();
            self.processes.log().say(&format!("Function {end}, is started again in {pause:?}"));
            let _ = timeout(pause, self.stop.cancelled()).await;
        }
        self.state.send_replace(State::Stopped);
    }

    /// Runs the program until it ends or is to end, and says how it ended.
    async fn run_once(&self) -> String {
        let (mut process, pool) = match self.spawn() {
            Ok(started) => started,
            Err(error) => return format!("cannot be started ({error})"),
        };
        let serve = async {
            self.wait_until_ready(&pool).await;
            self.processes.log().say("Function is ready.");
            self.beginning.send_replace(Beginning::Ready);
            self.state.send_replace(State::Ready(Arc::clone(&pool)));
            pool.tend().await
        };
        let status = tokio::select! {
            status = process.wait() => status,
            never = serve => match never {},
            () = self.stop.cancelled() => {
                process.end(STOP_GRACE, Kill::Program).await;
                return "was stopped".to_owned();
            }
        };
        let end = match status {
            Ok(status) => format!("ended ({status})"),
            Err(error) => format!("was lost ({error})"),
        };
        self.state.send_replace(State::Down(end.clone()));
        process.kill(Kill::Program).await;
        end
    }

    fn spawn(&self) -> io::Result<(Spawned, Arc<Pool>)> {
        let [program, arguments @ ..] = self.command.as_slice() else {
            return Err(io::Error::other("no program"));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let upstream = if let Some(upstream) = &self.upstream {
            upstream.clone()
        } else {
            let port = free_port()?;
            command.env("PORT", port.to_string());
            let authority = Authority::try_from(format!("127.0.0.1:{port}")).map_err(io::Error::other)?;
            Upstream { authority, prefix: String::new() }
        };
        self.processes
            .log()
            .say(&format!("Forking: {program}, upstream http://{}{}", upstream.authority, upstream.prefix));
        let mut process = self.processes.spawn(&mut command)?;
        if let Some(stdout) = process.take_stdout() {
            self.processes.relay(stdout, origin("stdout"));
        }
        if let Some(stderr) = process.take_stderr() {
            self.processes.relay(stderr, origin("stderr"));
        }
        Ok((process, Pool::new(upstream)))
    }

    /// Nothing tells when a program begins to listen: it is asked again and again.
    async fn wait_until_ready(&self, pool: &Arc<Pool>) {
        loop {
            let ready = match &self.ready_path {
                None => pool.open().await.is_ok(),
                Some(path) => {
                    let answer = timeout(PROBE_TIMEOUT, pool.probe(path)).await;
                    answer.is_ok_and(|result| result.is_ok_and(|status| status.is_success()))
                }
            };
            if ready {
                return;
            }
            sleep(PROBE_INTERVAL).await;
        }
    }
}

fn origin(stream: &'static str) -> Origin {
    Origin { stream, call_id: None, trace_id: None }
}

/// A loopback port that nobody listens on now.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
