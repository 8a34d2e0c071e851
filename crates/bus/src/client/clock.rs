//! The clock of the NATS server: it decides when a call is due, so all times of calls come from it, and not from the clock of this machine.
//!
//! It is the same for all that a process does, because all roles of a process are on one bus.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Instant,
};

use async_nats::jetstream::response::Response;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use tracing::{info, warn};

use crate::{Connection, Error, Result};

/// A smaller difference counts as none.
const MIN_DIFFERENCE: Duration = Duration::milliseconds(250);
/// A larger one is logged.
const MIN_LOGGED_DIFFERENCE: Duration = Duration::seconds(2);

static SERVER: Clock = Clock(AtomicI64::new(0));

/// Now, by the server's clock.
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc() + ahead()
}

/// By how much the server's clock is ahead of this machine's, as far as it is known.
pub fn ahead() -> Duration {
    SERVER.ahead()
}

/// By how many nanoseconds a clock is ahead.
struct Clock(AtomicI64);

impl Clock {
    fn ahead(&self) -> Duration {
        Duration::nanoseconds(self.0.load(Ordering::Relaxed))
    }

    /// Notes the other clock's answer, and how long the answer took; returns what was known before.
    fn said(&self, asked_at: OffsetDateTime, took: Duration, said: OffsetDateTime) -> Duration {
        let uncertain: Duration = took / 2;
        let ahead: Duration = said - (asked_at + uncertain);
        let ahead = if ahead.abs() <= uncertain.max(MIN_DIFFERENCE) { Duration::ZERO } else { ahead };
        let nanoseconds = i64::try_from(ahead.whole_nanoseconds()).unwrap_or(0);
        Duration::nanoseconds(self.0.swap(nanoseconds, Ordering::Relaxed))
    }
}

/// What the server says of a stream, with its time.
#[derive(Deserialize)]
struct Said {
    #[serde(with = "time::serde::rfc3339")]
    ts: OffsetDateTime,
}

impl Connection {
    /// Asks the server for its time: the one that leads the stream of calls that wait for theirs.
    pub(crate) async fn check_clock(&self) -> Result<()> {
        let api = format!("STREAM.INFO.{}", self.subjects.stream("DELAYED"));
        let (asked_at, began) = (OffsetDateTime::now_utc(), Instant::now());
        let said = match self.jetstream.request(api, &serde_json::json!({})).await.map_err(Error::unavailable)? {
            Response::Ok(Said { ts }) => ts,
            Response::Err { error } => return Err(Error::unavailable(error)),
        };
        let took = Duration::try_from(began.elapsed()).unwrap_or(Duration::MAX);
        let before = SERVER.said(asked_at, took, said);
        match (before.abs() > MIN_LOGGED_DIFFERENCE, ahead().abs() > MIN_LOGGED_DIFFERENCE) {
            (false, true) => warn!(
                server_is_ahead_by = %ahead(),
                "the clock of this machine is not that of the NATS server, which is used for when calls are due; set one of them right"
            ),
            (true, false) => info!("the clocks of this machine and of the NATS server agree again"),
            (true, true) | (false, false) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_known_to_half_the_time_that_the_answer_took() {
        let (clock, asked_at) = (Clock(AtomicI64::new(0)), OffsetDateTime::UNIX_EPOCH);
        let said = |ahead: i64, took: i64| {
            let (ahead, took) = (Duration::milliseconds(ahead), Duration::milliseconds(took));
            clock.said(asked_at, took, asked_at + took / 2 + ahead);
            clock.ahead().whole_milliseconds()
        };
        assert_eq!([said(3_600_000, 10), said(-3_600_000, 10)], [3_600_000, -3_600_000]);
        assert_eq!([said(200, 10), said(300, 10), said(-300, 10)], [0, 300, -300]);
        assert_eq!([said(900, 2000), said(1100, 2000)], [0, 1100], "the answer was on its way");
    }
}
