//! Any bytes as a request, up to the point where a process would get it.

#![no_main]

use std::{collections::HashSet, ffi::OsString};

use http::{HeaderName, HeaderValue, Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use skep_watchdog::laws::hold;

/// As many as the server takes.
const MAX_HEADERS: usize = 200;

fuzz_target!(|bytes: &[u8]| {
    if let Some((request, body)) = parse(bytes) {
        let own: HashSet<OsString> = ["Http_Own", "Http_Path_Info", "Http_Query"].map(OsString::from).into();
        hold(&request.into_parts().0, body, &own);
    }
});

fn parse(bytes: &[u8]) -> Option<(Request<()>, &[u8])> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(bytes).ok()? else {
        return None;
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::try_from(head.path?).ok()?;
    for header in head.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(header.value).ok()?);
    }
    Some((request, bytes.get(length..)?))
}
