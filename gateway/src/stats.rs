//! The statistics that the controller publishes each second, as this gateway has got them.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::StreamExt;
use skep_protocol::{FunctionName, ScalingStatus, Stats};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep},
};
use tracing::warn;

use crate::app::App;

const RETRY_DELAY: Duration = Duration::from_secs(2);
/// A function of which nothing is published for longer is not in use.
const TTL: Duration = Duration::from_secs(3);
/// Messages that wait for a follower; one that is slower misses some.
const MAX_WAITING: usize = 16;

pub(crate) struct StatsView {
    scaling: Mutex<HashMap<FunctionName, (Instant, ScalingStatus)>>,
    seconds: broadcast::Sender<Arc<Stats>>,
}

impl StatsView {
    pub(crate) fn new() -> Self {
        Self { scaling: Mutex::default(), seconds: broadcast::Sender::new(MAX_WAITING) }
    }

    /// How a function is scaled that is in use.
    pub(crate) fn of(&self, function: &FunctionName) -> Option<ScalingStatus> {
        let scaling = self.scaling();
        let (at, status) = scaling.get(function)?;
        (at.elapsed() < TTL).then(|| status.clone())
    }

    /// Each second from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<Arc<Stats>> {
        self.seconds.subscribe()
    }

    fn see(&self, stats: Stats) {
        let now = Instant::now();
        let mut scaling = self.scaling();
        scaling.retain(|_, (at, _)| at.elapsed() < TTL);
        for function in &stats.functions {
            if let Some(status) = &function.scaling {
                scaling.insert(function.name.clone(), (now, status.clone()));
            }
        }
        drop(scaling);
        // Nobody has to follow.
        let _ = self.seconds.send(Arc::new(stats));
    }

    fn scaling(&self) -> MutexGuard<'_, HashMap<FunctionName, (Instant, ScalingStatus)>> {
        self.scaling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what is published, until shutdown.
pub(crate) async fn follow(app: &App) {
    let followed = async {
        loop {
            match app.bus.stats.follow().await {
                Ok(stats) => {
                    let mut stats = pin!(stats);
                    while let Some(stats) = stats.next().await {
                        app.stats.see(stats);
                    }
                }
                Err(error) => warn!(error = error.chain(), "statistics cannot be followed; trying again"),
            }
            sleep(RETRY_DELAY).await;
        }
    };
    app.shutdown.run_until_cancelled(followed).await;
}
