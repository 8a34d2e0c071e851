//! Calls: when they come in, and how long they run.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, ensure};

use crate::scaler::Limits;

/// Functions of a trace that are simulated: those with the most work.
const HEAVIEST: usize = 12;
/// The longest call of a trace, in seconds.
const LONGEST: f64 = 60.0;
const MAX_REPLICAS: u32 = 40;

#[derive(Clone, Debug)]
pub struct Workload {
    pub name: String,
    /// When each call comes in and how long it runs, in seconds, in the order of their times.
    pub calls: Vec<(f64, f64)>,
    pub limits: Limits,
    /// How long a replica takes to start, in seconds.
    pub start: f64,
    /// When the workload is over, in seconds.
    pub end: f64,
}

impl Workload {
    pub fn new(name: &str, calls: Vec<(f64, f64)>, slots: u32, start: f64, end: f64) -> Self {
        Self { name: name.to_owned(), calls, limits: Limits { slots, min: 1, max: MAX_REPLICAS }, start, end }
    }
}

/// Steady, rising, sudden and very short load, jobs that come all at once, and replicas that start slowly.
pub fn synthetic(seed: u64) -> Vec<Workload> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut poisson = |rate: &dyn Fn(f64) -> f64, end: f64, mean: f64| calls(&mut random, rate, end, mean);
    let step = |t: f64| if (200.0..400.0).contains(&t) { 100.0 } else { 2.0 };
    let on_off = |t: f64| if (t / 20.0) as i64 % 2 == 1 { 60.0 } else { 0.5 };
    let mut workloads = vec![
        Workload::new("steady 20/s x 100 ms", poisson(&|_| 20.0, 600.0, 0.1), 4, 1.0, 600.0),
        Workload::new("step 2 -> 100/s x 200 ms", poisson(&step, 600.0, 0.2), 4, 2.0, 600.0),
        Workload::new("on/off 20 s, 60/s x 100 ms", poisson(&on_off, 600.0, 0.1), 4, 2.0, 600.0),
        Workload::new("ramp 0 -> 150/s x 100 ms", poisson(&|t| 150.0 * t / 600.0, 600.0, 0.1), 4, 2.0, 600.0),
        Workload::new("fast 300/s x 5 ms", poisson(&|_| 300.0, 300.0, 0.005), 4, 1.0, 300.0),
        Workload::new(
            "slow start 20 s, step to 40/s",
            poisson(&|t| if t > 120.0 { 40.0 } else { 0.5 }, 480.0, 0.1),
            1,
            20.0,
            480.0,
        ),
    ];
    let mut jobs: Vec<_> = (0..300).map(|_| (60.0 + random.f64(), exponential(&mut random, 5.0))).collect();
    jobs.sort_by(|a, b| a.0.total_cmp(&b.0));
    workloads.push(Workload::new("batch of 300 jobs x 5 s", jobs, 1, 2.0, 600.0));
    workloads
}

/// Calls at random, with a rate that changes; they run for `mean` seconds on average.
pub(crate) fn calls(random: &mut fastrand::Rng, rate: &dyn Fn(f64) -> f64, end: f64, mean: f64) -> Vec<(f64, f64)> {
    let highest = (0..=end as u32).map(|t| rate(f64::from(t))).fold(1e-9, f64::max);
    let mut calls = Vec::new();
    let mut at = 0.0;
    loop {
        at += exponential(random, 1.0 / highest);
        if at > end {
            return calls;
        }
        if random.f64() < rate(at) / highest {
            calls.push((at, exponential(random, mean)));
        }
    }
}

fn exponential(random: &mut fastrand::Rng, mean: f64) -> f64 {
    -(1.0 - random.f64()).ln() * mean
}

/// The heaviest functions of a trace of OrcBench: lines of minutes, function, milliseconds, model.
/// A line that is not of this form is skipped, as the first one is.
///
/// `max` replicas are allowed: where they do not suffice for the work, all autoscalers are the same.
///
/// # Errors
/// The file cannot be read, or has no calls.
pub fn orcbench(path: &Path, max: u32) -> anyhow::Result<Vec<Workload>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mut functions: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(", ");
        let (Some(minutes), Some(function), Some(ms)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let (Ok(minutes), Ok(ms)) = (minutes.parse::<f64>(), ms.parse::<f64>()) else { continue };
        functions.entry(function).or_default().push((minutes * 60.0, (ms / 1000.0).min(LONGEST)));
    }
    ensure!(!functions.is_empty(), "{} has no calls: it is not a trace of OrcBench", path.display());
    let work = |calls: &[(f64, f64)]| calls.iter().map(|(_, lasts)| lasts).sum::<f64>();
    let mut functions: Vec<_> = functions.into_values().collect();
    functions.sort_by(|a, b| work(b).total_cmp(&work(a)));
    functions.truncate(HEAVIEST);
    let workload = |(number, mut calls): (usize, Vec<(f64, f64)>)| {
        calls.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mean = work(&calls) / crate::run::float(calls.len());
        let end = calls.last().map_or(0.0, |(at, _)| *at) + 60.0;
        let name = format!("orcbench {number}: {} x {mean:.2} s", calls.len());
        Workload { name, calls, limits: Limits { slots: 1, min: 1, max }, start: 2.0, end }
    };
    Ok(functions.into_iter().enumerate().map(workload).collect())
}

/// Calls that were recorded: lines of seconds and how long the call ran, as `12.5,0.2`.
///
/// # Errors
/// The file cannot be read, or a line is not of this form.
pub fn arrivals(path: &Path) -> anyhow::Result<Vec<(f64, f64)>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let call = |line: &str| -> Option<(f64, f64)> {
        let (at, lasts) = line.split_once(',')?;
        Some((at.trim().parse().ok()?, lasts.trim().parse().ok()?))
    };
    let lines = text.lines().filter(|line| !line.is_empty()).enumerate();
    let mut calls = lines
        .map(|(number, line)| call(line).with_context(|| format!("line {}: use SECONDS,LASTS", number + 1)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    calls.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(calls)
}
