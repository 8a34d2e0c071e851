//! What follows from one attempt to run a call: a pure function.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// How one attempt ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The function answered, well or badly; its status and body are the result.
    Answered(Answer),
    /// The replica has as many calls as it takes.
    Busy,
    /// The function could not be reached, or broke off before its answer was complete.
    Failed { reason: String },
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What the platform has to say about it, if the function did not answer itself.
    pub(crate) reason: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Decision {
    /// Store the answer; the call is finished.
    Done(Answer),
    /// Try again after a while.
    Retry { after: Duration, is_attempt: bool },
    /// Give it up and keep it with the reason.
    Dead { reason: String },
}

const BUSY_FOR: Duration = Duration::from_millis(200);
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Decides. `attempt` counts from 1; waiting for a busy replica is not an attempt.
///
/// | outcome | attempt | decision |
/// |---|---|---|
/// | answered, whatever the status | any | done |
/// | busy | any | retry, not counted |
/// | failed | before the last | retry, exponential |
/// | failed | last | dead |
pub(crate) fn decide(outcome: Outcome, attempt: u64, attempts: u64) -> Decision {
    match outcome {
        Outcome::Answered(answer) => Decision::Done(answer),
        Outcome::Busy => Decision::Retry { after: BUSY_FOR, is_attempt: false },
        Outcome::Failed { reason } if attempt >= attempts => {
            Decision::Dead { reason: format!("{reason} (attempt {attempt} of {attempts})") }
        }
        Outcome::Failed { .. } => {
            let doubled = FIRST_WAIT.saturating_mul(1 << (attempt.saturating_sub(1)).min(10));
            Decision::Retry { after: doubled.min(LONGEST_WAIT), is_attempt: true }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Outcome {
        Outcome::Failed { reason: "no replica".to_owned() }
    }

    #[test]
    fn an_answer_is_final_whatever_its_status() {
        for status in [200, 302, 404, 500, 503] {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
                reason: None,
            };
            assert!(matches!(decide(Outcome::Answered(answer), 9, 3), Decision::Done(_)));
        }
    }

    #[test]
    fn a_busy_replica_never_kills_a_call() {
        for attempt in [1, 3, 1_000] {
            assert!(matches!(decide(Outcome::Busy, attempt, 3), Decision::Retry { is_attempt: false, .. }));
        }
    }

    #[test]
    fn failures_wait_longer_each_time_and_end_dead() {
        let mut last = Duration::ZERO;
        for attempt in 1..10 {
            let Decision::Retry { after, is_attempt: true } = decide(failed(), attempt, 10) else {
                panic!("attempt {attempt} of 10 is retried")
            };
            assert!(after >= last && after <= LONGEST_WAIT);
            last = after;
        }
        let Decision::Dead { reason } = decide(failed(), 10, 10) else { panic!("the last attempt is final") };
        assert_eq!(reason, "no replica (attempt 10 of 10)");
    }
}
