//! The files of the web UI, as the gateway serves them under `/ui`.
//!
//! The program holds them compressed ([`TOTAL`] bytes). Each build has one hash of all of them, which is a part of their paths:
//! browsers keep files for as long as they like, and pages never mix files of two builds.

use std::{borrow::Cow, io::Read};

use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// Under a path with a hash, a file never changes; only its reader keeps it, because reading it may take a login.
const FOREVER: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
/// Kept, and asked for again each time.
const FRESH: HeaderValue = HeaderValue::from_static("no-cache");
const SHELL: &str = "index.html";
const FAVICON: &str = "favicon.svg";

/// Scripts, styles and data come from the gateway only, and no text becomes code.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
);

struct File {
    /// Below `assets`.
    path: &'static str,
    media_type: &'static str,
    gzip: &'static [u8],
}

/// The size of all files as they are sent to browsers, in bytes.
pub const TOTAL: usize = {
    let (mut total, mut index) = (0, 0);
    while index < FILES.len() {
        total += FILES[index].gzip.len();
        index += 1;
    }
    total
};

/// Answers a GET below `/ui/`; `path` is what follows that.
///
/// A path that names no file is one of the UI's own pages, and gets the same shell as all of them; the shell reads the address.
/// 404 if it would be a file beside the shell (`robots.txt`), or a file of another build.
pub fn answer(path: &str, request: &HeaderMap) -> Response<Cow<'static, [u8]>> {
    if let Some(asset) = path.strip_prefix("assets/") {
        let found = asset.split_once('/').filter(|(hash, _)| *hash == HASH).and_then(|(_, name)| file(name));
        return match found {
            Some(file) if file.path != SHELL => sent(file, request, FOREVER),
            _ => of_status(StatusCode::NOT_FOUND),
        };
    }
    let name = match path {
        FAVICON => FAVICON,
        // Names of functions and ids of calls have dots too, but they are not the first part of a page's path.
        other if other.split('/').next().is_some_and(|first| first.contains('.')) => "",
        _ => SHELL,
    };
    let Some(file) = file(name) else { return of_status(StatusCode::NOT_FOUND) };
    let tag = format!("\"{HASH}\"");
    let mut response =
        if has(request, &tag) { of_status(StatusCode::NOT_MODIFIED) } else { sent(file, request, FRESH) };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, FRESH);
    headers.insert(header::VARY, HeaderValue::from_name(header::ACCEPT_ENCODING));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// Sets what every answer below `/ui` says, errors included: what a page may load, and who may look into it.
pub fn protect(headers: &mut HeaderMap) {
    let same_origin = HeaderValue::from_static("same-origin");
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", same_origin.clone());
    headers.insert("cross-origin-resource-policy", same_origin);
}

fn file(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == name)
}

fn sent(file: &'static File, request: &HeaderMap, kept: HeaderValue) -> Response<Cow<'static, [u8]>> {
    let is_packed = takes_gzip(request);
    let body = if is_packed { Cow::Borrowed(file.gzip) } else { Cow::Owned(unpacked(file.gzip)) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    headers.insert(header::CACHE_CONTROL, kept);
    headers.insert(header::VARY, HeaderValue::from_name(header::ACCEPT_ENCODING));
    if is_packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn of_status(status: StatusCode) -> Response<Cow<'static, [u8]>> {
    let mut response = Response::new(Cow::Borrowed(&[][..]));
    *response.status_mut() = status;
    response
}

/// For programs that do not say that they take gzip; all browsers do.
fn unpacked(gzip: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    // It was packed by the build, so this cannot fail.
    let _ = GzDecoder::new(gzip).read_to_end(&mut content);
    content
}

fn takes_gzip(request: &HeaderMap) -> bool {
    listed(request, header::ACCEPT_ENCODING).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok()) == Some(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

/// Whether the client has this version already.
fn has(request: &HeaderMap, tag: &str) -> bool {
    listed(request, header::IF_NONE_MATCH).any(|given| given == "*" || given.trim_start_matches("W/") == tag)
}

/// The parts of a header that is a list.
fn listed(request: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = request.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, headers: &[(&'static str, &str)]) -> Response<Cow<'static, [u8]>> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        answer(path, &headers.collect())
    }

    fn text(response: &Response<Cow<'static, [u8]>>) -> String {
        String::from_utf8(response.body().to_vec()).unwrap()
    }

    #[test]
    fn all_files_together_stay_below_100_kb() {
        for file in FILES {
            eprintln!("{:6} {}", file.gzip.len(), file.path);
        }
        const { assert!(TOTAL < 100_000) };
    }

    #[test]
    fn each_page_is_the_shell() {
        let shell = text(&get("", &[]));
        assert!(shell.contains("<!doctype html>") && shell.contains(&format!("/ui/assets/{HASH}/")), "{shell}");
        for page in ["functions", "functions/upper.dev", "calls/a.b-c?x=1"] {
            assert_eq!(text(&get(page, &[])), shell, "{page}");
        }
        for nothing in ["robots.txt", "index.html", "assets/", "assets", "assets/x/app.js", "..%2fCargo.toml"] {
            let expected = if nothing == "assets" { StatusCode::OK } else { StatusCode::NOT_FOUND };
            assert_eq!(get(nothing, &[]).status(), expected, "{nothing}");
        }
        assert_eq!(get(&format!("assets/{HASH}/{SHELL}"), &[]).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_browser_that_has_the_shell_does_not_get_it_again() {
        let first = get("calls", &[]);
        let tag = first.headers()["etag"].to_str().unwrap();
        assert_eq!(first.headers()["cache-control"], "no-cache");
        for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let again = get("", &[("if-none-match", &known)]);
            assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
            assert_eq!(again.headers()["etag"], tag);
        }
        assert_eq!(get("", &[("if-none-match", "\"other\"")]).status(), StatusCode::OK);
    }

    #[test]
    fn files_are_kept_for_good_and_sent_as_the_client_takes_them() {
        for file in FILES.iter().filter(|file| file.path != SHELL) {
            let path = format!("assets/{HASH}/{}", file.path);
            let (packed, plain) = (get(&path, &[("accept-encoding", "br, gzip;q=0.8")]), get(&path, &[]));
            assert_eq!(packed.headers()["content-encoding"], "gzip");
            assert!(packed.headers()["cache-control"].to_str().unwrap().ends_with("immutable"));
            assert!(!plain.headers().contains_key("content-encoding"));
            assert_eq!(unpacked(packed.body()), plain.body().as_ref());
            assert_eq!(plain.headers()["vary"], "accept-encoding");
            assert!(!plain.body().is_empty(), "{path}");
        }
        for refusal in ["identity", "gzip;q=0", "gzip; q=0.0", "x-gzip"] {
            assert!(
                !takes_gzip(&[(header::ACCEPT_ENCODING, refusal.parse().unwrap())].into_iter().collect()),
                "{refusal}"
            );
        }
    }

    #[test]
    fn the_icon_has_a_path_of_its_own() {
        assert_eq!(get(FAVICON, &[]).headers()["content-type"], "image/svg+xml");
    }
}
