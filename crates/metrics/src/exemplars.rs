//! The latest sampled value of each bucket.
//!
//! The crate `prometheus` has no exemplars, so they leave the registry as a family of their own, which the text formats take out again.

use std::{
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use prometheus::proto::{Gauge, LabelPair, Metric, MetricFamily, MetricType};
use skep_trace::TraceId;

use crate::labels::{LE, bound, pair};

/// What follows a histogram's name in the name of its family of exemplars.
const SUFFIX: &str = "_exemplars";
pub(crate) const TRACE_ID: &str = "trace_id";

/// Those of one histogram. It takes no memory until a sampled value is observed.
#[derive(Debug, Default)]
pub(crate) struct Exemplars(Mutex<Vec<Option<Exemplar>>>);

#[derive(Clone, Copy, Debug)]
struct Exemplar {
    trace_id: TraceId,
    value: f64,
    at: SystemTime,
}

impl Exemplars {
    /// Remembers a value in the bucket that it is counted in.
    pub(crate) fn note(&self, bounds: &[f64], value: f64, trace_id: TraceId) {
        let place = bounds.partition_point(|bound| *bound < value);
        let exemplar = Exemplar { trace_id, value, at: SystemTime::now() };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.resize(bounds.len() + 1, None);
        buckets[place] = Some(exemplar);
    }

    /// One metric for each bucket that has an exemplar; `labels` are those of the histogram.
    pub(crate) fn metrics(&self, bounds: &[f64], labels: &[LabelPair]) -> Vec<Metric> {
        let buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let noted = buckets.into_iter().zip(bounds).filter_map(|(exemplar, bound)| Some((exemplar?, bound)));
        noted.map(|(exemplar, upper)| exemplar.metric(labels, upper)).collect()
    }
}

impl Exemplar {
    fn metric(self, labels: &[LabelPair], upper: f64) -> Metric {
        let own = [pair(LE, &bound(upper)), pair(TRACE_ID, &self.trace_id.to_string())];
        let mut gauge = Gauge::default();
        gauge.set_value(self.value);
        let mut metric = Metric::from_gauge(gauge);
        metric.set_label(labels.iter().cloned().chain(own).collect());
        let since = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        metric.set_timestamp_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        metric
    }
}

/// The family that carries the exemplars of a histogram.
pub(crate) fn family(histogram: &str, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("{histogram}{SUFFIX}"));
    family.set_field_type(MetricType::GAUGE);
    family.set_metric(metrics);
    family
}

/// The name of the histogram, if this is a family of exemplars.
pub(crate) fn histogram_of(family: &MetricFamily) -> Option<&str> {
    family.name().strip_suffix(SUFFIX)
}
