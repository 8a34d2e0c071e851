//! Labels as both the exemplars and the text have them.

use prometheus::proto::LabelPair;

/// The upper bound of a bucket.
pub(crate) const LE: &str = "le";

pub(crate) fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// The bound of a bucket as OpenMetrics writes it: `1.0`, not `1`.
pub(crate) fn bound(upper: f64) -> String {
    if upper == f64::INFINITY { "+Inf".to_owned() } else { format!("{upper:?}") }
}
