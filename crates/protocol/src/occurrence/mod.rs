//! Occurrences of schedules: what their calls carry, and what is decided about them when they come due.

mod turn;

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

pub use self::turn::{Turn, TurnDecision, TurnRequest};
use crate::{BurstKey, CallId, FunctionName, RouteName, SourceName, format_duration};

/// A call that comes due this much later than it was wanted is on time; it is the time that a restart takes.
pub const ON_TIME: Duration = Duration::from_secs(60);

/// A call that comes due later than this waited for somebody who was away, so the next one may run in its place.
const PROMPT: Duration = Duration::from_secs(5);

/// What the reason of a call begins with that did not run because it came too late.
pub const MISSED: &str = "missed: ";

/// Whether it is too late for an occurrence to run as if nothing had happened: it is more than a minute late, or the next one is due already.
pub fn is_missed(wanted_at: OffsetDateTime, next_at: Option<OffsetDateTime>, now: OffsetDateTime) -> bool {
    let late = now - wanted_at;
    late > ON_TIME || (late > PROMPT && next_at.is_some_and(|next| next <= now))
}

/// What becomes of an occurrence whose schedule still runs an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// It does not run.
    #[default]
    Skip,
    /// One waits until the earlier one has ended; a further one does not run.
    Queue,
    /// The earlier one is cancelled.
    Replace,
    /// Both run.
    Allow,
    /// All wait, and run one after the other. Only backfills and missed occurrences do.
    InTurn,
}

/// What becomes of occurrences that nobody could plan or run in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// The last one runs.
    #[default]
    Latest,
    /// Each runs, the oldest first.
    All,
    /// None runs.
    Skip,
}

/// What an event of a schedule says of its occurrence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventOccurrence {
    /// When it was planned for, in the schedule's time zone.
    #[serde(with = "time::serde::rfc3339")]
    pub planned_at: OffsetDateTime,
    /// For how many that were missed it runs, itself included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
}

/// What a call of a schedule carries, so that a queue-worker can decide about it when it comes due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurrence {
    pub source: SourceName,
    pub route: RouteName,
    #[serde(with = "time::serde::rfc3339")]
    pub planned_at: OffsetDateTime,
    pub overlap: Overlap,
    /// The call of the occurrence before it, which runs first if all run one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<CallId>,
    /// When it is too late for it; none for one that somebody, or the planner, wants although it is late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Lateness>,
}

/// What becomes of a call that nobody took when it came due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lateness {
    pub missed: Missed,
    /// One that is later than this many seconds does not run.
    pub within_seconds: u64,
    /// When the next occurrence is due.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub next_at: Option<OffsetDateTime>,
}

/// How far a schedule is planned, as the registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulePlan {
    /// A hash of the declaration that it was planned by.
    pub spec: String,
    /// All occurrences up to this time are planned, or were decided about.
    #[serde(with = "time::serde::rfc3339")]
    pub planned_until: OffsetDateTime,
    /// All that came up to this time are in the list of events.
    #[serde(with = "time::serde::rfc3339")]
    pub listed_until: OffsetDateTime,
    /// The functions that have calls which wait.
    pub functions: Vec<FunctionName>,
}

impl Occurrence {
    /// Whether its call came so late that what was missed counts.
    pub fn is_missed(&self, wanted_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        self.lateness.as_ref().is_some_and(|lateness| is_missed(wanted_at, lateness.next_at, now))
    }

    /// Whether its call waited for somebody who was away.
    pub fn is_late(wanted_at: OffsetDateTime, now: OffsetDateTime) -> bool {
        now - wanted_at > PROMPT
    }

    /// Names what tells which call of its route runs.
    pub fn turn_key(&self) -> BurstKey {
        let mut hash = Sha256::new();
        hash.update("turn of schedule");
        hash.update([0]);
        hash.update(self.route.as_str());
        let key = hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        BurstKey::of_hash(self.source.clone(), key)
    }

    /// Why it does not run, if it is too late for it.
    pub fn miss(&self, wanted_at: OffsetDateTime, now: OffsetDateTime) -> Option<String> {
        let lateness = self.lateness.as_ref()?;
        if !is_missed(wanted_at, lateness.next_at, now) {
            return None;
        }
        let late = Duration::try_from(now - wanted_at).unwrap_or_default();
        let late_by = format_duration(Duration::from_secs(late.as_secs()));
        if late > ON_TIME && late.as_secs() > lateness.within_seconds {
            let within = format_duration(Duration::from_secs(lateness.within_seconds));
            return Some(format!("{MISSED}it came {late_by} late, and missed_within is {within}"));
        }
        match lateness.missed {
            Missed::Skip => Some(format!("{MISSED}it came {late_by} late")),
            Missed::Latest if lateness.next_at.is_some_and(|next| next <= now) => {
                Some(format!("{MISSED}it came {late_by} late, and a later one runs in its place"))
            }
            Missed::Latest | Missed::All => None,
        }
    }

    /// Whether all of its schedule that were missed run.
    pub fn all_run(&self) -> bool {
        self.lateness.as_ref().is_some_and(|lateness| lateness.missed == Missed::All)
    }

    /// What becomes of it if an earlier one runs: if all run that were missed, those do so one after the other.
    ///
    /// `begun_at` is when the last one of its route began. One that began after this one was wanted did not keep it from running then.
    pub fn overlap_at(
        &self,
        wanted_at: OffsetDateTime,
        begun_at: Option<OffsetDateTime>,
        now: OffsetDateTime,
    ) -> Overlap {
        let is_late = now - wanted_at > ON_TIME || begun_at.is_some_and(|begun_at| begun_at > wanted_at);
        if self.all_run() && is_late { self.overlap.in_turn() } else { self.overlap }
    }
}

