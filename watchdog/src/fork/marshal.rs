//! `marshal_request`: header and body as one JSON document.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderMap;

use crate::fork::variables::canonical;

/// `{"header":{NAME:[VALUE]},"body":{"raw":BASE64}}`
pub(super) fn document(headers: &HeaderMap, body: &[u8]) -> Bytes {
    serde_json::json!({ "header": by_name(headers), "body": { "raw": STANDARD.encode(body) } }).to_string().into()
}

/// All values of each header under its canonical name.
pub(super) fn by_name(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        map.entry(canonical(name.as_str())).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    map
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_are_lists_under_canonical_names_and_the_body_is_base64() {
        let mut headers = HeaderMap::new();
        headers.append("x-call-id", HeaderValue::from_static("a"));
        headers.append("x-call-id", HeaderValue::from_static("b"));
        assert_eq!(document(&headers, b"hi"), r#"{"body":{"raw":"aGk="},"header":{"X-Call-Id":["a","b"]}}"#);
    }
}
