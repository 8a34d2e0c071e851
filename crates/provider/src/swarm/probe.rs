//! Probes the watchdog of one task for as long as the task exists.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::ready;

/// A starting task has no address yet, and a failed probe delays the next answer by a second (ARP).
/// So it is probed once it runs; but a task with a health check in its image runs only when that passes.
const START_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a task is, and whether it already runs there.
#[derive(Clone, Copy)]
pub(super) struct TaskAddress {
    pub(super) address: SocketAddr,
    pub(super) runs: bool,
}

pub(super) struct Probe {
    pub(super) address: SocketAddr,
    /// The probe was started when the task ran.
    ran: bool,
    pub(super) since: Instant,
    answers: Arc<AtomicBool>,
    _asking: AbortOnDropHandle<()>,
}

impl Probe {
    /// Probes from now on, or soon if the task does not run yet; subscribers are woken at every change.
    pub(super) fn start(
        instance: String,
        at: TaskAddress,
        path: &'static str,
        has_answered: bool,
        changed: Arc<Notify>,
    ) -> Self {
        let TaskAddress { address, runs } = at;
        let answers = Arc::new(AtomicBool::new(has_answered));
        let telling = Arc::clone(&answers);
        let asking = tokio::spawn(async move {
            if !runs && !has_answered {
                tokio::time::sleep(START_TIMEOUT).await;
            }
            ask(instance, (address, path), telling, changed).await;
        });
        Self { address, ran: runs, since: Instant::now(), answers, _asking: AbortOnDropHandle::new(asking) }
    }

    /// Whether it continues; a probe that waits for a task which runs by now is started again.
    pub(super) fn fits(&self, at: TaskAddress) -> bool {
        self.address == at.address && (self.ran || !at.runs || self.answers())
    }

    pub(super) fn answers(&self) -> bool {
        self.answers.load(Ordering::Acquire)
    }
}

async fn ask(
    instance: String,
    (address, path): (SocketAddr, &'static str),
    answers: Arc<AtomicBool>,
    changed: Arc<Notify>,
) {
    loop {
        if !answers.load(Ordering::Acquire) {
            ready::until_ready(address, path).await;
            answers.store(true, Ordering::Release);
            changed.notify_one();
            info!(instance, %address, "replica is ready");
        }
        ready::until_unready(address, path).await;
        answers.store(false, Ordering::Release);
        changed.notify_one();
        warn!(instance, "replica is not ready any more");
    }
}
