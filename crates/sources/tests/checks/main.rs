//! What is let in and what is not, beside the vectors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test they are how it fails")]

mod challenges;
mod probes;
mod requests;

use http::{HeaderMap, HeaderName, Method};
use skep_sources::{Preset, Presets, Reason, Request, Secret, Secrets, Verdict, sign, verify};
use time::OffsetDateTime;

const URL: &str = "https://hooks.example.com/hooks/name";
const BODY: &[u8] = br#"{"id": "evt_1", "n": [1, 2]}"#;

fn preset(name: &str) -> Preset {
    Presets::embedded().get(name).unwrap().clone()
}

fn own(yaml: &str) -> Preset {
    serde_saphyr::from_str(yaml).unwrap()
}

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap()
}

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

fn keys(list: &[&str]) -> Secrets {
    Secrets::new(list.iter().enumerate().map(|(n, text)| Secret::new(format!("k{n}"), *text)).collect())
}

fn request<'a>(method: &'a Method, query: Option<&'a str>, headers: &'a HeaderMap, body: &'a [u8]) -> Request<'a> {
    Request { method, path: "", query, headers, body, received_at: now() }
}

fn check(preset: &Preset, secrets: &Secrets, headers: &HeaderMap, body: &[u8]) -> Verdict {
    verify(&preset.verify, &request(&Method::POST, None, headers, body), secrets, Some(URL), None)
}

/// The headers of a good request.
fn signed(preset: &Preset, secret: &str, body: &[u8]) -> HeaderMap {
    let nothing = HeaderMap::new();
    let request = request(&Method::POST, None, &nothing, body);
    sign(&preset.verify, &request, &Secret::new("1", secret), Some(URL)).unwrap().headers
}

const MISMATCH: Verdict = Verdict::Refused(Reason::Mismatch);
const MISSING: Verdict = Verdict::Refused(Reason::Missing);
