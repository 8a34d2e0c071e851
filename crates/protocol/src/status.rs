//! Statuses as labels of metrics.

use http::StatusCode;

/// A status as a label: itself if it is registered, else its class, for a function can invent hundreds of them.
pub fn status_label(status: &StatusCode) -> &str {
    if status.canonical_reason().is_some() {
        return status.as_str();
    }
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn statuses_that_are_not_registered_share_few_labels() {
        let label = |code| status_label(&StatusCode::from_u16(code).unwrap()).to_owned();
        assert_eq!(
            ["200", "418", "599", "299", "999"].map(|code| label(code.parse().unwrap())),
            ["200", "418", "5xx", "2xx", "other"]
        );
        assert!((100..1000).map(label).collect::<HashSet<_>>().len() < 80);
    }
}
