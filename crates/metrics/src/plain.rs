//! The text format of Prometheus, version 0.0.4.

use prometheus::{Registry, TextEncoder};

use crate::exemplars::histogram_of;

/// All metrics in the plain text format of Prometheus, which has no exemplars.
///
/// # Errors
///
/// When a metric cannot be written.
pub fn plain(metrics: &Registry) -> prometheus::Result<String> {
    let mut families = metrics.gather();
    families.retain(|family| histogram_of(family).is_none());
    TextEncoder::new().encode_to_string(&families)
}
