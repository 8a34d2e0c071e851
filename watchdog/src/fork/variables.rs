//! A request as `Http_*` environment variables.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    time::Duration,
};

use http::{header, request::Parts};

use crate::config::contains;

/// Names of facts of the request; no header can take them.
const RESERVED: [&str; 7] = [
    "Http_Method",
    "Http_ContentLength",
    "Http_Content_Length",
    "Http_Transfer_Encoding",
    "Http_Query",
    "Http_Path",
    "Http_Host",
];
/// How many milliseconds the process may run.
const TIMEOUT: &str = "SKEP_TIMEOUT_MS";
/// Longer values cannot be passed to a process (`MAX_ARG_STRLEN` of Linux is 128 KiB).
const MAX_LENGTH: usize = 120 * 1024;

/// The variables of a request whose body has `length` bytes, if that is known; those in `own` belong to the function and do not change.
pub(super) fn of(parts: &Parts, length: Option<u64>, own: &HashSet<OsString>) -> Vec<(String, OsString)> {
    let mut variables = Vec::with_capacity(parts.headers.len() + RESERVED.len());
    for name in parts.headers.keys() {
        let (Some(variable), Some(value)) = (variable(name.as_str()), parts.headers.get(name)) else {
            continue;
        };
        let fits = value.len() <= MAX_LENGTH;
        if fits && !RESERVED.contains(&variable.as_str()) && !contains(own, &variable) {
            variables.push((variable, OsStr::from_bytes(value.as_bytes()).to_owned()));
        }
    }
    let mut fact = |name: &str, value: OsString| {
        if !contains(own, name) {
            variables.push((name.to_owned(), value));
        }
    };
    fact("Http_Method", parts.method.as_str().into());
    let length = length.map_or_else(|| "-1".to_owned(), |length| length.to_string());
    fact("Http_ContentLength", length.clone().into());
    fact("Http_Content_Length", length.into());
    fact("Http_Path", decode(parts.uri.path()));
    if let Some(coding) = parts.headers.get(header::TRANSFER_ENCODING) {
        fact("Http_Transfer_Encoding", OsStr::from_bytes(coding.as_bytes()).to_owned());
    }
    if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
        fact("Http_Query", query.into());
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    if let Some(host) = authority.or(parts.headers.get(header::HOST).map(|host| host.as_bytes())) {
        fact("Http_Host", OsStr::from_bytes(host).to_owned());
    }
    variables
}

/// The variables that every process gets: how long it may run, and the trace that it belongs to, under OpenTelemetry's names.
pub(super) fn of_watchdog(parts: &Parts, limit: Option<Duration>) -> Vec<(String, OsString)> {
    let mut variables = Vec::new();
    if let Some(limit) = limit {
        variables.push((TIMEOUT.to_owned(), limit.as_millis().to_string().into()));
    }
    if let Some(parent) = parts.headers.get("traceparent") {
        for (variable, value) in [("TRACEPARENT", Some(parent)), ("TRACESTATE", parts.headers.get("tracestate"))] {
            if let Some(value) = value.filter(|value| value.len() <= MAX_LENGTH) {
                variables.push((variable.to_owned(), OsStr::from_bytes(value.as_bytes()).to_owned()));
            }
        }
    }
    variables
}

/// `x-call-id` in Go's spelling: `X-Call-Id`.
pub(super) fn canonical(name: &str) -> String {
    let mut upper = true;
    name.chars()
        .map(|letter| {
            let letter = if upper { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
            upper = letter == '-';
            letter
        })
        .collect()
}

/// The variable of a header. `None` for `Proxy`, which libraries would use as a proxy's address (httpoxy), and for names with characters other than letters, digits and dashes, because two of them could become the same variable.
fn variable(header: &str) -> Option<String> {
    if header == "proxy" || !header.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return None;
    }
    Some(format!("Http_{}", canonical(header).replace('-', "_")))
}

