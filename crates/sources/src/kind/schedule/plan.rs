//! What a planner does about a schedule at a moment: a pure function of how far the schedule is planned, and of the time.
//!
//! The next two occurrences are always planned, and all within the next two minutes, so that they run without the planner.

use std::time::Duration;

use skep_protocol::{Missed, ON_TIME, Overlap};
use time::OffsetDateTime;

use super::Schedule;

/// Occurrences that are planned, however far they are away.
const ALWAYS: usize = 2;
const AHEAD: Duration = Duration::from_secs(120);
const MOST_AHEAD: usize = 50;
/// Missed occurrences that run, or are listed.
const MOST_MISSED: usize = 100;
/// Missed occurrences that are counted.
const MOST_COUNTED: usize = 1000;
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);

/// An occurrence whose calls are to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    pub at: OffsetDateTime,
    pub overlap: Overlap,
    /// How many were missed, if it runs for them.
    pub missed: Option<u64>,
}

/// An occurrence whose time is over, to be listed as an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub at: OffsetDateTime,
    pub missed: Option<u64>,
    /// Why no call was made, if none was.
    pub ignored: Option<&'static str>,
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
    /// How many were missed and do not run.
    pub missed: u64,
    /// When to look again; never for a schedule that is over.
    pub look_at: Option<OffsetDateTime>,
}

/// What becomes of the occurrences that are over and were not planned.
struct Past {
    run: Vec<Due>,
    ignored: Vec<OffsetDateTime>,
    missed: u64,
}

impl Schedule {
    /// What is to be done now, when all occurrences up to `planned_until` are planned and those up to `listed_until` are listed.
    pub fn step(&self, planned_until: OffsetDateTime, listed_until: OffsetDateTime, now: OffsetDateTime) -> Step {
        let past = self.past(planned_until, now);
        let is_near = |(number, at): &(usize, OffsetDateTime)| *number < ALWAYS || *at <= now + AHEAD;
        let ahead = self.all_after(now).enumerate().take_while(is_near).take(MOST_AHEAD);
        let ahead: Vec<_> = ahead.map(|(_, at)| at).collect();
        let known = ahead.iter().filter(|at| **at <= planned_until).count();
        let mut until = planned_until;
        let mut run = past.run.clone();
        // Half of them at a time, so that a schedule of every second is not planned anew each second.
        if known < ALWAYS.max(ahead.len() / 2) {
            let new = ahead.iter().filter(|at| **at > planned_until);
            run.extend(new.map(|at| Due { at: *at, overlap: self.overlap, missed: None }));
            until = ahead.last().copied().unwrap_or(until).max(until);
        }
        if !past.run.is_empty() || !past.ignored.is_empty() {
            until = until.max(now);
        }
        Step {
            run,
            planned_until: until,
            listed: self.listed(listed_until, planned_until.min(now), &past),
            missed: past.missed,
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
    fn past(&self, planned_until: OffsetDateTime, now: OffsetDateTime) -> Past {
        let late_until = now - ON_TIME;
        let on_time = self.between(planned_until.max(late_until), now);
        let mut run: Vec<_> = on_time.map(|at| Due { at, overlap: self.overlap, missed: None }).collect();
        let (mut late, count) = self.last_of(planned_until.max(now - self.missed_within), late_until);
        let mut missed = count;
        match self.missed {
            Missed::All => {
                missed -= late.len() as u64;
                let all = late.drain(..).map(|at| Due { at, overlap: self.overlap.in_turn(), missed: Some(count) });
                run.splice(0..0, all);
            }
            // One that is on time runs in the place of those before it.
            Missed::Latest if run.is_empty() => {
                if let Some(at) = late.pop() {
                    missed -= 1;
                    run.push(Due { at, overlap: self.overlap, missed: Some(count) });
                }
            }
            Missed::Latest | Missed::Skip => {}
        }
        Past { run, ignored: late, missed }
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
