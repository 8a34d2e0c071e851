//! What must hold of the occurrences that do not run, and of those that run late.

use skep_protocol::{Missed, ON_TIME, is_missed};
use time::{Duration, OffsetDateTime};

use super::{Call, Plan, World};
use crate::Gap;

/// What is no later is in time, even if the next one is due.
const PROMPT: Duration = Duration::seconds(5);

impl Call {
    fn next_at(&self) -> Option<OffsetDateTime> {
        self.occurrence.lateness.as_ref()?.next_at
    }
}

impl World {
    fn was_missed(&self, at: OffsetDateTime) -> bool {
        is_missed(at, self.schedule().after(at), self.now)
    }

    /// Only what the policy leaves out is left out.
    pub(super) fn check_left_out(&self, left_out: &[OffsetDateTime]) {
        let (Some(first), Some(last)) = (left_out.first(), left_out.last()) else { return };
        let (missed, within) = (self.schedule().missed, self.schedule().missed_within);
        let is_wanted = |at: &&OffsetDateTime| **at > self.now - within;
        match missed {
            Missed::Skip => {
                let late = left_out.iter().all(|at| self.was_missed(*at));
                assert!(late, "what is on time is planned: {left_out:?}");
            }
            Missed::Latest => {
                let next = self.schedule().after(*last).filter(|next| *next <= self.now);
                let runs = next.is_some_and(|next| self.calls.contains_key(&self.id(next)));
                assert!(runs || !left_out.iter().any(|at| is_wanted(&at)), "the last one runs, and not {last}");
            }
            Missed::All => {
                assert!(self.was_missed(*first), "what is on time is planned: {left_out:?}");
                let wanted = left_out.iter().filter(is_wanted).count();
                let kept = self.calls.values().filter(|call| call.occurrence.lateness.is_none()).count();
                assert!(wanted == 0 || kept >= 100, "all run, up to a hundred: {wanted} are left out");
            }
        }
    }

    /// What is reported as missed is what was missed.
    pub(super) fn check_gap(&self, known: Plan, gap: Option<Gap>, left_out: &[OffsetDateTime]) {
        let mut missed: Vec<_> = self.schedule().between(known.until, self.now).collect();
        if self.schedule().missed == Missed::Skip {
            missed.retain(|at| self.was_missed(*at));
        }
        let Some(gap) = gap else { return assert!(left_out.is_empty(), "nothing reports {left_out:?}") };
        assert_eq!((Some(&gap.first), Some(&gap.last)), (missed.first(), missed.last()));
        assert_eq!(gap.count, missed.len().min(1000) as u64);
        // A planner that was cut off may have planned some of them.
        assert!(gap.run < gap.count && left_out.len() as u64 <= missed.len() as u64 - gap.run, "{gap:?} {left_out:?}");
    }

    /// Whether an older call is to run before others: not if it is too old, also for a planner that was cut off and has left it.
    pub(super) fn is_before_all(&self, older: &Call) -> bool {
        let too_old = self.now - self.schedule().missed_within.max(ON_TIME) - Duration::NANOSECOND;
        let first = self.schedule().last_between(too_old, self.now).into_iter().next();
        let is_missed = older.occurrence.miss(older.run_at, self.now).is_some();
        !is_missed && first.is_none_or(|first| older.occurrence.planned_at >= first)
    }

    /// A call is skipped because an earlier one ran when it was wanted, and not because that one was late.
    pub(super) fn check_skipped(&self, call: &Call, of: &Call) {
        let (Some(begun_at), true) = (of.begun_at, call.occurrence.lateness.is_some()) else { return };
        match self.schedule().missed {
            Missed::All => assert!(begun_at <= call.run_at, "all run: {call:?} {of:?}"),
            // A jitter that is longer than the period mixes them.
            Missed::Latest if !of.waited && of.run_at.max(of.next_at().unwrap_or(of.run_at)) <= call.run_at => {
                assert!(begun_at <= call.run_at + PROMPT, "the newest runs: {call:?} {of:?}");
            }
            Missed::Latest | Missed::Skip => {}
        }
    }

    /// What begins was not missed, or is to run all the same.
    pub(super) fn check_late(&self, call: &Call) {
        let (missed, late) = (self.schedule().missed, self.now - call.run_at);
        if call.waited || call.occurrence.lateness.is_none() || missed == Missed::All {
            return;
        }
        let due_at = |at| self.schedule().due_at(self.receiver.name().as_str(), at);
        let next = self.schedule().after(call.occurrence.planned_at).map(due_at);
        assert!(late <= PROMPT || next.is_none_or(|next| next > self.now), "a later one is due: {call:?}");
        assert!(late <= ON_TIME || missed == Missed::Latest, "it is {late} late: {call:?}");
    }
}
