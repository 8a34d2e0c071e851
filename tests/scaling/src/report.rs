//! The table, and the bars that skep's autoscaler is measured by.

use std::fmt::Write;

use crate::{
    run::{Outcome, float, run},
    scaler::{Hpa, Keda, Kpa, Skep},
    workload::Workload,
};

/// The autoscalers in the order of [`Row::outcomes`].
pub const SCALERS: [&str; 4] = ["HPA on calls in flight", "KEDA on the queue", "KPA", "skep"];

/// One workload under each autoscaler.
pub struct Row {
    pub workload: String,
    pub outcomes: [Outcome; 4],
}

impl Row {
    pub fn of(workload: &Workload) -> Self {
        let outcomes = [
            run(workload, &mut Hpa::new(workload.limits)),
            run(workload, &mut Keda::new(workload.limits)),
            run(workload, &mut Kpa::new(workload.limits)),
            run(workload, &mut Skep::new(workload.limits)),
        ];
        Self { workload: workload.name.clone(), outcomes }
    }

    pub fn kpa(&self) -> &Outcome {
        &self.outcomes[2]
    }

    pub fn skep(&self) -> &Outcome {
        &self.outcomes[3]
    }
}

/// All workloads of one seed.
pub struct Totals {
    pub cost: f64,
    pub late: usize,
    /// The mean of the workloads' shares of late calls.
    pub late_share: f64,
    pub changes: u32,
}

impl Totals {
    pub fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let mut totals = Self { cost: 0.0, late: 0, late_share: 0.0, changes: 0 };
        let mut workloads = 0;
        for outcome in outcomes {
            totals.cost += outcome.cost;
            totals.late += outcome.late;
            totals.late_share += outcome.late_share();
            totals.changes += outcome.changes;
            workloads += 1;
        }
        totals.late_share /= float(workloads).max(1.0);
        totals
    }
}

/// What does not meet the bars, against Knative's autoscaler: over all workloads at most 0.95 of the cost, 0.90 of the late calls
/// and 0.75 of the changes, and on no workload more than 5 % worse in both cost and late calls.
pub fn misses(rows: &[Row]) -> Vec<String> {
    let kpa = Totals::of(rows.iter().map(Row::kpa));
    let skep = Totals::of(rows.iter().map(Row::skep));
    let bars = [
        ("cost", skep.cost, kpa.cost, 0.95),
        ("late calls", float(skep.late), float(kpa.late), 0.90),
        ("changes", f64::from(skep.changes), f64::from(kpa.changes), 0.75),
    ];
    let mut misses: Vec<_> = bars
        .into_iter()
        .filter(|(_, skep, kpa, most)| *skep > kpa * most)
        .map(|(what, skep, kpa, most)| format!("{what}: {:.3} of KPA's, {most} is allowed", skep / kpa))
        .collect();
    for row in rows {
        let (skep, kpa) = (row.skep(), row.kpa());
        if skep.cost > kpa.cost * 1.05 && float(skep.late) > float(kpa.late) * 1.05 {
            misses.push(format!("{}: worse than KPA in cost and in late calls", row.workload));
        }
    }
    misses
}

/// A table of all workloads and the totals.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        _ = writeln!(text, "\n{}, {} calls", row.workload, row.skep().calls);
        for (name, outcome) in SCALERS.iter().zip(&row.outcomes) {
            let Outcome { cost, p99, changes, peak, .. } = outcome;
            let late = outcome.late_share() * 100.0;
            _ = writeln!(
                text,
                "  {name:22} cost {cost:8.0}  late {late:6.2} %  p99 wait {p99:7.2} s  changes {changes:4}  peak {peak:3}"
            );
        }
    }
    _ = writeln!(text, "\nover all workloads");
    for (index, name) in SCALERS.iter().enumerate() {
        let totals = Totals::of(rows.iter().map(|row| &row.outcomes[index]));
        let (cost, late, share) = (totals.cost, totals.late, totals.late_share * 100.0);
        _ = writeln!(
            text,
            "  {name:22} cost {cost:8.0}  late {late:7}  mean {share:6.2} %  changes {:5}",
            totals.changes
        );
    }
    let (kpa, skep) = (Totals::of(rows.iter().map(Row::kpa)), Totals::of(rows.iter().map(Row::skep)));
    _ = writeln!(
        text,
        "  skep / KPA             cost    {:.3}  late   {:.3}  mean   {:.3}    changes {:.3}",
        skep.cost / kpa.cost,
        float(skep.late) / float(kpa.late),
        skep.late_share / kpa.late_share,
        f64::from(skep.changes) / f64::from(kpa.changes)
    );
    text
}
