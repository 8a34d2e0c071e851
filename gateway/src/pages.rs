//! Answers of functions and of skep in a browser: they must not be able to act as its user.

use axum::{http::HeaderMap, response::Response};
use http::{HeaderName, HeaderValue, header};

const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Scripts and forms run, but in an origin of their own: without cookies, storage and passwords of the gateway's.
const SANDBOX: HeaderValue =
    HeaderValue::from_static("sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads");
/// Nothing runs, and nothing is loaded.
const LOCKED: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");
pub(crate) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Whether a browser asks for something that it will show as a page, or as a part of one that can run scripts.
pub(crate) fn is_wanted(request: &HeaderMap) -> bool {
    let text = |name| request.get(name).map(HeaderValue::as_bytes);
    match (text(FETCH_MODE), text(FETCH_DEST)) {
        // It tells neither over plain HTTP to another machine.
        (None, None) => request.contains_key(header::UPGRADE_INSECURE_REQUESTS),
        (mode, dest) => {
            mode == Some(b"navigate")
                || matches!(dest, Some(b"document" | b"iframe" | b"frame" | b"object" | b"embed" | b"fencedframe"))
        }
    }
}

/// Gives a function's page an origin of its own. A browser heeds all policies, so the function's can only make it stricter.
pub(crate) fn sandbox(answer: &mut HeaderMap) {
    answer.append(header::CONTENT_SECURITY_POLICY, SANDBOX);
}

/// Has what was stored of a function or its caller saved, and never shown, on the admin API's origin.
pub(crate) async fn lock(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, LOCKED);
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    response
}

/// Has an answer taken for what it says that it is.
pub(crate) async fn take_at_its_word(mut response: Response) -> Response {
    response.headers_mut().entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(NOSNIFF);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_by_what_browsers_say() {
        let is_page = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter();
            is_wanted(
                &pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect(),
            )
        };
        let (mode, dest, upgrade) = ("sec-fetch-mode", "sec-fetch-dest", "upgrade-insecure-requests");
        assert!(is_page(&[(mode, "navigate"), (dest, "document")]) && is_page(&[(dest, "iframe")]));
        assert!(is_page(&[(dest, "embed")]) && is_page(&[(upgrade, "1")]));
        assert!(!is_page(&[]) && !is_page(&[(mode, "cors"), (dest, "empty")]) && !is_page(&[(dest, "image")]));
    }
}
