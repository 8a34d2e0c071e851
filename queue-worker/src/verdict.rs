//! What a worker does with a delivery once it has looked up what became of its call: a pure function.

use std::time::Duration;

use skep_backoff::Backoff;
use skep_bus::{Error, life::NextStep};

/// When a delivery that could not be looked up is delivered again.
pub(crate) const BUS_RETRY_DELAY: Duration = Duration::from_secs(2);
/// When a call that another delivery holds is delivered again.
const HELD_ELSEWHERE: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(64));
/// A call that was interrupted this often in a row is given up, because it may be what ends its workers.
const MAX_INTERRUPTIONS: u64 = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Run,
    /// The call has ended, or another message of it counts.
    Acknowledge,
    /// It stays where it is: the worker that has it may be about to acknowledge it there.
    Again(Duration),
    /// Nothing is known of it yet.
    GiveBack(Duration),
    Dead(String),
}

/// Judges a delivery that was made so often, of a call that was interrupted so often. `None` was found if another delivery of the call is held.
pub(crate) fn verdict(found: &Result<Option<NextStep>, Error>, delivered: u64, interruptions: u64) -> Verdict {
    match found {
        Ok(None) => Verdict::Again(HELD_ELSEWHERE.after(delivered)),
        Ok(Some(NextStep::Run)) if interruptions >= MAX_INTERRUPTIONS => Verdict::Dead(format!(
            "{MAX_INTERRUPTIONS} times in a row the queue-worker that had it was gone, or cut off from NATS, before it ended"
        )),
        Ok(Some(NextStep::Run)) => Verdict::Run,
        Ok(Some(NextStep::Finished | NextStep::Superseded)) => Verdict::Acknowledge,
        Err(error) if error.may_pass() => Verdict::GiveBack(BUS_RETRY_DELAY),
        Err(error) => Verdict::Dead(format!("it cannot be looked up whether it has ended: {}", error.chain())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_that_counts_runs_and_one_that_does_not_is_acknowledged() {
        assert_eq!(verdict(&Ok(Some(NextStep::Run)), 1, 0), Verdict::Run);
        for step in [NextStep::Finished, NextStep::Superseded] {
            // Also one that was interrupted often: it has ended all the same.
            for interruptions in [0, MAX_INTERRUPTIONS] {
                assert_eq!(verdict(&Ok(Some(step)), 1, interruptions), Verdict::Acknowledge);
            }
        }
    }

    #[test]
    fn a_call_that_ends_its_workers_is_given_up() {
        assert_eq!(verdict(&Ok(Some(NextStep::Run)), 1, MAX_INTERRUPTIONS - 1), Verdict::Run);
        let Verdict::Dead(reason) = verdict(&Ok(Some(NextStep::Run)), 1, MAX_INTERRUPTIONS) else {
            panic!("it runs again");
        };
        assert!(reason.contains("10 times in a row"), "{reason}");
    }

    #[test]
    fn a_call_that_another_worker_has_comes_again_later_and_later_and_is_never_given_up() {
        let Verdict::Again(first) = verdict(&Ok(None), 1, MAX_INTERRUPTIONS) else { panic!("it is not left") };
        let Verdict::Again(later) = verdict(&Ok(None), 5, 0) else { panic!("it is not left") };
        assert!(first < later, "{first:?}, {later:?}");
    }

    #[test]
    fn what_cannot_be_looked_up_is_tried_again_unless_it_never_can() {
        assert_eq!(verdict(&Err(Error::unavailable("away")), 1, 0), Verdict::GiveBack(BUS_RETRY_DELAY));
        let unreadable = Error::Unreadable { subject: "skep.calls".to_owned(), reason: "garbage".to_owned() };
        let Verdict::Dead(reason) = verdict(&Err(unreadable), 1, 0) else { panic!("it is tried for ever") };
        assert!(reason.contains("garbage"), "{reason}");
    }
}
