//! Durations as OpenFaaS settings write them: a whole number of seconds, or Go's syntax (`1m30s`, `1.5h`, `250ms`), which has no days, and days (`90d`).

use std::time::Duration;

use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a duration: write whole seconds (30) or units (1m30s, 250ms)")]
pub struct DurationError(String);

/// Reads a duration; negative ones and ones that overflow are refused.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let error = || DurationError(text.chars().take(40).collect());
    if text.is_empty() {
        return Err(error());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Duration::from_secs).map_err(|_| error());
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let seconds = match unit {
            "d" => 86_400.0,
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(error()),
        };
        let number: f64 = number.parse().map_err(|_| error())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| error())?;
        total = total.checked_add(part).ok_or_else(error)?;
        rest = after;
    }
    Ok(total)
}

/// Writes a duration so that [`parse_duration`] and Go read it back, to the millisecond.
pub fn format_duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        return format!("{}s", duration.as_secs());
    }
    format!("{}ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_go_syntax_are_read() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("0", 0),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            (" 5s ", 5_000),
            ("1d12h", 129_600_000),
        ] {
            assert_eq!(parse_duration(text).unwrap(), Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "-1", "-1s", "5 s", "s", "1x", "1.2.3s", "ten", "1s2", "99999999999999999999", "1e3s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for duration in [Duration::from_millis(1_500), Duration::from_secs(61), Duration::ZERO] {
            assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        }
    }
}
