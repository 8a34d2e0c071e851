//! A route with any filter, and any body: it is refused on one line, or decided, the same each time and in few words.

#![no_main]

use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use skep_protocol::{DefaultNamespace, Proof};
use skep_sources::{Defaults, Receiver, Request, Source};
use time::OffsetDateTime;

fuzz_target!(|input: &str| {
    // The filter is the first line, the body is the rest.
    let (filter, body) = input.split_once('\n').unwrap_or((input, ""));
    let Ok(filter) = serde_json::from_str::<Value>(filter) else { return };
    let spec = json!({"verify": "none", "type": "{json:type}", "routes": [{"to": "f", "filter": filter}]});
    let namespace = DefaultNamespace::default();
    let defaults = Defaults::new(&namespace);
    let name = "fuzz".parse().expect("a name");
    let compiled = Source::from_spec(&spec).and_then(|source| Receiver::compile(name, source, &defaults));
    let receiver = match compiled {
        Ok(receiver) => receiver,
        Err(error) => return assert_eq!(error.to_string().lines().count(), 1, "{error}"),
    };
    let request = Request {
        method: &Method::POST,
        path: "/a",
        query: Some("a=1&a=2"),
        headers: &HeaderMap::new(),
        body: body.as_bytes(),
        received_at: OffsetDateTime::UNIX_EPOCH,
    };
    let events = receiver.events(&request, Proof::None).expect("no format is refused");
    for event in &events {
        let decision = receiver.decide(event);
        assert_eq!(receiver.decide(event), decision);
        assert_eq!(decision.routes.len() + decision.ignored.len(), 1);
        for (_, reason) in &decision.ignored {
            assert!(!reason.is_empty() && reason.chars().count() <= 301 && !reason.contains(char::is_control), "{reason}");
        }
    }
});
