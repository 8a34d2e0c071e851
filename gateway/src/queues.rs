//! What waits for each function that is called here, looked at in the background, so that accepting a call asks nobody.
//!
//! Functions for which something waits are looked at although nobody calls them, so that the metrics tell them.
//! The figures are up to half a second old, and a burst within that time is not seen; a function that is called for the first time has none.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use skep_bus::Waits;
use skep_protocol::{FunctionName, Waiting};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use crate::app::App;

const EVERY: Duration = Duration::from_millis(500);
/// A function that nobody has called for so long, and for which nothing waits, is not looked at any more.
const IN_USE_FOR: Duration = Duration::from_secs(30);
/// When no function is in use, those for which something waits are looked for so often.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// Older figures are not told, for the bus does not answer.
const TOLD_FOR: Duration = Duration::from_secs(5);
/// Functions that are looked at in one round; the others have their turn in the next ones.
const TOGETHER: usize = 64;

const LABEL: &str = "function_name";
const DEPTH: (&str, &str) =
    ("queue_worker_pending_messages", "Calls that wait for a function, as a gateway sees it that is asked for them.");
const AGE: (&str, &str) = ("gateway_queue_age_seconds", "How long the first call waits that waits for a function.");

pub(crate) struct Queues {
    known: Mutex<HashMap<FunctionName, Known>>,
    used: Notify,
    /// What all that waits takes.
    bytes: AtomicU64,
    depth: IntGaugeVec,
    age: GaugeVec,
}

struct Known {
    used: Instant,
    seen: Option<(Instant, Waiting)>,
}

impl Queues {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let depth = IntGaugeVec::new(Opts::new(DEPTH.0, DEPTH.1), &[LABEL])?;
        let age = GaugeVec::new(Opts::new(AGE.0, AGE.1), &[LABEL])?;
        registry.register(Box::new(depth.clone()))?;
        registry.register(Box::new(age.clone()))?;
        Ok(Self { known: Mutex::default(), used: Notify::new(), bytes: AtomicU64::new(0), depth, age })
    }

    /// What waits for a function that is called now, if it is known.
    pub(crate) fn of(&self, function: &FunctionName) -> Option<Waiting> {
        let now = Instant::now();
        let mut known = self.known();
        if let Some(known) = known.get_mut(function) {
            known.used = now;
            return known.seen.filter(|(at, _)| now - *at < TOLD_FOR).map(|(_, waiting)| waiting);
        }
        known.insert(function.clone(), Known { used: now, seen: None });
        self.used.notify_one();
        None
    }

    /// What all that waits took when it was looked at last, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Those whose figures are the oldest.
    fn next(&self) -> Vec<FunctionName> {
        let known = self.known();
        let mut next: Vec<_> = known.iter().map(|(name, known)| (known.seen.map(|(at, _)| at), name)).collect();
        next.sort_unstable();
        next.into_iter().take(TOGETHER).map(|(_, name)| name.clone()).collect()
    }

    fn see(&self, seen: Waits) {
        let now = Instant::now();
        let mut known = self.known();
        for name in seen.others {
            known.entry(name).or_insert(Known { used: now, seen: None });
        }
        for (name, waiting) in seen.functions {
            let label = name.to_string();
            known.entry(name).or_insert(Known { used: now, seen: None }).seen = Some((now, waiting));
            self.depth.with_label_values(&[&label]).set(waiting.depth.try_into().unwrap_or(i64::MAX));
            self.age.with_label_values(&[&label]).set(waiting.age.as_secs_f64());
        }
        known.retain(|name, known| {
            let is_empty = known.seen.is_some_and(|(_, waiting)| waiting.depth == 0);
            let is_kept = !is_empty || now - known.used < IN_USE_FOR;
            if !is_kept {
                let label = name.to_string();
                // Both are there since it was seen first.
                let _ = (self.depth.remove_label_values(&[&label]), self.age.remove_label_values(&[&label]));
            }
            is_kept
        });
    }

    fn known(&self) -> MutexGuard<'_, HashMap<FunctionName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at the functions that are called, until shutdown.
pub(crate) async fn follow(app: &App) {
    app.shutdown.run_until_cancelled(look_again_and_again(app)).await;
}

async fn look(app: &App) -> skep_bus::Result<()> {
    app.queues.bytes.store(app.bus.queued_bytes().await?, Ordering::Relaxed);
    app.queues.see(app.bus.waiting(&app.queues.next()).await?);
    Ok(())
}

async fn look_again_and_again(app: &App) {
    loop {
        match look(app).await {
            Ok(()) => {}
            Err(error) => debug!(error = error.chain(), "it cannot be seen what waits; trying again"),
        }
        if app.queues.known().is_empty() {
            // It only ends sooner.
            let _ = timeout(LOOK_AROUND, app.queues.used.notified()).await;
        } else {
            sleep(EVERY).await;
        }
    }
}
