//! How long a call may run, and how long it ran.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use skep_protocol::{
    headers::{DURATION_SECONDS, TIMEOUT},
    parse_duration,
};

/// The setting, or `X-Timeout` where that is shorter; `None` is for ever.
pub(crate) fn limit_of(headers: &HeaderMap, setting: Option<Duration>) -> Option<Duration> {
    let asked = headers
        .get(TIMEOUT)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| parse_duration(text).ok())
        .filter(|limit| !limit.is_zero());
    match (asked, setting) {
        (Some(asked), Some(setting)) => Some(asked.min(setting)),
        (asked, setting) => asked.or(setting),
    }
}

/// Tells the program how long it has from now on.
pub(crate) fn set_remaining(headers: &mut HeaderMap, until: Instant) {
    // Zero would be no limit.
    let rest = until.saturating_duration_since(Instant::now()).as_millis().max(1);
    if let Ok(value) = HeaderValue::try_from(format!("{rest}ms")) {
        headers.insert(TIMEOUT, value);
    }
}

pub(crate) fn add_duration(headers: &mut HeaderMap, took: Duration) {
    if let Ok(value) = HeaderValue::try_from(format!("{:.6}", took.as_secs_f64())) {
        headers.insert(DURATION_SECONDS, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_only_shortens_the_limit() {
        let second = Some(Duration::from_secs(1));
        let minute = Some(Duration::from_secs(60));
        for (header, setting, expected) in [
            ("1s", minute, second),
            ("1m", second, second),
            ("1", None, second),
            ("x", minute, minute),
            ("0", minute, minute),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT, HeaderValue::from_static(header));
            assert_eq!(limit_of(&headers, setting), expected, "{header}");
        }
    }
}
