//! What the replicas of a function use of the CPU.

use std::{collections::HashMap, time::Duration};

use skep_process::cpu_time;
use tokio::time::Instant;

/// Between two looks the CPU time of a process must have had time to grow.
const MIN_SPAN: Duration = Duration::from_millis(500);

/// What they had used at the last look, by the ids of their watchdogs.
#[derive(Default)]
pub(super) struct CpuUsage {
    last: Option<(Instant, HashMap<u32, Duration>)>,
}

impl CpuUsage {
    /// What a replica uses on average since the last look, in thousandths of a core.
    pub(super) fn look(&mut self, leaders: impl Iterator<Item = u32>) -> Option<f64> {
        let now = Instant::now();
        if self.last.as_ref().is_some_and(|(at, _)| now.duration_since(*at) < MIN_SPAN) {
            return None;
        }
        let used: HashMap<u32, Duration> = leaders.filter_map(|leader| Some((leader, cpu_time(leader)?))).collect();
        let last = self.last.replace((now, used.clone()));
        let (at, before) = last?;
        // Of one that is new, nothing is known yet.
        let grown = used.iter().filter_map(|(leader, used)| Some(used.saturating_sub(*before.get(leader)?)));
        let (mut replicas, mut time) = (0_u32, Duration::ZERO);
        for grown in grown {
            replicas += 1;
            time += grown;
        }
        let share = time.as_secs_f64() / now.duration_since(at).as_secs_f64();
        (replicas > 0).then(|| share / f64::from(replicas) * 1000.0)
    }
}
