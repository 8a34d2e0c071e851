//! The text format of OpenMetrics 1.0, which has exemplars.
//!
//! It has no `_created`: the registry does not know when a series began.

use std::{
    collections::{HashMap, HashSet},
    fmt::{self, Display, Formatter, Write},
};

use prometheus::{
    Registry,
    proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType, Summary},
};

use crate::{
    exemplars::{TRACE_ID, histogram_of},
    labels::{LE, bound, pair},
};

/// The `Content-Type` of the page.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const TOTAL: &str = "_total";
/// A family that ends with one of these has that unit.
const UNITS: [&str; 2] = ["seconds", "bytes"];

/// All metrics in the text format of OpenMetrics.
///
/// A counter goes out as `unknown` under its own name if that does not end with `_total`, or if another family has the name without it.
pub fn openmetrics(metrics: &Registry) -> String {
    let families = metrics.gather();
    let (exemplars, families): (Vec<_>, Vec<_>) = families.iter().partition(|family| histogram_of(family).is_some());
    let exemplars = exemplars.into_iter().flat_map(tails).collect();
    let names: HashSet<&str> = families.iter().map(|family| family.name()).collect();
    let mut page = Page { text: String::new(), exemplars };
    for family in families {
        page.family(family, &names);
    }
    page.text.push_str("# EOF\n");
    page.text
}

struct Page {
    text: String,
    /// What follows the sample of a bucket, by all that stands before the value.
    exemplars: HashMap<String, String>,
}

impl Page {
    fn family(&mut self, family: &MetricFamily, names: &HashSet<&str>) {
        let (name, kind) = shown_as(family, names);
        self.line(format_args!("# TYPE {name} {kind}"));
        if let Some(unit) = unit_of(name) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
        self.line(format_args!("# HELP {name} {}", Escaped(family.help())));
        for metric in family.get_metric() {
            match family.get_field_type() {
                MetricType::HISTOGRAM => self.histogram(name, metric, metric.get_histogram()),
                MetricType::SUMMARY => self.summary(name, metric, metric.get_summary()),
                MetricType::GAUGE => self.sample(family.name(), metric, &[], metric.get_gauge().get_value()),
                // Nothing is untyped.
                MetricType::COUNTER | MetricType::UNTYPED => {
                    self.sample(family.name(), metric, &[], metric.get_counter().get_value());
                }
            }
        }
    }

    fn histogram(&mut self, name: &str, metric: &Metric, histogram: &Histogram) {
        let buckets = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
        let buckets = buckets.filter(|(upper, _)| upper.is_finite());
        for (upper, count) in buckets.chain([(f64::INFINITY, histogram.get_sample_count())]) {
            let head = head(&format!("{name}_bucket"), metric.get_label(), &[pair(LE, &bound(upper))]);
            let tail = self.exemplars.remove(&head).unwrap_or_default();
            self.line(format_args!("{head} {count}{tail}"));
        }
        self.count_and_sum(name, metric, histogram.get_sample_count(), histogram.get_sample_sum());
    }

    fn summary(&mut self, name: &str, metric: &Metric, summary: &Summary) {
        for quantile in summary.get_quantile() {
            self.sample(name, metric, &[pair("quantile", &bound(quantile.quantile()))], quantile.value());
        }
        self.count_and_sum(name, metric, summary.sample_count(), summary.sample_sum());
    }

    fn count_and_sum(&mut self, name: &str, metric: &Metric, count: u64, sum: f64) {
        self.line(format_args!("{} {count}", head(&format!("{name}_count"), metric.get_label(), &[])));
        self.sample(&format!("{name}_sum"), metric, &[], sum);
    }

    fn sample(&mut self, name: &str, metric: &Metric, more: &[LabelPair], value: f64) {
        self.line(format_args!("{} {}", head(name, metric.get_label(), more), Number(value)));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // A String takes everything.
        let _ = writeln!(self.text, "{line}");
    }
}

/// The name of a family without the suffix of its samples, and its type.
fn shown_as<'family>(family: &'family MetricFamily, names: &HashSet<&str>) -> (&'family str, &'static str) {
    let name = family.name();
    match family.get_field_type() {
        MetricType::COUNTER => match name.strip_suffix(TOTAL) {
            Some(base) if !names.contains(base) => (base, "counter"),
            Some(_) | None => (name, "unknown"),
        },
        MetricType::GAUGE => (name, "gauge"),
        MetricType::HISTOGRAM => (name, "histogram"),
        MetricType::SUMMARY => (name, "summary"),
        MetricType::UNTYPED => (name, "unknown"),
    }
}

fn unit_of(name: &str) -> Option<&'static str> {
    let (_, last) = name.rsplit_once('_')?;
    UNITS.into_iter().find(|unit| *unit == last)
}

/// The exemplars of a family: what follows a sample, by all that stands before its value.
fn tails(family: &MetricFamily) -> impl Iterator<Item = (String, String)> {
    let sample = histogram_of(family).map(|name| format!("{name}_bucket")).unwrap_or_default();
    family.get_metric().iter().filter_map(move |metric| {
        let (trace, labels) = metric.get_label().split_last()?;
        let at = std::time::Duration::from_millis(u64::try_from(metric.timestamp_ms()).unwrap_or_default());
        let (value, at) = (Number(metric.get_gauge().get_value()), at.as_secs_f64());
        let tail = format!(" # {{{TRACE_ID}=\"{}\"}} {value} {at:.3}", Escaped(trace.value()));
        Some((head(&sample, labels, &[]), tail))
    })
}

/// The name and the labels of a sample.
fn head(name: &str, labels: &[LabelPair], more: &[LabelPair]) -> String {
    let mut head = name.to_owned();
    for (place, pair) in labels.iter().chain(more).enumerate() {
        head.push(if place == 0 { '{' } else { ',' });
        // A String takes everything.
        let _ = write!(head, "{}=\"{}\"", pair.name(), Escaped(pair.value()));
    }
    if !labels.is_empty() || !more.is_empty() {
        head.push('}');
    }
    head
}

/// A text with everything escaped that OpenMetrics does not take as it is.
struct Escaped<'text>(&'text str);

impl Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['\\', '\n', '"']) {
            let (plain, special) = match part.char_indices().next_back() {
                Some((place, '\\')) => (&part[..place], "\\\\"),
                Some((place, '\n')) => (&part[..place], "\\n"),
                Some((place, '"')) => (&part[..place], "\\\""),
                Some(_) | None => (part, ""),
            };
            formatter.write_str(plain)?;
            formatter.write_str(special)?;
        }
        Ok(())
    }
}

/// A value; Rust writes infinity in another way.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => formatter.write_str("+Inf"),
            f64::NEG_INFINITY => formatter.write_str("-Inf"),
            value => write!(formatter, "{value}"),
        }
    }
}

#[cfg(test)]
mod tests;
