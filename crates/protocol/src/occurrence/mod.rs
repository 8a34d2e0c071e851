//! Occurrences of schedules: what their calls carry, and what is decided about them when they come due.

mod turn;

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

pub use self::turn::{Turn, TurnDecision};
use crate::{BurstKey, FunctionName, RouteName, SourceName, format_duration};

/// A call that comes due this much later than it was wanted is on time; it is the time that a restart takes.
pub const ON_TIME: Duration = Duration::from_secs(60);

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
    /// How many occurrences were missed, this one included, if it is run for them.
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
        let late = Duration::try_from(now - wanted_at).unwrap_or_default();
        if late <= ON_TIME {
            return None;
        }
        let told = format_duration(Duration::from_secs(late.as_secs()));
        if late.as_secs() > lateness.within_seconds {
            let within = format_duration(Duration::from_secs(lateness.within_seconds));
            return Some(format!("missed: it came {told} late, and missed_within is {within}"));
        }
        match lateness.missed {
            Missed::Skip => Some(format!("missed: it came {told} late")),
            Missed::Latest if lateness.next_at.is_some_and(|next| next <= now) => {
                Some(format!("missed: it came {told} late, and a later one runs in its place"))
            }
            Missed::Latest | Missed::All => None,
        }
    }

    /// What becomes of it if an earlier one runs: late ones that all run do so one after the other.
    pub fn overlap_at(&self, wanted_at: OffsetDateTime, now: OffsetDateTime) -> Overlap {
        let is_late = now - wanted_at > ON_TIME;
        match &self.lateness {
            Some(Lateness { missed: Missed::All, .. }) if is_late => self.overlap.in_turn(),
            _ => self.overlap,
        }
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
            lateness: Some(Lateness { missed, within_seconds: 3600, next_at }),
        }
    }

    fn miss(occurrence: &Occurrence, late: i64) -> Option<String> {
        occurrence.miss(occurrence.planned_at, occurrence.planned_at + time::Duration::seconds(late))
    }

    #[test]
    fn what_is_a_minute_late_is_on_time_and_what_is_later_is_missed_as_the_schedule_says() {
        for missed in [Missed::Latest, Missed::All, Missed::Skip] {
            let occurrence = occurrence(missed, Some(30));
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
        let wanted = Occurrence { lateness: None, ..occurrence(Missed::Skip, Some(1)) };
        assert_eq!(miss(&wanted, 1_000_000), None, "somebody wants it although it is late");
    }

    #[test]
    fn late_ones_that_all_run_do_so_one_after_the_other() {
        let all = occurrence(Missed::All, None);
        let at = |late: i64| all.overlap_at(all.planned_at, all.planned_at + time::Duration::seconds(late));
        assert_eq!((at(60), at(61)), (Overlap::Skip, Overlap::InTurn));
        let allow = Occurrence { overlap: Overlap::Allow, ..all.clone() };
        assert_eq!(allow.overlap_at(all.planned_at, all.planned_at + time::Duration::HOUR), Overlap::Allow);
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
