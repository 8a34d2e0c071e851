//! Histograms that remember sampled traces.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec,
    core::{Collector, Desc, Metric},
    proto::{LabelPair, MetricFamily},
};
use skep_trace::TraceId;

use crate::{
    exemplars::{self, Exemplars},
    labels::pair,
};

/// A family of histograms, as [`HistogramVec`], each with an exemplar for each of its buckets. Cheap to clone.
#[derive(Clone)]
pub struct TracedHistograms {
    histograms: HistogramVec,
    shape: Arc<Shape>,
    /// By the values of the labels.
    exemplars: Arc<Mutex<HashMap<Vec<String>, Arc<Exemplars>>>>,
}

struct Shape {
    name: String,
    labels: Vec<String>,
    bounds: Vec<f64>,
}

/// One histogram of a family.
#[derive(Clone)]
pub struct TracedHistogram {
    histogram: Histogram,
    shape: Arc<Shape>,
    exemplars: Arc<Exemplars>,
}

impl TracedHistograms {
    /// A family without any histogram, which is still to be registered. The options name the bounds of the buckets, without the infinite one.
    ///
    /// # Errors
    ///
    /// When the name, a label or the buckets are not valid.
    pub fn new(options: HistogramOpts, labels: &[&str]) -> prometheus::Result<Self> {
        let shape = Shape {
            name: options.common_opts.fq_name(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
            bounds: options.buckets.clone(),
        };
        let histograms = HistogramVec::new(options, labels)?;
        Ok(Self { histograms, shape: Arc::new(shape), exemplars: Arc::default() })
    }

    /// The histogram with these values of the labels, which is made if there is none.
    pub fn with_label_values(&self, values: &[&str]) -> TracedHistogram {
        let histogram = self.histograms.with_label_values(values);
        let key = values.iter().map(|&value| value.to_owned()).collect();
        let exemplars = Arc::clone(self.exemplars().entry(key).or_default());
        TracedHistogram { histogram, shape: Arc::clone(&self.shape), exemplars }
    }

    /// Drops a histogram and its exemplars.
    ///
    /// # Errors
    ///
    /// When there is none with these values.
    pub fn remove_label_values(&self, values: &[&str]) -> prometheus::Result<()> {
        self.exemplars().retain(|key, _| key != values);
        self.histograms.remove_label_values(values)
    }

    fn exemplars(&self) -> MutexGuard<'_, HashMap<Vec<String>, Arc<Exemplars>>> {
        self.exemplars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn family_of_exemplars(&self) -> Option<MetricFamily> {
        let Shape { name, labels, bounds } = &*self.shape;
        let mut metrics = Vec::new();
        for (values, exemplars) in self.exemplars().iter() {
            let mut pairs: Vec<LabelPair> =
                labels.iter().zip(values).map(|(label, value)| pair(label, value)).collect();
            // As the labels of the histogram are.
            pairs.sort_unstable_by(|one, other| one.name().cmp(other.name()));
            metrics.extend(exemplars.metrics(bounds, &pairs));
        }
        (!metrics.is_empty()).then(|| exemplars::family(name, metrics))
    }
}

impl Collector for TracedHistograms {
    fn desc(&self) -> Vec<&Desc> {
        self.histograms.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.histograms.collect();
        families.extend(self.family_of_exemplars());
        families
    }
}

impl TracedHistogram {
    /// Counts a value, and remembers the trace that it belongs to, if that is sampled.
    pub fn observe(&self, value: f64, sampled: Option<TraceId>) {
        self.histogram.observe(value);
        if let Some(trace_id) = sampled {
            self.exemplars.note(&self.shape.bounds, value, trace_id);
        }
    }

    /// How many values each bucket has; the last one is of those above all bounds.
    pub fn counts(&self) -> Vec<u64> {
        let shown = self.histogram.metric();
        let shown = shown.get_histogram();
        let below = shown.get_bucket().iter().map(|bucket| bucket.cumulative_count());
        let mut before = 0;
        below.chain([shown.get_sample_count()]).map(|sum| sum - std::mem::replace(&mut before, sum)).collect()
    }

    /// The sum of all values.
    pub fn sum(&self) -> f64 {
        self.histogram.get_sample_sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_says_how_many_values_it_has() {
        let options = HistogramOpts::new("seconds", "Seconds.").buckets(vec![1.0, 2.0]);
        let one = TracedHistograms::new(options, &[]).unwrap().with_label_values(&[]);
        [0.5, 1.0, 1.5, 7.0].into_iter().for_each(|value| one.observe(value, None));
        assert_eq!(one.counts(), [2, 1, 1]);
        one.observe(0.1, None);
        assert_eq!(one.counts(), [3, 1, 1], "reading takes nothing away");
    }
}
