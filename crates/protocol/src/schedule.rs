//! When an asynchronous call is to run first: `X-Skep-Delay` and `X-Skep-Run-At`.

use std::time::Duration;

use http::HeaderMap;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{headers, parse_duration};

const DELAY: &str = "X-Skep-Delay";
const RUN_AT: &str = "X-Skep-Run-At";
/// Nobody means a call to wait longer than this.
const MAX_DELAY: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads and removes both headers; `None` is now. The error says what is wrong.
pub fn take_run_at(map: &mut HeaderMap, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, String> {
    let (delay, run_at) = (map.remove(headers::SKEP_DELAY), map.remove(headers::SKEP_RUN_AT));
    let said = |name: &str, reason: &str| Err(format!("{name}: {reason}"));
    let at = match (delay, run_at) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return said(DELAY, "is not possible beside X-Skep-Run-At"),
        (Some(delay), None) => match parse_duration(&String::from_utf8_lossy(delay.as_bytes())) {
            Ok(delay) if delay > MAX_DELAY => return said(DELAY, "must not be more than 366 days"),
            Ok(delay) => now + delay,
            Err(error) => return said(DELAY, &error.to_string()),
        },
        (None, Some(at)) => match OffsetDateTime::parse(String::from_utf8_lossy(at.as_bytes()).trim(), &Rfc3339) {
            Ok(at) if at > now + MAX_DELAY => {
                return said(RUN_AT, "must not be more than 366 days away");
            }
            Ok(at) => at,
            Err(_) => return said(RUN_AT, "is not a time such as 2030-01-31T08:00:00Z"),
        },
    };
    Ok((at > now).then_some(at))
}

/// Reads a time that is over: RFC 3339, or how long ago (`15m`).
pub fn parse_past(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, String> {
    let text = text.trim();
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(at);
    }
    let ago = parse_duration(text).ok().and_then(|ago| now.checked_sub(ago.try_into().ok()?));
    ago.ok_or_else(|| {
        format!(
            "{:?} is neither a time (2030-01-31T08:00:00Z) nor how long ago (15m)",
            text.chars().take(40).collect::<String>()
        )
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn check(pairs: &[(&'static str, &'static str)]) -> Result<Option<i64>, String> {
        let now = OffsetDateTime::parse("2026-01-01T00:00:00Z", &Rfc3339).unwrap();
        let header = |(name, value): &(&'static str, &'static str)| {
            (name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value))
        };
        let mut map: HeaderMap = pairs.iter().map(header).collect();
        let at = take_run_at(&mut map, now);
        assert!(map.is_empty(), "they are for the platform and not for the function");
        at.map(|at| at.map(|at| (at - now).whole_seconds()))
    }

    #[test]
    fn a_call_may_wait_for_a_while_or_until_a_time() {
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&[(DELAY, "90s")]), Ok(Some(90)));
        assert_eq!(check(&[(DELAY, "0")]), Ok(None));
        assert_eq!(check(&[(RUN_AT, "2026-01-01T02:00:30+02:00")]), Ok(Some(30)));
        assert_eq!(check(&[(RUN_AT, "1999-01-01T00:00:00Z")]), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (name, value) in [
            (DELAY, "soon"),
            (DELAY, "-5s"),
            (DELAY, "8785h"),
            (RUN_AT, "tomorrow"),
            (RUN_AT, "2026-01-01"),
            (RUN_AT, "2036-01-01T00:00:00Z"),
        ] {
            let said = check(&[(name, value)]).unwrap_err();
            assert!(said.starts_with(&format!("{name}: ")), "{said}");
        }
        assert!(check(&[(DELAY, "1s"), (RUN_AT, "2026-01-02T00:00:00Z")]).is_err());
    }

    #[test]
    fn a_past_time_is_written_out_or_counted_back() {
        let now = OffsetDateTime::parse("2026-01-01T00:01:00Z", &Rfc3339).unwrap();
        let past = |text: &str| parse_past(text, now).map(|at| (now - at).whole_seconds());
        assert_eq!(past("2026-01-01T00:00:00Z"), Ok(60));
        assert_eq!([past("90s"), past("2m"), past("7")], [Ok(90), Ok(120), Ok(7)]);
        for bad in ["", "yesterday", "-1s", "2026-01-01", "9999999999999999999"] {
            assert!(past(bad).is_err(), "{bad}");
        }
    }
}
