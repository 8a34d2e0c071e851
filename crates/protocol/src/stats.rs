//! What gateways and queue-workers report of the calls of functions each second, and what the controller makes of it.
//!
//! Nothing of it is stored. A report that is lost is a hole of one second.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use skep_scaling::{Kind, Reason};
use time::OffsetDateTime;

use crate::{CallTimes, FunctionName, FunctionRecord, Part, Scaling, deployment::is_false};

/// What one gateway or queue-worker has seen since its report before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadReport {
    /// A name that no other sender has, new with each start.
    pub sender: String,
    /// Counts the sender's messages; one that is missing was lost.
    pub seq: u64,
    /// How many milliseconds it covers.
    pub ms: u64,
    /// The sender is silent from now on, until there is something to report.
    #[serde(default, skip_serializing_if = "is_false")]
    pub last: bool,
    /// What the sender is; older ones do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The functions that were in use.
    pub functions: Vec<FunctionLoad>,
}

/// The calls of one function, as one sender has seen them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionLoad {
    pub name: FunctionName,
    #[serde(flatten)]
    pub calls: CallFigures,
}

/// Figures of calls. Counts and `busy_ms` cover the time since the report before; the others are the state at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallFigures {
    /// Calls, and attempts of queued ones, that were begun.
    #[serde(deserialize_with = "figure", skip_serializing_if = "is_zero")]
    pub arrived: u64,
    /// Calls that ended.
    #[serde(deserialize_with = "figure", skip_serializing_if = "is_zero")]
    pub done: u64,
    /// Those of them that ended with a status of 500 or more, or without one.
    #[serde(deserialize_with = "figure", skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// How long calls ran, summed over all calls: two that ran for the whole second are 2,000.
    #[serde(deserialize_with = "figure", skip_serializing_if = "is_zero")]
    pub busy_ms: u64,
    /// How long the longest of them has run that ended, or runs; at least, if some began after it and ended before it.
    #[serde(deserialize_with = "figure", skip_serializing_if = "is_zero")]
    pub longest_ms: u64,
    /// Calls that run.
    #[serde(deserialize_with = "figure", skip_serializing_if = "is_zero")]
    pub in_flight: u64,
    /// Calls that wait here for a replica, or for a slot of one.
    #[serde(deserialize_with = "figure", skip_serializing_if = "is_zero")]
    pub held: u64,
    /// How long those took that ended.
    #[serde(skip_serializing_if = "CallTimes::is_empty")]
    pub times: CallTimes,
}

impl CallFigures {
    /// Adds what another sender has seen, or the same one later.
    pub fn add(&mut self, other: &Self) {
        self.arrived += other.arrived;
        self.done += other.done;
        self.failed += other.failed;
        self.busy_ms += other.busy_ms;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
        self.in_flight += other.in_flight;
        self.held += other.held;
        self.times.add(&other.times);
    }
}

/// What the controller publishes each second: the functions in use, and sums over the installation.
///
/// With very many functions in use, it is several messages with the same `seq`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Counts the seconds of this controller.
    pub seq: u64,
    /// How many milliseconds the counts cover.
    #[serde(deserialize_with = "figure")]
    pub ms: u64,
    /// Functions that are in use or that calls wait for, or that have just been. Of any other, nothing has changed.
    pub functions: Vec<FunctionStats>,
    pub totals: Totals,
}

/// One function in a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionStats {
    pub name: FunctionName,
    #[serde(flatten)]
    pub calls: CallFigures,
    /// Queued calls that could run now and that nobody has taken.
    #[serde(deserialize_with = "figure")]
    pub waiting: u64,
    /// How long the first of them waits.
    pub age_ms: u64,
    /// The queue could not be looked at, so nothing is known of what waits.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unseen: bool,
    /// Replicas that are wanted.
    pub replicas: u64,
    /// Replicas that take calls.
    pub ready: u64,
    /// Replicas that were started and take no calls yet.
    pub starting: u64,
    /// All that should have reported has; otherwise the sums may be too small.
    pub complete: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
    /// The change of the number of replicas, if there was one since the second before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaled: Option<ScaleChange>,
}

/// The number of replicas of a function was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleChange {
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub from: u64,
    pub to: u64,
    /// Why, in words.
    pub reason: String,
}

