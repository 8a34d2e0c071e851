//! The decision after an attempt: a pure function, and its table for the documentation.

use std::time::Duration;

use skep_protocol::{RETRY_MAX_AGE, RetryPolicy, format_duration};

/// How one attempt ended, as far as it decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<'reason> {
    /// The function answered, or ran longer than its timeout, which is a 504. A program that exits with other than 0 is a 500.
    Answered {
        status: u16,
        /// What the answer's `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// There is no replica, or the chosen one has as many calls as it takes.
    Busy,
    /// The platform could not run it: no connection, broken off or fallen silent, or the watchdog says so.
    Failed { reason: &'reason str },
}

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Store the answer; the call has ended.
    Done,
    /// Make the next attempt after a while.
    RetryAfter(Duration),
    /// Make the same attempt after a while: this one does not count.
    WaitFor(Duration),
    /// Give it up, and keep it with the reason.
    Dead(String),
}

/// How an attempt is made, beside the policy.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Counted from 1.
    pub attempt: u64,
    /// How often this attempt found its replica busy, this time included.
    pub busy: u32,
    /// How long ago the call could have run first.
    pub age: Duration,
    /// From 0 up to 1, for waits that are spread at random.
    pub random: f64,
}

/// When a busy replica is asked again.
const BUSY_RETRY_DELAY: Duration = Duration::from_millis(200);
/// An attempt that finds its replica busy as often has failed: an hour, for a replica that answers at once.
const MAX_BUSY: u32 = 18_000;
/// `Retry-After` can ask for no more.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The table of [`decide`]: what happened, at which attempt, and what follows.
pub const TABLE: [[&str; 3]; 9] = [
    ["the function answered with a status that is not among the codes", "any", "done"],
    ["the function answered with one of the codes", "before the last", "the next attempt after the wait"],
    [
        "it answered 429 or 503, one of the codes, with `Retry-After`",
        "before the last",
        "the next attempt after that time, but not before the shortest wait",
    ],
    ["the function answered with one of the codes", "the last", "dead, with the answer"],
    [
        "there is no replica, or the replica has as many calls as it accepts",
        "any",
        "the same attempt after 0.2 s; this one does not count",
    ],
    ["the same 18,000 times in one attempt, which takes an hour at least", "any", "as when there is no connection"],
    [
        "no connection, broken off or fallen silent, or the watchdog could not run it",
        "before the last",
        "the next attempt after the wait",
    ],
    ["no connection, broken off or fallen silent, or the watchdog could not run it", "the last", "dead"],
    ["any of these that would be tried again, but the call would then be older than its longest age", "any", "dead"],
];

/// Decides, see [`TABLE`].
pub fn decide(ended: Ended<'_>, circumstances: Circumstances, policy: &RetryPolicy) -> Decision {
    let Circumstances { attempt, busy, age, random } = circumstances;
    let (what, asked) = match ended {
        Ended::Answered { status, .. } if !policy.codes.contain(status) => return Decision::Done,
        Ended::Answered { status, retry_after } => {
            (format!("the function answered {status}"), retry_after.filter(|_| matches!(status, 429 | 503)))
        }
        Ended::Failed { reason } => (reason.to_owned(), None),
        Ended::Busy if busy >= MAX_BUSY => (format!("no replica was free, {busy} times in a row"), None),
        Ended::Busy if is_too_old(age + BUSY_RETRY_DELAY, policy) => return too_old("no replica was free", policy),
        Ended::Busy => return Decision::WaitFor(BUSY_RETRY_DELAY),
    };
    if attempt >= policy.attempts {
        return Decision::Dead(format!("{what} (attempt {attempt} of {})", policy.attempts));
    }
    let wait = match asked {
        Some(asked) => asked.min(MAX_RETRY_AFTER).max(policy.min_wait),
        None => policy.wait(attempt, random),
    };
    if is_too_old(age.saturating_add(wait), policy) {
        return too_old(&what, policy);
    }
    Decision::RetryAfter(wait)
}

/// Whether a call of this age is not to be run any more.
pub(crate) fn is_too_old(age: Duration, policy: &RetryPolicy) -> bool {
    policy.max_age.is_some_and(|max_age| age > max_age)
}

