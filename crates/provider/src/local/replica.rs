//! One replica: keeps a watchdog running until it is stopped.

use std::{
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use skep_backoff::Backoff;
use skep_protocol::{FunctionDeployment, FunctionName, error_chain};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error_span, info, warn};

use crate::ready;

use super::{ProviderContext, logs::Log, watchdog::Watchdog};

/// A watchdog that does not say where it listens within this time is started again.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(30);
/// A watchdog that listens and is not ready within this time is started again.
const READY_TIMEOUT: Duration = Duration::from_secs(300);
/// How long it waits before it starts a watchdog again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
/// After a watchdog that served this long, the delays begin again.
const MIN_GOOD_SERVICE: Duration = Duration::from_secs(10);
/// Where a watchdog says whether it and its program can take calls.
const READY: &str = "/_/ready";
/// How much longer than one call may take a replica gets to end.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The task's side of a replica.
pub(super) struct Replica {
    pub(super) context: Arc<ProviderContext>,
    pub(super) name: FunctionName,
    pub(super) deployment: Arc<FunctionDeployment>,
    pub(super) instance: String,
    pub(super) log: Arc<Log>,
    pub(super) address: Address,
    pub(super) stop: CancellationToken,
}

/// How one run of the watchdog ended.
enum Run {
    Stopped,
    Failed { reason: String, served: Duration },
}

impl Replica {
    /// Runs it in a span that names it, so that log lines inside do not.
    pub(super) async fn run(self) {
        let span = error_span!("replica", function = %self.name, instance = %self.instance);
        self.keep_running().instrument(span).await;
    }

    async fn keep_running(&self) {
        let mut delays = BACKOFF.delays();
        loop {
            let (reason, served) = match self.run_once().await {
                Run::Stopped => return,
                Run::Failed { reason, served } => (reason, served),
            };
            if served.is_zero() {
                self.address.set_problem(&reason);
            }
            if served >= MIN_GOOD_SERVICE {
                delays.reset();
            }
            let pause = delays.next_delay();
            warn!(reason, ?pause, "replica failed and is started again");
            self.log.push(&self.instance, format!("skep: replica {reason}; it is started again in {pause:?}"));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn run_once(&self) -> Run {
        let started = Watchdog::start(&self.context, &self.name, &self.deployment, &self.log, &self.instance);
        let (mut watchdog, address) = match started {
            Ok(started) => started,
            Err(error) => return failed(error_chain(&error), Duration::ZERO),
        };
        self.address.set_leader(watchdog.child.id());
        let outcome = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            reason = watchdog.ended() => Some(reason),
            address = self.becomes_ready(address) => match address {
                Ok(address) => return self.serve(watchdog, address).await,
                Err(reason) => Some(reason),
            },
        };
        self.finish(watchdog, outcome, Duration::ZERO).await
    }

    async fn becomes_ready(&self, address: oneshot::Receiver<SocketAddr>) -> Result<SocketAddr, String> {
        let listens = async {
            match address.await {
                Ok(address) => address,
                // Its STDERR has ended, so its end is about to be noticed as well.
                Err(_) => pending().await,
            }
        };
        let Ok(address) = tokio::time::timeout(LISTEN_TIMEOUT, listens).await else {
            return Err(format!("did not listen within {LISTEN_TIMEOUT:?}"));
        };
        match tokio::time::timeout(READY_TIMEOUT, ready::until_ready(address, READY)).await {
            Ok(()) => Ok(address),
            Err(_) => Err(format!("was not ready within {READY_TIMEOUT:?}")),
        }
    }

    async fn serve(&self, mut watchdog: Watchdog, address: SocketAddr) -> Run {
        let since = Instant::now();
        self.address.set(Some(address));
        info!(%address, "replica is ready");
        let outcome = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            reason = watchdog.ended() => Some(reason),
            never = self.keep_watch(address) => match never {},
        };
        self.address.set(None);
        self.finish(watchdog, outcome, since.elapsed()).await
    }

    /// Takes the replica out of service as long as its watchdog says that it cannot serve.
    async fn keep_watch(&self, address: SocketAddr) -> Infallible {
        loop {
            ready::until_unready(address, READY).await;
            self.address.set(None);
            warn!("replica is not ready any more");
            self.log.push(&self.instance, "skep: replica is not ready any more, no calls are sent to it".to_owned());
            ready::until_ready(address, READY).await;
            self.address.set(Some(address));
            info!("replica is ready again");
        }
    }

    async fn finish(&self, watchdog: Watchdog, outcome: Option<String>, served: Duration) -> Run {
        if let Some(reason) = outcome {
            watchdog.sweep().await;
            return failed(reason, served);
        }
        let patience = self.context.policy(&self.deployment).timeout + STOP_MARGIN;
        watchdog.stop(patience, self.context.kill.cancelled()).await;
        info!("replica has ended");
        Run::Stopped
    }
}

/// Where a replica answers, as long as it does, or why it never did; its owner is woken at every change.
#[derive(Clone)]
pub(super) struct Address {
    current: Arc<Mutex<Result<Option<SocketAddr>, String>>>,
    /// Starts in a row that came to nothing.
    failed_starts: Arc<AtomicU32>,
    /// The id of its watchdog, or 0.
    leader: Arc<AtomicU32>,
    changed: Arc<Notify>,
}

impl Address {
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        Self { current: Arc::new(Mutex::new(Ok(None))), failed_starts: Arc::default(), leader: Arc::default(), changed }
    }

    pub(super) fn get(&self) -> Option<SocketAddr> {
        self.current().as_ref().ok().copied().flatten()
    }

    /// Why it cannot be started.
    pub(super) fn problem(&self) -> Option<String> {
        self.current().as_ref().err().cloned()
    }

    /// How often in a row it has failed before it was ready.
    pub(super) fn failed_starts(&self) -> u32 {
        self.failed_starts.load(Ordering::Relaxed)
    }

    /// The process of its watchdog, while it takes calls.
    pub(super) fn leader(&self) -> Option<u32> {
        self.get()?;
        Some(self.leader.load(Ordering::Relaxed)).filter(|leader| *leader > 0)
    }

    fn set_leader(&self, leader: Option<u32>) {
        self.leader.store(leader.unwrap_or(0), Ordering::Relaxed);
    }

    fn set(&self, address: Option<SocketAddr>) {
        *self.current() = Ok(address);
        self.failed_starts.store(0, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn set_problem(&self, reason: &str) {
        self.failed_starts.fetch_add(1, Ordering::Relaxed);
        *self.current() = Err(format!("a replica {reason}; the function's log may say more"));
        self.changed.notify_one();
    }

    fn current(&self) -> MutexGuard<'_, Result<Option<SocketAddr>, String>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(reason: String, served: Duration) -> Run {
    Run::Failed { reason, served }
}
