//! Headers as they may stand in a log: without secrets, and on one line.

use http::{HeaderName, HeaderValue};
use skep_protocol::headers::is_secret;

/// `name: value`, or `name: (hidden)`.
pub(crate) fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    if is_secret(name) {
        return format!("{name}: (hidden)");
    }
    let mut line = format!("{name}: ");
    for letter in String::from_utf8_lossy(value.as_bytes()).chars() {
        match letter {
            // Some readers of logs end a line at the last two, too.
            '\u{2028}' | '\u{2029}' => line.extend(letter.escape_unicode()),
            _ if letter.is_control() => line.extend(letter.escape_default()),
            _ => line.push(letter),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_by_the_name_of_their_header() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "COOKIE",
            "set-cookie",
            "X-Auth-Token",
            "x-client-secret-2",
            "x-password",
            "x-api-key",
            "X-ApiKey-Id",
            "x-hub-signature-256",
            "x-amz-credential",
            "ocp-apim-subscription-key",
        ] {
            assert_eq!(check(name, b"hush"), format!("{}: (hidden)", name.to_lowercase()));
        }
        for name in ["accept", "x-keyboard", "key", "x-call-id", "sec-websocket-version"] {
            assert_eq!(check(name, b"shown"), format!("{name}: shown"));
        }
    }

    #[test]
    fn a_value_stays_on_its_line() {
        assert_eq!(check("x", b"a\tb"), "x: a\\tb");
        assert_eq!(check("x", "a\u{85}b\u{2028}c\u{9b}31m".as_bytes()), "x: a\\u{85}b\\u{2028}c\\u{9b}31m");
        assert_eq!(check("x", b"\xff\xe4 gr\xc3\xbcn"), "x: \u{fffd}\u{fffd} grün");
    }

    fn check(name: &str, value: &[u8]) -> String {
        shown(&name.parse().unwrap(), &HeaderValue::from_bytes(value).unwrap())
    }
}