impl Overlap {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
            Self::Replace => "replace",
            Self::Allow => "allow",
            Self::InTurn => "in-turn",
        }
    }

    /// The same for occurrences that are all to run: they wait where one of them would be skipped.
    pub fn in_turn(self) -> Self {
        match self {
            Self::Skip | Self::Queue | Self::InTurn => Self::InTurn,
            Self::Replace | Self::Allow => self,
        }
    }
}

impl FromStr for Overlap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "skip" => Ok(Self::Skip),
            "queue" => Ok(Self::Queue),
            "replace" => Ok(Self::Replace),
            "allow" => Ok(Self::Allow),
            other => Err(format!(
                "{:?} is not one of skip, queue, replace, allow",
                other.chars().take(40).collect::<String>()
            )),
        }
    }
}

impl FromStr for Missed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Self::Latest),
            "all" => Ok(Self::All),
            "skip" => Ok(Self::Skip),
            other => Err(format!("{:?} is not one of latest, all, skip", other.chars().take(40).collect::<String>())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(missed: Missed, next_in: Option<i64>) -> Occurrence {
        let planned_at = OffsetDateTime::UNIX_EPOCH;
        let next_at = next_in.map(|seconds| planned_at + time::Duration::seconds(seconds));
        Occurrence {
            source: "nightly".parse().unwrap(),
            route: "backup".parse().unwrap(),
            planned_at,
            overlap: Overlap::Skip,
            after: None,
            lateness: Some(Lateness { missed, within_seconds: 3600, next_at }),
        }
    }

    fn miss(occurrence: &Occurrence, late: i64) -> Option<String> {
        occurrence.miss(occurrence.planned_at, occurrence.planned_at + time::Duration::seconds(late))
    }

    #[test]
    fn what_is_a_minute_late_is_on_time_and_what_is_later_is_missed_as_the_schedule_says() {
        for missed in [Missed::Latest, Missed::All, Missed::Skip] {
            let occurrence = occurrence(missed, Some(61));
            assert_eq!(miss(&occurrence, 60), None, "{missed:?}");
            assert!(miss(&occurrence, 3601).unwrap().contains("missed_within is 3600s"), "{missed:?}");
        }
        assert_eq!(miss(&occurrence(Missed::Skip, None), 90).unwrap(), "missed: it came 90s late");
        assert!(miss(&occurrence(Missed::Latest, Some(80)), 90).unwrap().contains("a later one runs"));
        for last in
            [occurrence(Missed::Latest, None), occurrence(Missed::Latest, Some(91)), occurrence(Missed::All, Some(1))]
        {
            assert_eq!(miss(&last, 90), None, "{last:?}");
        }
        // The next one is due.
        for (missed, next, late, is_missed) in [
            (Missed::Latest, 20, 20, true),
            (Missed::Latest, 20, 19, false),
            (Missed::Latest, 5, 5, false),
            (Missed::Latest, 5, 6, true),
            (Missed::Skip, 20, 20, true),
            (Missed::All, 20, 20, false),
        ] {
            assert_eq!(miss(&occurrence(missed, Some(next)), late).is_some(), is_missed, "{missed:?} {next} {late}");
        }
        let short = Occurrence {
            lateness: Some(Lateness { missed: Missed::All, within_seconds: 10, next_at: None }),
            ..occurrence(Missed::All, None)
        };
        assert_eq!((miss(&short, 60), miss(&short, 61).is_some()), (None, true), "what is on time is never too old");
        let wanted = Occurrence { lateness: None, ..occurrence(Missed::Skip, Some(1)) };
        assert_eq!(miss(&wanted, 1_000_000), None, "somebody wants it although it is late");
    }

    #[test]
    fn late_ones_that_all_run_do_so_one_after_the_other() {
        let all = occurrence(Missed::All, None);
        let after = |seconds: i64| all.planned_at + time::Duration::seconds(seconds);
        let at = |late: i64| all.overlap_at(all.planned_at, None, after(late));
        assert_eq!((at(60), at(61)), (Overlap::Skip, Overlap::InTurn));
        let begun = |begun_at: i64| all.overlap_at(all.planned_at, Some(after(begun_at)), after(9));
        assert_eq!((begun(-1), begun(0), begun(1)), (Overlap::Skip, Overlap::Skip, Overlap::InTurn));
        let latest = occurrence(Missed::Latest, None);
        assert_eq!(latest.overlap_at(all.planned_at, Some(after(1)), after(9)), Overlap::Skip, "only if all run");
        for (overlap, late) in
            [(Overlap::Allow, Overlap::Allow), (Overlap::Replace, Overlap::Replace), (Overlap::Queue, Overlap::InTurn)]
        {
            let one = Occurrence { overlap, ..all.clone() };
            assert_eq!(one.overlap_at(all.planned_at, None, after(3600)), late);
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let occurrence = occurrence(Missed::Latest, Some(30));
        let written = serde_json::to_string(&occurrence).unwrap();
        assert_eq!(serde_json::from_str::<Occurrence>(&written).unwrap(), occurrence, "{written}");
        let other = Occurrence { route: "other".parse().unwrap(), ..occurrence.clone() };
        assert_ne!(other.turn_key(), occurrence.turn_key());
        assert_eq!(occurrence.turn_key().to_string().parse::<BurstKey>().unwrap(), occurrence.turn_key());
    }
}
