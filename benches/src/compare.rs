//! Two results side by side: which figures have really changed, and which differ by no more than runs of one build do.
//!
//! What is compared are the ratios to the baseline where there is one, so that a machine that was slower that day does not count.
//! Of both the interval is taken in which the true median is with at least 92 % confidence, whatever the distribution: between the k-th least and the k-th most of the runs.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::measure::{median, number};

/// Five runs have it: that all lie on one side of the median happens once in 16 times.
const CONFIDENCE: f64 = 0.92;
/// Below it no interval has that confidence.
const MIN_PAIRS: usize = 5;

/// A table of the figures that are in both files.
pub(crate) fn table(before: &Path, after: &Path) -> Result<String> {
    let (before, after) = (read(before)?, read(after)?);
    let mut text = format!("{:38} {:>22} {:>22}  {:>8}\n", "name", "before", "after", "change");
    for (name, unit, new) in &after {
        let Some((_, _, old)) = before.iter().find(|(known, ..)| known == name) else { continue };
        let change = (median(new) / median(old) - 1.0) * 100.0;
        let verdict = verdict(unit, old, new);
        text += &format!("{name:38} {:>22} {:>22}  {change:>+7.1}%  {verdict}\n", shown(old), shown(new));
    }
    Ok(text)
}

type Figure = (String, String, Vec<f64>);

fn read(file: &Path) -> Result<Vec<Figure>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let rows: Vec<Value> = serde_json::from_str(&text).with_context(|| format!("{} is no result", file.display()))?;
    let figure = |row: &Value| {
        let text = |name: &str| Some(row.get(name)?.as_str()?.to_owned());
        let runs = row.get("runs")?.as_array()?.iter().filter_map(Value::as_f64).collect();
        Some((text("name")?, text("unit")?, runs))
    };
    let figures = rows.iter().map(|row| figure(row).with_context(|| format!("{}: {row} has no runs", file.display())));
    figures.collect()
}

fn verdict(unit: &str, before: &[f64], after: &[f64]) -> &'static str {
    let (Some(old), Some(new)) = (interval(before), interval(after)) else { return "too few runs to tell" };
    let is_rate = unit.ends_with("/s");
    match (new.0 > old.1, new.1 < old.0) {
        (false, false) => "noise",
        (is_more, _) if is_more == is_rate => "better",
        _ => "WORSE",
    }
}

/// Where the median is, with that confidence.
fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    if sorted.len() < MIN_PAIRS {
        return None;
    }
    // How likely it is that at most `cut` values lie below the median, as heads of as many coins.
    let (mut cut, mut likely, mut tail) = (0, 0.5_f64.powi(i32::try_from(sorted.len()).ok()?), 0.0);
    loop {
        tail += likely;
        likely *= (sorted.len() - cut) as f64 / (cut + 1) as f64;
        if 1.0 - 2.0 * (tail + likely) < CONFIDENCE {
            break;
        }
        cut += 1;
    }
    Some((*sorted.get(cut)?, *sorted.get(sorted.len() - 1 - cut)?))
}

fn shown(values: &[f64]) -> String {
    match interval(values) {
        Some((least, most)) => format!("{} ({}–{})", number(median(values)), number(least), number(most)),
        None => number(median(values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_runs_need_not_agree_to_the_last_one() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(interval(&values[..4]), None);
        assert_eq!(interval(&values[..5]), Some((1.0, 5.0)));
        // For eight runs the second least and the second most have 93 %, for twenty the sixth 96 %.
        assert_eq!(interval(&values[..8]), Some((2.0, 7.0)));
        assert_eq!(interval(&values), Some((6.0, 15.0)));
    }

    #[test]
    fn what_overlaps_is_noise_and_the_unit_tells_what_is_better() {
        let (low, high) = ([1.0, 1.1, 1.2, 1.3, 1.4], [2.0, 2.1, 2.2, 2.3, 2.4]);
        assert_eq!(verdict("1/s", &low, &high), "better");
        assert_eq!(verdict("µs", &low, &high), "WORSE");
        assert_eq!(verdict("µs", &high, &low), "better");
        assert_eq!(verdict("1/s", &low, &[1.4, 2.1, 2.2, 2.3, 2.4]), "noise");
        assert_eq!(verdict("1/s", &low[..4], &high), "too few runs to tell");
    }
}
