//! The result: a table for people, JSON for programs.

use std::fmt::Write;

use anyhow::Result;
use serde_json::{Value, json};

use crate::measure::{Row, median, number};

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    /// What a reader must know to judge the rows.
    pub(crate) notes: Vec<String>,
    pub(crate) failures: Vec<String>,
}

const TITLES: [&str; 7] = ["name", "value", "unit", "baseline", "ratio", "ratio of pairs", "value min–max"];

impl Report {
    /// An array of `{name, value, unit, baseline, ratio, runs}`; where there is no baseline both are null, and the runs are values and not ratios.
    pub(crate) fn json(&self) -> Result<String> {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let baseline = row.baseline.as_ref().map(|baseline| median(&baseline.values));
                json!({ "name": row.name, "value": row.value(), "unit": row.unit, "baseline": baseline, "ratio": row.ratio(), "runs": row.runs() })
            })
            .collect();
        Ok(serde_json::to_string_pretty(&rows)? + "\n")
    }

    pub(crate) fn table(&self) -> String {
        let mut lines = vec![TITLES.map(str::to_owned)];
        lines.extend(self.rows.iter().map(cells));
        let mut widths = [0; TITLES.len()];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for line in &lines {
            let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            text += padded.collect::<Vec<_>>().join("  ").trim_end();
            text.push('\n');
        }
        for note in self.notes.iter().chain(&self.failures) {
            // Writing into a String cannot fail.
            let _ = write!(text, "\n{note}");
        }
        text
    }
}

fn cells(row: &Row) -> [String; TITLES.len()] {
    let baseline = row.baseline.as_ref();
    let baseline = baseline.map(|baseline| format!("{} {}", number(median(&baseline.values)), baseline.what));
    let pairs = row.pair_ratios();
    let pairs = row
        .baseline
        .as_ref()
        .map(|_| format!("{:.2} ({})", median(&pairs), spread(&pairs, |ratio| format!("{ratio:.2}"))));
    [
        row.name.clone(),
        number(row.value()),
        row.unit.to_owned(),
        baseline.unwrap_or_else(none),
        row.ratio().map_or_else(none, |ratio| format!("{ratio:.2}")),
        pairs.unwrap_or_else(none),
        spread(&row.values, number),
    ]
}

fn none() -> String {
    "–".to_owned()
}

fn spread(values: &[f64], show: impl Fn(f64) -> String) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{}–{}", show(least), show(most))
}

/// A note if something else keeps the machine busy.
pub(crate) fn busy_machine() -> Option<String> {
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    (load > cores / 2.0)
        .then(|| format!("the machine was busy at the start: load {load} on {cores} cores; figures are too low"))
}

/// A note if a figure had to stop early.
pub(crate) fn fewer_runs(row: &Row, wanted: usize) -> Option<String> {
    let runs = row.values.len();
    (runs < wanted).then(|| format!("{}: {runs} of {wanted} runs, because each took very long", row.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Baseline;

    #[test]
    fn without_a_baseline_both_are_null() {
        let baseline = Some(Baseline { what: "direct".to_owned(), values: vec![4.0] });
        let rows = vec![
            Row { name: "a".to_owned(), unit: "1/s", values: vec![2.0], baseline },
            Row { name: "b".to_owned(), unit: "MB", values: vec![1.5], baseline: None },
        ];
        let report = Report { rows, ..Report::default() };
        let json: Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        let expected = json!([
            { "name": "a", "value": 2.0, "unit": "1/s", "baseline": 4.0, "ratio": 0.5, "runs": [0.5] },
            { "name": "b", "value": 1.5, "unit": "MB", "baseline": null, "ratio": null, "runs": [1.5] },
        ]);
        assert_eq!(json, expected);
    }
}
