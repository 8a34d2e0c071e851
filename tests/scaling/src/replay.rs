//! Decisions again, from what a controller has recorded, and the replicas that recorded calls would have had.

use std::{fmt::Write, fs, path::Path, time::Duration};

use anyhow::Context;
use skep_scaling::{Record, State, decide};

use crate::{
    run::watch,
    scaler::{Limits, Skep},
    workload::Workload,
};

/// Repeats the decisions of a log, one [`Record`] per line, and prints where they differ from those that were made.
///
/// # Errors
/// The file cannot be read, or a line is not a record.
pub fn decisions(path: &Path, function: Option<&str>) -> anyhow::Result<String> {
    let log = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mut states = std::collections::BTreeMap::<String, State>::new();
    let mut text = String::new();
    let (mut count, mut differ) = (0, 0);
    for (number, line) in log.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        let record: Record = serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        if function.is_some_and(|only| only != record.function) {
            continue;
        }
        let state = states.entry(record.function.clone()).or_default();
        let decision = decide(state, &record.seen, &record.policy, Duration::from_secs_f64(record.at.max(0.0)));
        count += 1;
        let same = decision.want == record.want;
        differ += u32::from(!same);
        let mark = if same { "" } else { "  differs" };
        let (at, name, want, reason) = (record.at, &record.function, decision.want, &decision.reason);
        _ = writeln!(text, "{at:9.1} {name} recorded {} now {want}: {reason}{mark}", record.want);
    }
    _ = writeln!(text, "{count} decisions, {differ} differ");
    Ok(text)
}

/// The replicas at each second, had these calls come in: lines of seconds, wanted, ready, reason.
pub fn curve(calls: Vec<(f64, f64)>, limits: Limits, start: f64, after: f64) -> String {
    let end = calls.last().map_or(0.0, |(at, lasts)| at + lasts) + after;
    let workload = Workload { name: "recorded".to_owned(), calls, limits, start, end };
    let mut text = String::new();
    let outcome = watch(&workload, &mut Skep::new(limits), |view, want, skep| {
        let reason = skep.decision.as_ref().map(|decision| decision.reason.to_string()).unwrap_or_default();
        _ = writeln!(text, "{:.0} {want} {} {reason}", view.now, view.ready);
    });
    _ = writeln!(text, "# {outcome:?}");
    text
}
