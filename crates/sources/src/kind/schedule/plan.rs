//! What a planner does about a schedule at a moment: a pure function of how far the schedule is planned, and of the time.
//!
//! The next two occurrences are always planned, and all within the next two minutes, so that they run without the planner.

use std::time::Duration;

use skep_protocol::{EventId, Missed, ON_TIME, Overlap, is_missed};
use time::OffsetDateTime;

use super::Schedule;
use crate::occurrence_id;

/// Occurrences that are planned, however far they are away.
const ALWAYS: usize = 2;
const AHEAD: Duration = Duration::from_secs(120);
const MOST_AHEAD: usize = 50;
/// Missed occurrences that run, or are listed.
const MOST_MISSED: usize = 100;
/// Missed occurrences that are counted.
const MOST_COUNTED: usize = 1000;
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);
const SECOND: Duration = Duration::from_secs(1);

/// An occurrence whose calls are to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub at: OffsetDateTime,
    pub overlap: Overlap,
    /// For how many that were missed it runs, itself included.
    pub missed: Option<u64>,
    /// The event of the occurrence before it.
    pub previous: Option<EventId>,
}

/// An occurrence whose time is over, to be listed as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub at: OffsetDateTime,
    pub missed: Option<u64>,
    /// Why no call was made, if none was.
    pub ignored: Option<&'static str>,
}

/// Occurrences that passed while nobody planned them, and that do not all run late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many there are, up to a thousand.
    pub count: u64,
    pub first: OffsetDateTime,
    pub last: OffsetDateTime,
    /// How many of them run late.
    pub run: u64,
}

/// What is to be done about a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The calls of these are to be made, the oldest first. Those that were planned before make no second one.
    pub run: Vec<Due>,
    /// These are planned then, or were decided about.
    pub planned_until: OffsetDateTime,
    /// To be listed, the oldest first.
    pub listed: Vec<Listed>,
    /// What was missed, if not all of it runs late.
    pub gap: Option<Gap>,
    /// When to look again; never for a schedule that is over.
    pub look_at: Option<OffsetDateTime>,
}

/// What becomes of the occurrences that are over and were not planned.
#[derive(Default)]
struct Past {
    run: Vec<Due>,
    ignored: Vec<OffsetDateTime>,
    gap: Option<Gap>,
}

impl Step {
    /// What was planned and nobody ran was missed, too: the latest one runs in the place of these `count`.
    pub fn also_missed(&mut self, first: OffsetDateTime, count: u64) {
        let Some(due) = self.run.first_mut() else { return };
        let missed = due.missed.iter_mut().chain(self.listed.iter_mut().filter_map(|listed| listed.missed.as_mut()));
        missed.for_each(|missed| *missed += count);
        let known = Gap { count: 1, first, last: due.at, run: 1 };
        let gap = self.gap.unwrap_or(known);
        self.gap = Some(Gap { count: gap.count + count, first, ..gap });
    }
}

impl Schedule {
    /// What is to be done now, when all occurrences up to `planned_until` are planned and those up to `listed_until` are listed.
    pub fn step(&self, planned_until: OffsetDateTime, listed_until: OffsetDateTime, now: OffsetDateTime) -> Step {
        let past = self.past(planned_until, listed_until, now);
        let is_near = |(number, at): &(usize, OffsetDateTime)| *number < ALWAYS || *at <= now + AHEAD;
        let ahead = self.all_after(now).enumerate().take_while(is_near).take(MOST_AHEAD);
        let ahead: Vec<_> = ahead.map(|(_, at)| at).collect();
        let known = ahead.iter().filter(|at| **at <= planned_until).count();
        let mut until = planned_until;
        let mut run = past.run.clone();
        // Half of them at a time, so that a schedule of every second is not planned anew each second.
        if known < ALWAYS.max(ahead.len() / 2) {
            let new = ahead.iter().filter(|at| **at > planned_until);
            run.extend(new.map(|at| Due { at: *at, overlap: self.overlap, missed: None, previous: None }));
            until = ahead.last().copied().unwrap_or(until).max(until);
        }
        let mut previous = planned_until;
        for due in &mut run {
            due.previous = occurrence_id(previous);
            previous = due.at;
        }
        if !past.run.is_empty() || !past.ignored.is_empty() {
            until = until.max(now);
        }
        Step {
            run,
            planned_until: until,
            listed: self.listed(listed_until, planned_until.min(now), &past),
            gap: past.gap,
            look_at: ahead.first().map(|next| (*next).max(now + SHORTEST_SLEEP)),
        }
    }

