//! Whether the watchdog of one task answers, asked for as long as the task is there.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{sync::Notify, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::ready;

/// All watchdogs that are compatible with OpenFaaS's know this path.
const PATH: &str = "/_/health";

pub(super) struct Probe {
    pub(super) address: SocketAddr,
    pub(super) since: Instant,
    answers: Arc<AtomicBool>,
    _asking: AbortOnDropHandle<()>,
}

impl Probe {
    /// Asks from now on; who waits is woken at every change.
    pub(super) fn start(instance: String, address: SocketAddr, has_answered: bool, changed: Arc<Notify>) -> Self {
        let answers = Arc::new(AtomicBool::new(has_answered));
        let asking = tokio::spawn(ask(instance, address, Arc::clone(&answers), changed));
        Self { address, since: Instant::now(), answers, _asking: AbortOnDropHandle::new(asking) }
    }

    pub(super) fn answers(&self) -> bool {
        self.answers.load(Ordering::Acquire)
    }
}

async fn ask(instance: String, address: SocketAddr, answers: Arc<AtomicBool>, changed: Arc<Notify>) {
    loop {
        if !answers.load(Ordering::Acquire) {
            ready::until_ready(address, PATH).await;
            answers.store(true, Ordering::Release);
            changed.notify_one();
            info!(instance, %address, "replica is ready");
        }
        ready::until_unready(address, PATH).await;
        answers.store(false, Ordering::Release);
        changed.notify_one();
        warn!(instance, "replica is not ready any more");
    }
}
