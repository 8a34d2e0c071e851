//! What must hold for any input, for the fuzzers.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    Input, Presets, Reference, Request, Secret, Secrets, Template, Verdict, Verify, probe, reference::Place,
    signature::Pick, text::Pattern, verify,
};

const URL: &str = "https://hooks.example.com/hooks/name";

/// Any text as a template, a reference and what else a preset holds: it is read, and written as it was, or refused.
pub fn language(text: &str) {
    let headers = HeaderMap::new();
    let request = Request {
        method: &Method::POST,
        path: "/x",
        query: Some(text),
        headers: &headers,
        body: text.as_bytes(),
        received_at: OffsetDateTime::UNIX_EPOCH,
    };
    let input = Input::new(&request, Some("payload"));
    for place in [Place::Event, Place::Answer, Place::Scheme { each: true, timestamp: true, fields: true }] {
        if let Ok(template) = Template::parse(text, place) {
            assert_eq!(template.as_str(), text);
            for (reference, _) in template.references() {
                assert_eq!(reference.to_string().parse().as_ref(), Ok(reference));
            }
            _ = template.render(&input);
        }
        // A text without marks is only itself, and one with a `{` of its own is never a constant.
        if !text.contains(['{', '}', '[', ']']) {
            let template = Template::parse(text, place).ok();
            assert_eq!(template.and_then(|template| template.render(&input).ok()).as_deref(), Some(text.as_bytes()));
        } else if text.contains('{') && !matches!(place, Place::Answer) {
            assert!(
                Template::parse(text, place).is_ok_and(|t| t.references().count() > 0)
                    || Template::parse(text, place).is_err()
            );
        }
    }
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
        _ = input.resolve(&reference);
    }
    _ = serde_json::from_value::<Pick>(text.into());
    _ = Pattern::parse(text);
}

/// Any text as a reference, and what it reads of any request: the same each time, and of JSON what a parser that builds all of it finds there.
pub fn reference(text: &str, query: &str, body: &[u8]) {
    let Ok(reference) = text.parse::<Reference>() else { return };
    assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, kind)]);
    let request = Request {
        method: &Method::POST,
        path: "/x",
        query: Some(query),
        headers: &headers,
        body,
        received_at: OffsetDateTime::UNIX_EPOCH,
    };
    let input = Input::new(&request, None);
    let read = input.resolve(&reference);
    assert_eq!(input.resolve(&reference), read);
    let Reference::Json(path) = &reference else { return };
    let Ok(whole) = serde_json::from_slice::<Value>(body) else { return };
    let value = path.segments().iter().try_fold(&whole, |value, segment| match value {
        Value::Array(values) => values.get(segment.parse::<usize>().ok()?),
        value => value.get(segment),
    });
    // A number is read as it is written there, which this parser does not keep.
    let is_right = match (read, value) {
        (Err(_), _) | (Ok(None), None | Some(Value::Null)) => true,
        (Ok(Some(text)), Some(Value::String(value))) => *text == *value.as_bytes(),
        (Ok(Some(text)), Some(Value::Bool(value))) => *text == *value.to_string().as_bytes(),
        (Ok(Some(text)), Some(Value::Number(value))) => serde_json::from_slice(&text).ok().as_ref() == Some(value),
        _ => false,
    };
    assert!(is_right, "{reference} of {whole}");
}

/// Any request to any preset: it is refused, because nobody who made it up has the secret.
pub fn requests(query: Option<&str>, lines: &HeaderMap, body: &[u8]) {
    let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a secret", "44782DEF547AAA06C910C43932B1EB0C"];
    let secrets = Secrets::new(secrets.into_iter().map(|text| Secret::new("1", text)).collect());
    let request = Request {
        method: &Method::POST,
        path: "/x",
        query,
        headers: lines,
        body,
        received_at: OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
    };
    for (name, preset) in Presets::embedded().iter() {
        let verdict = verify(&preset.verify, &request, &secrets, Some(URL), None);
        assert_eq!(verdict == Verdict::None, preset.verify == Verify::None, "{name}");
        assert!(matches!(verdict, Verdict::None | Verdict::Refused(_)), "{name}: {verdict:?}");
        if body.len() < 256 {
            let held = probe::Held {
                verify: &preset.verify,
                request: &request,
                secrets: &secrets,
                previous: &[],
                url: Some(URL),
                tolerance: None,
            };
            // A header can say whose it is; that a secret, a body or a time would fit cannot be found.
            let found = probe::probe(&held);
            assert!(found.iter().all(|finding| finding.starts_with("It has the header ")), "{name}: {found:?}");
        }
    }
}
