//! The log of requests that are refused because NATS is away: the first one at once, and then once a minute how many there were.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::warn;

const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// It belongs to the process, as its log does.
static REFUSED: Mutex<Logged> = Mutex::new(Logged { last: None, unlogged: 0 });

struct Logged {
    last: Option<Instant>,
    unlogged: u64,
}

impl Logged {
    /// How many were refused since the last log line, this one included, if it is time for the next line.
    fn refused(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        if self.last.is_some_and(|last| now - last < LOG_INTERVAL) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

/// Tells of a request that was refused, or counts it.
pub(crate) fn refused(error: &str, code: &str) {
    let logged = REFUSED.lock().unwrap_or_else(PoisonError::into_inner).refused(Instant::now());
    if let Some(requests) = logged {
        warn!(error, code, requests, "requests cannot be served; further ones are counted and logged once a minute");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_the_others_are_counted() {
        let (mut logged, began) = (Logged { last: None, unlogged: 0 }, Instant::now());
        let mut after = |seconds| logged.refused(began + Duration::from_secs(seconds));
        assert_eq!([after(0), after(1), after(59)], [Some(1), None, None]);
        assert_eq!([after(60), after(61), after(200)], [Some(3), None, Some(2)]);
    }
}
