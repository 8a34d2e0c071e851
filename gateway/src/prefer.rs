//! `Prefer: wait=N` (RFC 7240): the caller that queues a call waits a while for its result in the same answer.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::calls::MAX_WAIT;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long the caller prefers to wait, at most [`MAX_WAIT`].
///
/// What cannot be followed is no error but passed over, as the RFC has it; the answer then does not say that it was applied.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let given = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    // Of two the first one counts.
    let seconds = given.flat_map(preferences).find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim())
    })?;
    let seconds = seconds.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(seconds);
    if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(seconds.parse().map_or(MAX_WAIT, Duration::from_secs).min(MAX_WAIT))
}

/// Says on the answer how long was waited at most.
pub(crate) fn applied(answer: &mut HeaderMap, wait: Duration) {
    if let Ok(applied) = HeaderValue::try_from(format!("wait={}", wait.as_secs())) {
        answer.insert(PREFERENCE_APPLIED, applied);
    }
}

/// The parts of a list; a comma within quotes does not part.
fn preferences(list: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    list.split(move |c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(lines: &[&'static str]) -> Option<u64> {
        let headers = lines.iter().map(|line| (PREFER, HeaderValue::from_static(line)));
        wait(&headers.fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, value);
            map
        }))
        .map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        for (line, seconds) in [
            ("wait=5", 5),
            ("respond-async, Wait = 5", 5),
            ("wait=\"5\"; why=later", 5),
            ("wait=5, wait=7", 5),
            ("note=\"a, wait=1\", wait=2", 2),
            ("wait=0", 0),
            ("wait=301", 300),
            ("wait=99999999999999999999", 300),
        ] {
            assert_eq!(asked(&[line]), Some(seconds), "{line}");
        }
        assert_eq!(asked(&["return=minimal", "wait=3"]), Some(3));
    }

    #[test]
    fn what_cannot_be_followed_is_passed_over() {
        for line in ["", "wait", "wait=", "wait=soon", "wait=-1", "wait=+1", "wait=1.5", "wait=5s", "waits=5"] {
            assert_eq!(asked(&[line]), None, "{line}");
        }
        assert_eq!(asked(&[]), None);
    }
}