/// Sums over all functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    #[serde(flatten)]
    pub calls: CallFigures,
    /// Queued calls that could run now and that nobody has taken.
    #[serde(deserialize_with = "figure")]
    pub waiting: u64,
    /// Gateways and queue-workers that report.
    pub senders: u64,
    /// Functions that are deployed.
    pub functions: u64,
    /// Dead letters that are kept, of a few seconds ago; missing until they are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letters: Option<u64>,
    /// Callbacks that wait for their first try or for another one, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callbacks: Option<u64>,
}

/// How a function is scaled, and why. The same in `/system/function/NAME`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScalingStatus {
    /// What the number of replicas follows, such as `auto` or `alert`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Replicas that are wanted.
    pub want: u64,
    /// What the last seconds call for, before bounds and the down window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<u64>,
    /// Calls that run at once, on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// Calls that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// For how many seconds the first of them waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<f64>,
    /// Calls that come due before a replica that is started now is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<u64>,
    /// For how many seconds a call holds its slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occupancy: Option<f64>,
    /// Why, in words.
    pub reason: String,
    /// Since when this number is wanted.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub since: Option<OffsetDateTime>,
    /// Until when a number is kept that a person has set.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub held_until: Option<OffsetDateTime>,
}

impl ScalingStatus {
    /// What is known of a function from its record alone: that of one that is not in use.
    pub fn of(record: &FunctionRecord, scaling: &Scaling, now: OffsetDateTime) -> Self {
        let held_until = record.held_until.filter(|until| *until > now && scaling.is_automatic());
        let reason = match held_until {
            _ if scaling.kind == Kind::Alert => Reason::Alerts,
            _ if scaling.min == scaling.max => Reason::Static,
            Some(until) => Reason::Held { left: Duration::try_from(until - now).unwrap_or_default() },
            None => Reason::Asleep,
        };
        let (kind, reason) = (scaling.kind.as_str().to_owned(), reason.to_string());
        Self { kind, want: record.replicas, reason, held_until, ..Self::default() }
    }
}

/// No number of calls or milliseconds is larger, so whatever a report says, sums of reports fit.
pub(crate) const MAX_FIGURE: u64 = 1 << 40;

fn figure<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(u64::deserialize(deserializer)?.min(MAX_FIGURE))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn a_report_has_no_zeros_and_is_read_as_it_was() {
        let calls = CallFigures { arrived: 3, busy_ms: 1500, ..CallFigures::default() };
        let functions = vec![FunctionLoad { name: "cat".parse().unwrap(), calls }];
        let report = LoadReport { sender: "a".to_owned(), seq: 7, ms: 1000, last: false, part: None, functions };
        let sent = to_value(&report).unwrap();
        assert_eq!(sent["functions"], json!([{ "name": "cat", "arrived": 3, "busyMs": 1500 }]));
        assert_eq!(from_value::<LoadReport>(sent).unwrap(), report);
    }

    #[test]
    fn figures_that_cannot_be_are_read_as_the_largest_that_can_so_sums_fit() {
        let text = format!(r#"{{"arrived":{0},"done":{0},"busyMs":{0},"held":{0},"times":[{0},{0}]}}"#, u64::MAX);
        let calls: CallFigures = serde_json::from_str(&text).unwrap();
        let mut sum = CallFigures::default();
        (0..1000).for_each(|_| sum.add(&calls));
        assert_eq!((calls.done, sum.done), (MAX_FIGURE, MAX_FIGURE * 1000));
        assert!(sum.times.quantile(0.5).is_some());
    }

    #[test]
    fn figures_of_senders_add_up() {
        let one = CallFigures { arrived: 1, busy_ms: 10, longest_ms: 9, in_flight: 2, ..CallFigures::default() };
        let mut sum = CallFigures { done: 4, longest_ms: 5, held: 1, ..CallFigures::default() };
        sum.add(&one);
        let expected = CallFigures {
            arrived: 1,
            done: 4,
            busy_ms: 10,
            longest_ms: 9,
            in_flight: 2,
            held: 1,
            ..CallFigures::default()
        };
        assert_eq!(sum, expected);
    }
}
