//! Versions on trial: how their calls have ended, as gateways and workers report it, and what follows from that.

pub(crate) mod decide;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use skep_protocol::{CallCounts, FunctionName, TrialCounts, TrialId, TrialReport};

/// Processes whose counts are kept of one trial; each start of a gateway or a worker is another one.
const MAX_PROCESSES: usize = 1000;

/// What is known of each function's trial. A process that is gone keeps its part.
#[derive(Default)]
pub(crate) struct Trials {
    all: Mutex<HashMap<FunctionName, Counts>>,
}

struct Counts {
    trial: TrialId,
    of_process: HashMap<String, Counted>,
}

/// The calls of a version on trial, and of the one beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    pub(crate) new: CallCounts,
    pub(crate) old: CallCounts,
}

impl Trials {
    /// Takes a report, whose counts replace those that its process has sent before; returns the functions that it is about.
    pub(crate) fn note(&self, report: TrialReport) -> Vec<FunctionName> {
        let mut all = self.all();
        let mut noted = Vec::new();
        for TrialCounts { function, trial, new, old } in report.trials {
            let counts = all.entry(function.clone());
            let counts = counts.or_insert_with(|| Counts { trial, of_process: HashMap::new() });
            if counts.trial != trial {
                // A process may not have seen yet that another version is on trial.
                if (trial.at, trial.version) < (counts.trial.at, counts.trial.version) {
                    continue;
                }
                *counts = Counts { trial, of_process: HashMap::new() };
            }
            if counts.of_process.len() < MAX_PROCESSES || counts.of_process.contains_key(&report.process) {
                counts.of_process.insert(report.process.clone(), Counted { new, old });
                noted.push(function);
            }
        }
        noted
    }

    /// The calls of a trial so far.
    pub(crate) fn of(&self, function: &FunctionName, trial: TrialId) -> Counted {
        let mut sum = Counted::default();
        if let Some(counts) = self.all().get(function).filter(|counts| counts.trial == trial) {
            for Counted { new, old } in counts.of_process.values() {
                sum.new.add(new);
                sum.old.add(old);
            }
        }
        sum
    }

    pub(crate) fn forget(&self, function: &FunctionName) {
        self.all().remove(function);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<FunctionName, Counts>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use time::{Duration, OffsetDateTime};

    use super::*;

    fn trial(version: u64) -> TrialId {
        let seconds = i64::try_from(version).unwrap();
        TrialId { version, at: OffsetDateTime::UNIX_EPOCH + Duration::seconds(seconds) }
    }

    fn report(process: &str, version: u64, answered: u64, failed: u64) -> TrialReport {
        let new = CallCounts { answered, failed, ..CallCounts::default() };
        let counts = TrialCounts {
            function: "f".parse().unwrap(),
            trial: trial(version),
            new,
            old: CallCounts { answered: 100, ..CallCounts::default() },
        };
        TrialReport { process: process.to_owned(), trials: vec![counts] }
    }

    #[test]
    fn counts_of_processes_add_up_and_a_report_replaces_the_one_before_it() {
        let (trials, name) = (Trials::default(), "f".parse().unwrap());
        let take = |report| trials.note(report).len();
        assert_eq!(take(report("gateway", 2, 1, 0)), 1);
        assert_eq!(take(report("worker", 2, 5, 1)), 1);
        assert_eq!(take(report("gateway", 2, 7, 2)), 1);
        let counted = trials.of(&name, trial(2));
        assert_eq!((counted.new.answered, counted.new.failed, counted.old.answered), (12, 3, 200));
        assert_eq!(trials.of(&name, trial(3)), Counted::default(), "that one has had no call");
        // One that comes late changes nothing.
        assert_eq!((take(report("gateway", 3, 1, 0)), take(report("worker", 2, 9, 9))), (1, 0));
        assert_eq!(trials.of(&name, trial(3)).new.answered, 1);
        trials.forget(&name);
        assert_eq!(trials.of(&name, trial(3)), Counted::default());
    }
}
