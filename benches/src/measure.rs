//! Runs, their medians, and rows of the result.

use std::time::Duration;

use anyhow::Result;

use crate::{
    http::Target,
    load::{self, Answered},
    output,
};

/// A run of a load is cut into so many slices, and the sides take turns with them: what drifts within seconds hits all.
const SLICES: u32 = 5;

/// One line of the result. The n-th run of the value and the n-th of the baseline are a pair: they took turns, or came one right after the other.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<f64>,
    pub(crate) baseline: Option<Baseline>,
}

#[derive(Debug)]
pub(crate) struct Baseline {
    /// What it is, in a word or two.
    pub(crate) what: String,
    pub(crate) values: Vec<f64>,
}

impl Row {
    pub(crate) fn value(&self) -> f64 {
        median(&self.values)
    }

    /// Always value / baseline.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.baseline.as_ref().map(|baseline| self.value() / median(&baseline.values))
    }

    /// What each run gave, as a ratio where there is a baseline.
    pub(crate) fn runs(&self) -> Vec<f64> {
        if self.baseline.is_some() { self.pair_ratios() } else { self.values.clone() }
    }

    /// The ratio of each pair.
    pub(crate) fn pair_ratios(&self) -> Vec<f64> {
        let Some(baseline) = &self.baseline else { return Vec::new() };
        self.values.iter().zip(&baseline.values).map(|(value, baseline)| value / baseline).collect()
    }
}

/// One thing that is measured again and again, by its name in the progress.
pub(crate) struct Side {
    pub(crate) what: &'static str,
    pub(crate) values: Vec<f64>,
}

impl Side {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, values: Vec::new() }
    }
}

/// What a load run is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Reading {
    PerSecond,
    P50Micros,
    P99Micros,
}

/// The same load on several targets in turn, run after run, after one warm-up of each.
pub(crate) async fn alternate(
    name: &str,
    targets: &[(&'static str, Target)],
    runs: usize,
    (connections, window): (usize, Duration),
    reading: Reading,
) -> Result<Vec<Side>> {
    let mut sides: Vec<Side> = targets.iter().map(|(what, _)| Side::new(what)).collect();
    for (_, target) in targets {
        load::run(target, connections, window / 2).await?;
    }
    for run in 1..=runs {
        one_run(&mut sides, targets, (connections, window), reading).await?;
        tell(name, run, runs, &sides);
    }
    Ok(sides)
}

/// One run of each target, slice by slice in turn.
pub(crate) async fn one_run(
    sides: &mut [Side],
    targets: &[(&'static str, Target)],
    (connections, window): (usize, Duration),
    reading: Reading,
) -> Result<()> {
    let mut all = targets.iter().map(|_| Answered::nothing()).collect::<Result<Vec<_>>>()?;
    for _ in 0..SLICES {
        for (answered, (_, target)) in all.iter_mut().zip(targets) {
            answered.add(&load::run(target, connections, window / SLICES).await?)?;
        }
    }
    for (side, answered) in sides.iter_mut().zip(all) {
        side.values.push(match reading {
            Reading::PerSecond => answered.per_second(),
            Reading::P50Micros => answered.quantile_us(0.5),
            Reading::P99Micros => answered.quantile_us(0.99),
        });
    }
    Ok(())
}

/// Says what the last run gave.
pub(crate) fn tell<'side>(name: &str, run: usize, runs: usize, sides: impl IntoIterator<Item = &'side Side>) {
    let mut text = format!("{name:16} {run}/{runs}");
    for side in sides {
        if let Some(last) = side.values.last() {
            text += &format!("   {} {}", side.what, number(*last));
        }
    }
    output::progress(text);
}

/// The first side against each of the others: the row of the figure's own name, and one `…_vs_WHAT` for each further baseline.
pub(crate) fn rows(name: &str, unit: &'static str, sides: Vec<Side>) -> Vec<Row> {
    let mut sides = sides.into_iter();
    let values = sides.next().map(|side| side.values).unwrap_or_default();
    sides
        .enumerate()
        .map(|(number, side)| Row {
            name: if number == 0 { name.to_owned() } else { format!("{name}_vs_{}", side.what) },
            unit,
            values: values.clone(),
            baseline: Some(Baseline { what: side.what.to_owned(), values: side.values }),
        })
        .collect()
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len() / 2), sorted.len().is_multiple_of(2)) {
        (Some(upper), true) => sorted.get(sorted.len() / 2 - 1).map_or(*upper, |lower| f64::midpoint(*lower, *upper)),
        (Some(middle), false) => *middle,
        (None, _) => f64::NAN,
    }
}

/// As many digits as mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn each_baseline_gets_a_row_of_its_own_name() {
        let side = |what, values: &[f64]| Side { what, values: values.to_vec() };
        let sides = vec![side("skep", &[10.0, 30.0]), side("direct", &[20.0, 20.0]), side("nginx", &[10.0, 10.0])];
        let rows = rows("a_rps", "1/s", sides);
        assert_eq!(rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["a_rps", "a_rps_vs_nginx"]);
        assert_eq!(rows.iter().map(Row::ratio).collect::<Vec<_>>(), [Some(1.0), Some(2.0)]);
        assert_eq!(rows.first().map(Row::pair_ratios), Some(vec![0.5, 1.5]));
    }
}