fn too_old(what: &str, policy: &RetryPolicy) -> Decision {
    let max_age = format_duration(policy.max_age.unwrap_or_default());
    Decision::Dead(format!("{what}, and by the next attempt it would be older than {max_age}, its {RETRY_MAX_AGE}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skep_protocol::Backoff;

    use super::*;

    fn any_backoff() -> impl Strategy<Value = Backoff> {
        prop_oneof![Just(Backoff::Exponential), Just(Backoff::Full), Just(Backoff::Equal), Just(Backoff::Fixed)]
    }

    prop_compose! {
        fn any_policy()(
            attempts in 1..50_u64,
            codes in proptest::sample::subsequence(vec![408_u16, 429, 500, 502, 503, 504], 0..=6),
            min_wait in 1..10_000_u64,
            more in 0..100_000_u64,
            backoff in any_backoff(),
            max_age in proptest::option::of(1..1_000_000_u64),
        ) -> RetryPolicy {
            let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
            RetryPolicy {
                attempts,
                codes: codes.join(",").parse().unwrap(),
                min_wait: Duration::from_millis(min_wait),
                max_wait: Duration::from_millis(min_wait + more),
                backoff,
                max_age: max_age.map(Duration::from_millis),
            }
        }
    }

    fn any_end() -> impl Strategy<Value = Ended<'static>> {
        let retry_after = proptest::option::of((0..200_000_u64).prop_map(Duration::from_secs));
        prop_oneof![
            (200..600_u16, retry_after).prop_map(|(status, retry_after)| Ended::Answered { status, retry_after }),
            Just(Ended::Busy),
            Just(Ended::Failed { reason: "no connection" }),
        ]
    }

    prop_compose! {
        fn any_circumstances()(
            attempt in 1..60_u64, busy in 0..2 * MAX_BUSY, age in 0..2_000_000_u64, random in 0.0..1.0_f64,
        ) -> Circumstances {
            Circumstances { attempt, busy, age: Duration::from_millis(age), random }
        }
    }

    proptest! {
        #[test]
        fn an_answer_is_final_exactly_if_its_status_is_not_among_the_codes(
            ended in any_end(), circumstances in any_circumstances(), policy in any_policy(),
        ) {
            let is_final = matches!(ended, Ended::Answered { status, .. } if !policy.codes.contain(status));
            prop_assert_eq!(decide(ended, circumstances, &policy) == Decision::Done, is_final);
        }

        #[test]
        fn an_attempt_that_follows_is_within_the_policy(
            ended in any_end(), circumstances in any_circumstances(), policy in any_policy(),
        ) {
            let Decision::RetryAfter(wait) = decide(ended, circumstances, &policy) else { return Ok(()) };
            prop_assert!(circumstances.attempt < policy.attempts);
            prop_assert!(!is_too_old(circumstances.age + wait, &policy));
            match ended {
                Ended::Answered { status: 429 | 503, retry_after: Some(asked) } => {
                    prop_assert!(wait >= policy.min_wait && wait >= asked.min(MAX_RETRY_AFTER));
                }
                _ => prop_assert!(wait <= policy.max_wait),
            }
        }

        #[test]
        fn waiting_for_a_replica_is_no_attempt_and_kills_no_call_but_by_age(
            circumstances in any_circumstances(), policy in any_policy(),
        ) {
            prop_assume!(circumstances.busy < MAX_BUSY);
            match decide(Ended::Busy, circumstances, &policy) {
                Decision::WaitFor(wait) => prop_assert!(!is_too_old(circumstances.age + wait, &policy)),
                Decision::Dead(reason) => prop_assert!(policy.max_age.is_some() && reason.contains(RETRY_MAX_AGE)),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn every_call_comes_to_its_end(ended in any_end(), policy in any_policy(), random in 0.0..1.0_f64) {
            let end = (1..=policy.attempts).find(|&attempt| {
                let circumstances = Circumstances { attempt, busy: MAX_BUSY, age: Duration::ZERO, random };
                match decide(ended, circumstances, &policy) {
                    Decision::RetryAfter(_) => false,
                    Decision::WaitFor(_) => panic!("a replica that is busy for ever is asked for ever"),
                    Decision::Done | Decision::Dead(_) => true,
                }
            });
            prop_assert!(end.is_some(), "it is tried again after its last attempt");
        }
    }

    #[test]
    fn the_last_attempt_says_what_came_of_it() {
        let last = Circumstances { attempt: 10, busy: 0, age: Duration::ZERO, random: 0.5 };
        let answered = Ended::Answered { status: 500, retry_after: None };
        let dead = |reason: &str| Decision::Dead(reason.to_owned());
        let policy = RetryPolicy::default();
        assert_eq!(decide(answered, last, &policy), dead("the function answered 500 (attempt 10 of 10)"));
        let failed = Ended::Failed { reason: "no replica can be reached" };
        assert_eq!(decide(failed, last, &policy), dead("no replica can be reached (attempt 10 of 10)"));
    }

    #[test]
    fn retry_after_counts_for_429_and_503_only() {
        let first = Circumstances { attempt: 1, busy: 0, age: Duration::ZERO, random: 0.5 };
        let wait = |status, seconds| {
            let ended = Ended::Answered { status, retry_after: Some(Duration::from_secs(seconds)) };
            decide(ended, first, &RetryPolicy::default())
        };
        let after = |seconds| Decision::RetryAfter(Duration::from_secs(seconds));
        assert_eq!([wait(503, 600), wait(429, 2), wait(500, 600)], [after(600), after(10), after(5)]);
        assert_eq!(wait(503, 1_000_000), Decision::RetryAfter(MAX_RETRY_AFTER));
    }

    #[test]
    fn the_table_is_printed_in_the_docs() {
        let docs = include_str!("../../docs/async.md");
        for row in TABLE {
            let printed = format!("| {} |", row.join(" | "));
            assert!(docs.contains(&printed), "docs/async.md lacks this row: {printed}");
        }
    }
}
