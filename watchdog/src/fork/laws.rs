//! What holds for every request, whatever its bytes; used by the property tests and the fuzzer.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    os::unix::ffi::OsStrExt,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, request::Parts};
use serde_json::Value;

use crate::{
    config::contains,
    deadline::limit_of,
    fork::{content_type::sniff, marshal::document, variables},
    plan::split_words,
    redact::shown,
};

/// Panics if one of these rules is broken; `own` holds the function's own variables.
pub fn hold(parts: &Parts, body: &[u8], own: &HashSet<OsString>) {
    variables_are_those_of_the_request(parts, own);
    document_is_the_request(&parts.headers, body);
    assert!(HeaderValue::from_str(sniff(body)).is_ok());
    let limit = Duration::from_secs(60);
    assert!(limit_of(&parts.headers, Some(limit)).is_some_and(|shortened| shortened <= limit && !shortened.is_zero()));
    for (name, value) in &parts.headers {
        let line = shown(name, value);
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    if let Some(words) = str::from_utf8(body).ok().and_then(|text| split_words(text).ok()) {
        assert!(!words.is_empty());
    }
}

fn variables_are_those_of_the_request(parts: &Parts, own: &HashSet<OsString>) {
    let variables = variables::of(parts, Some(7), own);
    let mut left: HashMap<&str, &OsString> = variables.iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(left.len(), variables.len(), "no name is there twice");
    for (name, value) in &left {
        assert!(name.starts_with("Http_") && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        assert!(!name.eq_ignore_ascii_case("http_proxy") && !contains(own, name), "{name}");
        assert!(!value.as_bytes().contains(&0), "{name} has a zero byte");
    }
    for (name, expected) in [
        ("Http_Method", Some(parts.method.as_str().as_bytes())),
        ("Http_ContentLength", Some(&b"7"[..])),
        ("Http_Content_Length", Some(b"7")),
        ("Http_Query", parts.uri.query().map(str::as_bytes).filter(|query| !query.is_empty())),
        ("Http_Transfer_Encoding", parts.headers.get("transfer-encoding").map(HeaderValue::as_bytes)),
    ] {
        let value = left.remove(name).map(|value| value.as_bytes());
        assert_eq!(value, expected.filter(|_| !contains(own, name)), "{name}");
    }
    let path = left.remove("Http_Path").map(|path| path.as_bytes());
    assert!(path.map_or_else(|| contains(own, "Http_Path"), |path| !path.is_empty()));
    left.remove("Http_Host");
    for (name, value) in left {
        // Lower case with dashes: the only header that it can come from.
        let header = name.strip_prefix("Http_").unwrap_or_default().replace('_', "-").to_lowercase();
        let first = parts.headers.get(&header).map(HeaderValue::as_bytes);
        assert_eq!(Some(value.as_bytes()), first, "{name} is the first value of {header}");
    }
}

fn document_is_the_request(headers: &HeaderMap, body: &[u8]) {
    let parsed = serde_json::from_slice::<Value>(&document(headers, body));
    let Ok(mut parsed) = parsed else {
        unreachable!("{parsed:?} of {headers:?}");
    };
    let raw = parsed["body"]["raw"].take();
    assert_eq!(raw.as_str().map(|raw| STANDARD.decode(raw)), Some(Ok(body.to_vec())));
    let lists = parsed["header"].as_object().into_iter().flat_map(|names| names.values());
    assert_eq!(lists.filter_map(Value::as_array).map(Vec::len).sum::<usize>(), headers.len());
}
