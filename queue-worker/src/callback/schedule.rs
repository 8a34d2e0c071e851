//! When a callback is tried again, and when it is given up: pure functions.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use skep_backoff::{Backoff, jittered};
use skep_protocol::retry_after;
use time::OffsetDateTime;

/// Between two tries.
pub(super) const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(300));

/// Why a callback was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It may be taken later, after the time that the receiver named, if it named one.
    ForNow { reason: String, retry_after: Option<Duration> },
    /// It will never be taken.
    ForGood { reason: String },
}

impl Refusal {
    pub(super) fn for_now(reason: impl Into<String>) -> Self {
        Self::ForNow { reason: reason.into(), retry_after: None }
    }

    pub(super) fn reason(&self) -> &str {
        match self {
            Self::ForNow { reason, .. } | Self::ForGood { reason } => reason,
        }
    }

    /// For the metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::ForNow { .. } => "not_now",
            Self::ForGood { .. } => "never",
        }
    }
}

/// What follows from a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Again { after: Duration, reason: String },
    GiveUp { reason: String },
}

/// Judges a receiver's answer.
///
/// | answer | judgement |
/// |---|---|
/// | 2xx | taken |
/// | 408, 425, 429, 5xx | not now |
/// | anything else; redirects are not followed | never |
pub(super) fn judge(status: StatusCode, headers: &HeaderMap, now: OffsetDateTime) -> Result<(), Refusal> {
    if status.is_success() {
        return Ok(());
    }
    let reason = format!("the receiver answered {status}");
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {}
        status if status.is_server_error() => {}
        status if status.is_redirection() => {
            return Err(Refusal::ForGood { reason: format!("{reason}: redirects are not followed") });
        }
        _ => return Err(Refusal::ForGood { reason }),
    }
    Err(Refusal::ForNow { reason, retry_after: retry_after(headers, now) })
}

/// Decides: again with a growing pause, until the callback is older than it may become.
pub(super) fn next(refusal: Refusal, tries: u64, age: Duration, give_up_at: Duration, jitter: f64) -> Next {
    let (reason, retry_after) = match refusal {
        Refusal::ForNow { reason, retry_after } => (reason, retry_after),
        Refusal::ForGood { reason } => return Next::GiveUp { reason },
    };
    let after = jittered(BACKOFF.after(tries), jitter).max(retry_after.unwrap_or_default());
    if age + after >= give_up_at {
        return Next::GiveUp { reason: format!("{reason} (try {tries}, for {} s)", age.as_secs()) };
    }
    Next::Again { after, reason }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};
    use proptest::prelude::*;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn status(code: u16) -> StatusCode {
        StatusCode::from_u16(code).unwrap()
    }

    #[test]
    fn only_what_may_change_is_tried_again() {
        let judge = |code| judge(status(code), &HeaderMap::new(), NOW);
        assert_eq!(judge(204), Ok(()));
        for code in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(judge(code), Err(Refusal::ForNow { .. })), "{code}");
        }
        for code in [301, 302, 307, 308, 400, 401, 404, 410] {
            assert!(matches!(judge(code), Err(Refusal::ForGood { .. })), "{code}");
        }
    }

    #[test]
    fn a_receiver_may_say_when() {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("90"))]);
        let refusal = judge(status(503), &headers, NOW).unwrap_err();
        let Next::Again { after, .. } = next(refusal, 1, Duration::ZERO, Duration::from_secs(3600), 0.5) else {
            panic!("there is time left")
        };
        assert_eq!(after, Duration::from_secs(90));
    }

    #[test]
    fn a_refusal_for_good_ends_it() {
        let refusal = Refusal::ForGood { reason: "x".to_owned() };
        assert_eq!(next(refusal, 1, Duration::ZERO, Duration::MAX, 0.5), Next::GiveUp { reason: "x".to_owned() });
    }

    proptest! {
        #[test]
        fn a_retry_is_always_within_the_time_that_is_left(
            tries in 1u64.., age in 0u64..10_000, limit in 1u64..10_000, asked in 0u64.., jitter in 0.0f64..1.0,
        ) {
            let (age, limit) = (Duration::from_secs(age), Duration::from_secs(limit));
            let refusal = Refusal::ForNow { reason: "x".into(), retry_after: Some(Duration::from_secs(asked % 100_000)) };
            match next(refusal, tries, age, limit, jitter) {
                Next::Again { after, .. } => prop_assert!(age + after < limit && !after.is_zero()),
                Next::GiveUp { reason } => prop_assert!(reason.starts_with('x')),
            }
        }
    }
}