    fn listed(&self, after: OffsetDateTime, up_to: OffsetDateTime, past: &Past) -> Vec<Listed> {
        let planned = self.between(after, up_to).take(MOST_COUNTED);
        let mut listed: Vec<_> = planned.map(|at| Listed { at, missed: None, ignored: None }).collect();
        listed.extend(past.run.iter().map(|due| Listed { at: due.at, missed: due.missed, ignored: None }));
        listed.extend(past.ignored.iter().map(|at| Listed { at: *at, missed: None, ignored: Some("it was missed") }));
        listed.sort_by_key(|listed| listed.at);
        listed
    }

    /// Decides about those that nobody has planned.
    fn past(&self, planned_until: OffsetDateTime, listed_until: OffsetDateTime, now: OffsetDateTime) -> Past {
        let Some(first) = self.after(planned_until).filter(|first| *first <= now) else { return Past::default() };
        // Planners list what has come, so what nobody listed shows for how long there was none.
        let unlisted = self.after(listed_until.min(planned_until)).unwrap_or(first);
        let too_old = now - self.missed_within.max(ON_TIME) - Duration::from_nanos(1);
        let (found, count) = self.last_of(planned_until.max(too_old), now);
        let due = |overlap, missed| move |at: &OffsetDateTime| Due { at: *at, overlap, missed, previous: None };
        if !self.is_missed(unlisted, now) {
            return Past { run: found.iter().map(due(self.overlap, None)).collect(), ..Past::default() };
        }
        // Those of the last minute belong to the outage: what was missed runs before them, or they run in its place.
        let (left_out, (overlap, missed)) = match self.missed {
            Missed::All => (0, (self.overlap.in_turn(), Some(1))),
            Missed::Latest => (found.len().saturating_sub(1), (self.overlap, Some(count))),
            Missed::Skip => (found.partition_point(|at| self.is_missed(*at, now)), (self.overlap, None)),
        };
        let (ignored, run) = found.split_at(left_out);
        let run: Vec<_> = run.iter().map(due(overlap, missed)).collect();
        let gap = match (self.missed, run.first()) {
            (Missed::Skip, Some(on_time)) => self.gap(planned_until, on_time.at - SECOND, 0),
            _ => self.gap(planned_until, now, run.len() as u64),
        };
        Past { run, ignored: ignored.to_vec(), gap }
    }

    /// Whether it is too late for an occurrence to run as if nothing had happened.
    fn is_missed(&self, at: OffsetDateTime, now: OffsetDateTime) -> bool {
        is_missed(at, self.after(at), now)
    }

    /// What was missed between two times, if more than `run` of it.
    fn gap(&self, after: OffsetDateTime, up_to: OffsetDateTime, run: u64) -> Option<Gap> {
        // Those that are too old to run count, too.
        let (found, count) = self.last_of(after, up_to);
        let (first, last) = (self.between(after, up_to).next()?, *found.last()?);
        (count > run).then_some(Gap { count, first, last, run })
    }

    /// The last occurrences between two times, no more than a hundred.
    pub fn last_between(&self, after: OffsetDateTime, up_to: OffsetDateTime) -> Vec<OffsetDateTime> {
        self.last_of(after, up_to).0
    }

    /// The last occurrences between two times, and how many there are, as far as they are counted.
    fn last_of(&self, after: OffsetDateTime, up_to: OffsetDateTime) -> (Vec<OffsetDateTime>, u64) {
        if after >= up_to {
            return (Vec::new(), 0);
        }
        // Only as far back as it takes, because a schedule of every second has many in a day.
        let mut window = ON_TIME;
        loop {
            let from = (up_to - window).max(after);
            let mut found: Vec<_> = self.between(from, up_to).collect();
            if from == after || found.len() >= MOST_COUNTED {
                let count = found.len().min(MOST_COUNTED) as u64;
                found.drain(..found.len().saturating_sub(MOST_MISSED));
                return (found, count);
            }
            window *= 4;
        }
    }
}
