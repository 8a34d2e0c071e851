//! Waiting for a state, never for a time.

use std::time::{Duration, Instant};

/// Nothing is expected to take this long; it ends a test that would wait for ever.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Looks until the condition holds.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    wait_for(what, async || condition().await.then_some(())).await;
}

/// Looks until there is something to be found.
pub(crate) async fn wait_for<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < give_up, "waited in vain for this: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
