//! What skep adds to the crate `prometheus`: histograms that remember a sampled trace for each bucket, and the page of metrics in two formats.
//!
//! [`TracedHistograms`] remembers the traces. [`openmetrics`] shows them as exemplars; [`plain`], the older text format, has no place for them.

mod exemplars;
mod histograms;
mod labels;
mod openmetrics;
mod plain;

pub use histograms::{TracedHistogram, TracedHistograms};
pub use openmetrics::{OPENMETRICS, openmetrics};
pub use plain::plain;
