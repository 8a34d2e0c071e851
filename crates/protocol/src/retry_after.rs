//! `Retry-After` (RFC 9110, 10.2.3), as functions and receivers of callbacks send it.

use std::time::Duration;

use http::{HeaderMap, header};
use time::OffsetDateTime;

/// How long an answer asks to wait: a number of seconds, or a date. A date in the past asks for no wait.
pub fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = OffsetDateTime::from(httpdate::parse_http_date(text).ok()?);
    Some((date - now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn it_is_seconds_or_a_date() {
        let now = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        let asked = |text: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(text))]);
            retry_after(&headers, now).map(|asked| asked.as_secs())
        };
        assert_eq!(
            [asked("120"), asked(" 7 "), asked("Sun, 06 Nov 1994 08:50:37 GMT")],
            [Some(120), Some(7), Some(60)]
        );
        assert_eq!(asked("Sunday, 06-Nov-94 08:50:37 GMT"), Some(60), "the older form of a date");
        assert_eq!(asked("Sun, 06 Nov 1994 08:40:00 GMT"), Some(0), "a date in the past");
        assert_eq!([asked("soon"), asked("-1"), asked("1.5")], [None; 3]);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
