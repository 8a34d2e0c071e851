//! Any headers, query and body as a request of each webhook provider.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

/// The headers that presets read.
const NAMES: &[&str] = &[
    "webhook-signature",
    "webhook-id",
    "webhook-timestamp",
    "x-hub-signature-256",
    "x-hub-signature",
    "stripe-signature",
    "x-slack-signature",
    "x-slack-request-timestamp",
    "authorization",
    "x-signature",
    "persona-signature",
    "recurly-signature",
    "paddle-signature",
    "x-docusign-signature-3",
    "content-type",
    "x-twilio-signature",
    "twitch-eventsub-message-signature",
    "twitch-eventsub-message-timestamp",
    "sanity-webhook-signature",
];

fuzz_target!(|input: (Option<&str>, Vec<(u8, &[u8])>, &[u8])| {
    let (query, lines, body) = input;
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = NAMES[usize::from(name) % NAMES.len()];
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    skep_sources::laws::requests(query, &headers, body);
});
