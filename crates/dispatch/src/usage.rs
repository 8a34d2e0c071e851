//! Whether a function is in use, and the report of it.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use skep_bus::Activity;
use tokio_util::sync::CancellationToken;

use crate::Registry;

/// How often the functions in use are published.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// One function's calls from here, those that wait for a replica included.
#[derive(Default)]
pub(crate) struct Usage {
    under_way: AtomicUsize,
    since_last_told: AtomicBool,
}

pub(crate) struct Use<'usage>(&'usage Usage);

impl Usage {
    pub(crate) fn begin(&self) {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.touch();
    }

    /// A use for as long as it is held.
    pub(crate) fn held(&self) -> Use<'_> {
        self.begin();
        Use(self)
    }

    /// Ends what was begun.
    pub(crate) fn end(&self) {
        // What ends now was in use until now.
        self.touch();
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn touch(&self) {
        self.since_last_told.store(true, Ordering::Relaxed);
    }

    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Whether it was used since this was asked last, or is in use now.
    fn take(&self) -> bool {
        self.since_last_told.swap(false, Ordering::Relaxed) || self.under_way() > 0
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Tells the controller of the functions that it may scale to zero, until shutdown.
pub(crate) async fn announce(activity: Activity, registry: Registry, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(REPORT_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        let functions = registry.snapshot();
        let used = functions.iter().filter(|function| function.may_rest() && function.usage.take());
        let names: Vec<_> = used.map(|function| function.name.clone()).collect();
        shutdown.run_until_cancelled(activity.announce(&names)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_use_from_its_begin_to_after_its_end() {
        let usage = Usage::default();
        assert!(!usage.take());
        usage.begin();
        assert!(usage.take() && usage.take());
        usage.end();
        assert!(usage.take() && !usage.take());
        usage.touch();
        assert!(usage.take() && !usage.take());
    }
}
