//! Statuses as labels of metrics.

use http::StatusCode;

/// A status as a label: itself if it is registered, else its class, because a function can invent hundreds of them.
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

/// One status that stands for all of its class, with the class as its label.
pub fn status_of_class(status: StatusCode) -> StatusCode {
    StatusCode::from_u16((status.as_u16() / 100).min(6) * 100 + 99).unwrap_or(status)
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
        for (code, class) in [(404, "4xx"), (200, "2xx"), (599, "5xx"), (999, "other")] {
            assert_eq!(status_label(&status_of_class(StatusCode::from_u16(code).unwrap())), class, "{code}");
        }
        assert!((100..1000).map(label).collect::<HashSet<_>>().len() < 80);
    }
}
