//! The header `tracestate`: what other tracing systems want passed on. It is checked, and not read.

use http::{HeaderMap, HeaderValue};

use crate::TRACESTATE;

/// What a `tracestate` may have; beyond, it is left out.
const MAX_LENGTH: usize = 512;
const MAX_MEMBERS: usize = 32;
/// The longest key and the longest value of a member, and the two parts of a key with a tenant.
const MAX_PART: usize = 256;
const MAX_TENANT: usize = 241;
const MAX_SYSTEM: usize = 14;

/// All of `tracestate`, or none if it is malformed or too long.
pub(crate) fn read(headers: &HeaderMap) -> Option<Box<str>> {
    let mut joined = String::new();
    for value in headers.get_all(TRACESTATE) {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(value.to_str().ok()?);
        if joined.len() > MAX_LENGTH {
            return None;
        }
    }
    checked(&joined)
}

/// A `tracestate` in one text, or none if it is malformed or too long.
pub(crate) fn checked(text: &str) -> Option<Box<str>> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let mut keys: Vec<&str> = Vec::new();
    for member in text.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()) {
        let (key, value) = member.split_once('=')?;
        if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MAX_MEMBERS {
            return None;
        }
        keys.push(key);
    }
    (!keys.is_empty()).then(|| text.into())
}

/// It was checked when it was read, so it is a header's value.
pub(crate) fn header(state: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(state).ok()
}

fn is_key(key: &str) -> bool {
    let has_letters =
        |part: &str| part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'));
    let begins = |part: &str, digits: bool| {
        part.bytes().next().is_some_and(|first| first.is_ascii_lowercase() || digits && first.is_ascii_digit())
    };
    match key.split_once('@') {
        None => key.len() <= MAX_PART && begins(key, true) && has_letters(key),
        Some((tenant, system)) => {
            let fits = tenant.len() <= MAX_TENANT && system.len() <= MAX_SYSTEM;
            fits && begins(tenant, true) && has_letters(tenant) && begins(system, false) && has_letters(system)
        }
    }
}

fn is_value(value: &str) -> bool {
    let is_printable = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=MAX_PART).contains(&value.len()) && value.bytes().all(is_printable) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_w3c_allows_is_passed_on_and_nothing_else() {
        for good in ["a=1", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "a=1, b=2,,", "1a-_*/b=x y", "fw@dd=!", "a=~"] {
            assert_eq!(checked(good).as_deref(), Some(good), "{good}");
        }
        let long_key = format!("{}=1", "a".repeat(257));
        let long_value = format!("a={}", "1".repeat(257));
        for bad in [
            "",
            ",",
            "a",
            "=1",
            "a=",
            "A=1",
            "a=1,a=2",
            "a=1=2",
            "_a=1",
            "a@1b=1",
            "a@b@c=1",
            "a=é",
            "a b=1",
            &long_key,
            &long_value,
        ] {
            assert_eq!(checked(bad), None, "{bad}");
        }
        let many = |count: usize| (0..count).map(|number| format!("k{number}=1")).collect::<Vec<_>>().join(",");
        assert!(checked(&many(MAX_MEMBERS)).is_some() && checked(&many(MAX_MEMBERS + 1)).is_none());
        let three = format!("a={0},b={0},c={0}", "x".repeat(200));
        assert!(checked(&three[..404]).is_some() && checked(&three).is_none());
    }
}
