//! Any HTTP headers, path and query on their way through NATS and back.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, Option<&str>, Vec<(&[u8], &[u8])>)| {
    let (path, query, lines) = input;
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    skep_bus::headers_on_the_wire::hold(headers, path, query);
});