/// Decodes percent-encoding, except for invalid sequences and for the zero byte, which no variable can hold.
pub(super) fn decode(path: &str) -> OsString {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let decoded = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        match (decoded.filter(|byte| *byte != 0), rest) {
            (Some(byte), [_, _, _, after @ ..]) => {
                bytes.push(byte);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    if bytes.is_empty() {
        bytes.push(b'/');
    }
    OsString::from_vec(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use http::{HeaderName, HeaderValue, Request};
    use proptest::prelude::*;

    use super::*;
    use crate::fork::laws::hold;

    #[test]
    fn facts_and_headers_have_the_names_of_the_contract() {
        let variables =
            check(&[("X-CALL-ID", "7"), ("host", "there:80"), ("accept", "a"), ("accept", "b")], "/a%20b?c=d", Some(3));
        let expected = [
            ("Http_Accept", "a"),
            ("Http_ContentLength", "3"),
            ("Http_Content_Length", "3"),
            ("Http_Host", "there:80"),
            ("Http_Method", "POST"),
            ("Http_Path", "/a b"),
            ("Http_Query", "c=d"),
            ("Http_X_Call_Id", "7"),
        ];
        assert_eq!(variables.len(), expected.len(), "{variables:?}");
        for (name, value) in expected {
            assert_eq!(variables[name], value);
        }
    }

    #[test]
    fn an_unknown_length_is_minus_one_and_no_query_is_no_variable() {
        let variables = check(&[("transfer-encoding", "chunked")], "/", None);
        assert_eq!(variables["Http_ContentLength"], "-1");
        assert_eq!(variables["Http_Transfer_Encoding"], "chunked");
        assert!(!variables.contains_key("Http_Query"));
    }

    #[test]
    fn headers_cannot_take_the_names_of_facts_or_of_the_functions_own_variables() {
        let headers = [
            ("proxy", "http://evil"),
            ("query", "evil"),
            ("path", "evil"),
            ("method", "evil"),
            ("x_call_id", "evil"),
            ("own", "evil"),
            ("a.b", "evil"),
        ];
        let variables = check(&headers, "/", Some(0));
        assert!(variables.values().all(|value| !value.contains("evil")), "{variables:?}");
    }

    #[test]
    fn a_zero_byte_and_broken_encodings_stay_as_they_were_sent() {
        assert_eq!(decode("/a%00b%2fc%zz%4"), "/a%00b/c%zz%4");
    }

    #[test]
    fn a_variable_of_the_functions_own_stays_even_if_it_has_the_name_of_a_fact() {
        let own = HashSet::from(["Http_Path".into()]);
        let variables = of(&Request::get("/a").body(()).unwrap().into_parts().0, None, &own);
        assert!(variables.iter().all(|(name, _)| name != "Http_Path"), "{variables:?}");
    }

    /// Names that could be mistaken for one another, or for something else.
    const TRICKY: &str = concat!(
        "(?i)(x[-_.]?own|x-a[-_]b|proxy|http[-_]proxy|method|path|query|host",
        "|content-?length|transfer[-_]encoding)",
    );

    proptest! {
        #[test]
        fn any_request_becomes_variables_that_a_process_can_have_and_nothing_else(
            headers in prop::collection::vec(
                (prop_oneof![TRICKY, "[!-~]{1,20}", "[a-zA-Z-]{1,8}"], prop::collection::vec(prop_oneof![Just(b'\t'), b' '..=b'~', 0x80..=0xff_u8], 0..20)),
                0..12,
            ),
            method in "[!-~]{1,10}",
            path in "/([a-z/.]|%[0-9a-fA-F]{2}|%00|%[!-~]|[!-~]){0,20}",
            query in proptest::option::of("([!-~]|%00){0,20}"),
            body in prop::collection::vec(any::<u8>(), 0..20),
            own in prop::collection::hash_set("Http_(X_Own|X_A_B|Path|Query|Method|[A-Z][a-z]?)", 0..4),
        ) {
            let mut request = Request::new(());
            *request.method_mut() = method.parse().unwrap_or_default();
            let uri = query.map_or(path.clone(), |query| format!("{path}?{query}"));
            *request.uri_mut() = uri.parse().unwrap_or_default();
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(&value)) {
                    request.headers_mut().append(name, value);
                }
            }
            let own: HashSet<OsString> = own.into_iter().map(OsString::from).collect();
            hold(&request.into_parts().0, &body, &own);
        }
    }

    fn check(headers: &[(&str, &str)], uri: &str, length: Option<u64>) -> HashMap<String, String> {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let own = HashSet::from(["Http_Own".into()]);
        of(&request.body(()).unwrap().into_parts().0, length, &own)
            .into_iter()
            .map(|(name, value)| (name, value.into_string().unwrap()))
            .collect()
    }
}
