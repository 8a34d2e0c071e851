//! Every vector, and forgeries of it, with the presets that are compiled in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test they are how it fails")]

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use skep_sources::{
    Challenged, Check, Preset, Presets, Reason, Reference, Request, Secret, Secrets, SignatureSource, Verdict,
    challenge, verify,
};
use time::OffsetDateTime;

const HOUR: i64 = 3600;

#[derive(Deserialize)]
struct File {
    vectors: Vec<Vector>,
    challenges: Vec<Vector>,
}

#[derive(Clone, Deserialize)]
struct Vector {
    preset: String,
    #[serde(default)]
    name: String,
    secret: String,
    /// Another secret of the same form, where it cannot be made up.
    other: Option<String>,
    method: String,
    url: Option<String>,
    configured_url: Option<String>,
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_base64: Option<String>,
    now: i64,
    verify_token: Option<String>,
    public_key: Option<String>,
    answer: Option<Answer>,
}

#[derive(Clone, Deserialize)]
struct Answer {
    status: u16,
    #[serde(rename = "type")]
    content_type: Option<String>,
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn file() -> File {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

impl Vector {
    fn preset(&self) -> &'static Preset {
        Presets::embedded().get(&self.preset).unwrap_or_else(|| panic!("no preset {}", self.preset))
    }

    fn body(&self) -> Vec<u8> {
        match &self.body_base64 {
            Some(encoded) => STANDARD.decode(encoded).unwrap(),
            None => self.body.clone().unwrap_or_default().into_bytes(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let parse = |(name, value): (&String, &String)| -> (HeaderName, HeaderValue) {
            (name.parse().unwrap(), value.parse().unwrap())
        };
        self.headers.iter().map(parse).collect()
    }

    /// The source's own URL, and the query that came.
    fn url(&self) -> (Option<Cow<'_, str>>, Option<&str>) {
        let Some(url) = &self.url else { return (None, None) };
        let (base, query) = url.split_once('?').map_or((url.as_str(), None), |(base, query)| (base, Some(query)));
        (Some(Cow::Borrowed(self.configured_url.as_deref().unwrap_or(base))), query)
    }

    fn secrets(&self, keys: &[&str]) -> Secrets {
        let keys = keys.iter().filter(|key| !key.is_empty()).enumerate();
        let mut secrets = Secrets::new(keys.map(|(n, key)| Secret::new((n + 1).to_string(), *key)).collect());
        for (name, text) in [("verify_token", &self.verify_token), ("public_key", &self.public_key)] {
            if let Some(text) = text {
                secrets = secrets.with_named(name, text);
            }
        }
        secrets
    }

    fn with<T>(&self, headers: &HeaderMap, body: &[u8], seconds: i64, run: impl FnOnce(&Request<'_>) -> T) -> T {
        let method: Method = self.method.parse().unwrap();
        let received_at = OffsetDateTime::from_unix_timestamp(self.now + seconds).unwrap();
        run(&Request { method: &method, path: "", query: self.url().1, headers, body, received_at })
    }

    fn verify_with(&self, keys: &[&str], headers: &HeaderMap, body: &[u8], seconds: i64) -> Verdict {
        let verify_it = |request: &Request<'_>| {
            verify(&self.preset().verify, request, &self.secrets(keys), self.url().0.as_deref(), None)
        };
        self.with(headers, body, seconds, verify_it)
    }

    fn challenge_with(&self, keys: &[&str], learning: bool) -> Option<skep_sources::Answer> {
        let (preset, secrets, url) = (self.preset(), self.secrets(keys), self.url().0);
        let source = Challenged {
            challenges: &preset.challenge,
            verify: &preset.verify,
            secrets: &secrets,
            url: url.as_deref(),
            json_field: preset.json_field(),
            tolerance: None,
            learning,
        };
        self.with(&self.headers(), &self.body(), 0, |request| challenge(&source, request))
    }
}

/// Another secret of the same form.
fn another(secret: &str) -> String {
    let other = |c: char| match c {
        'a' => 'b',
        'A' => 'B',
        '1' => '2',
        '7' => '8',
        c => c,
    };
    let (head, tail) = match secret.split_once('_') {
        Some((head @ "whsec", tail)) => (format!("{head}_"), tail),
        _ => (String::new(), secret),
    };
    let middle: String = tail.chars().map(other).collect();
    if middle == tail { format!("{head}{tail}x") } else { head + &middle }
}

/// Whether the body as a whole is protected.
fn covers_body(preset: &Preset) -> bool {
    preset.verify.schemes().iter().all(|scheme| matches!(&scheme.check, Check::Signed(signed) if !signed.covers_fields))
}

fn has_tolerance(preset: &Preset) -> bool {
    preset.verify.schemes().iter().any(|scheme| match &scheme.check {
        Check::Signed(signed) => signed.timestamp.as_ref().is_some_and(|rule| rule.tolerance.is_some()),
        Check::Token(_) => false,
    })
}

/// The request without what proves it: headers are removed, a body is emptied.
fn unproved(vector: &Vector) -> (HeaderMap, Vec<u8>) {
    let (mut headers, mut body) = (vector.headers(), vector.body());
    for scheme in vector.preset().verify.schemes() {
        let mut remove = |reference: &Reference| match reference {
            Reference::Header(name) => _ = headers.remove(name),
            Reference::Bearer | Reference::Basic => _ = headers.remove("authorization"),
            Reference::Item(path) | Reference::Json(path) => {
                let last = path.segments().last().unwrap();
                body =
                    String::from_utf8(body.clone()).unwrap().replace(&format!("\"{last}\""), "\"other\"").into_bytes();
            }
            Reference::Form(name) => {
                body = String::from_utf8(body.clone()).unwrap().replace(name.as_str(), "other").into_bytes();
            }
            Reference::Query(_) => {} // The vectors have it in a header.
            other => panic!("no way to remove {other}"),
        };
        match &scheme.check {
            Check::Token(reference) => remove(reference),
            Check::Signed(signed) => {
                match &signed.signature.from {
                    SignatureSource::Reference(reference) => remove(reference),
                    SignatureSource::Headers { names, .. } => {
                        names.iter().for_each(|name| remove(&Reference::Header(name.clone())));
                    }
                }
                signed.signature.also.iter().for_each(remove);
            }
        }
    }
    (headers, body)
}

#[test]
fn every_vector_verifies_and_every_forgery_is_refused() {
    let mut forgeries = 0;
    for vector in file().vectors {
        let name = format!("{}: {}", vector.preset, vector.name);
        let preset = vector.preset();
        assert_eq!(preset.verify.check_secret(&vector.secret), Ok(()), "{name}");
        let (headers, body) = (vector.headers(), vector.body());
        let key = |verdict: &Verdict| verdict.key().map(str::to_owned);
        let verdict = vector.verify_with(&[&vector.secret], &headers, &body, 0);
        assert_eq!(key(&verdict).as_deref(), Some("1"), "{name}: {verdict:?}");
        let other = vector.other.clone().unwrap_or_else(|| another(&vector.secret));
        assert_eq!(preset.verify.check_secret(&other), Ok(()), "{name}: the other secret");
        let verdict = vector.verify_with(&[&other, &vector.secret, &other], &headers, &body, 0);
        assert!(verdict.key().is_some(), "{name}, rotated: {verdict:?}");

        let mut refused = |what: &str, verdict: Verdict| {
            forgeries += 1;
            assert!(!verdict.is_accepted(), "{name}, {what}: {verdict:?}");
            verdict
        };
        let mismatch = refused("another secret", vector.verify_with(&[&other], &headers, &body, 0));
        assert_eq!(mismatch, Verdict::Refused(Reason::Mismatch), "{name}");
        assert_eq!(
            refused("no secret", vector.verify_with(&[], &headers, &body, 0)),
            Verdict::Refused(Reason::NoSecret),
            "{name}"
        );
        let (bare, emptied) = unproved(&vector);
        let missing = refused("no signature", vector.verify_with(&[&vector.secret], &bare, &emptied, 0));
        assert_eq!(missing, Verdict::Refused(Reason::Missing), "{name}");
        if covers_body(preset) {
            let longer = [body.as_slice(), b"x"].concat();
            refused("a byte more", vector.verify_with(&[&vector.secret], &headers, &longer, 0));
            let shorter = body.split_last().unwrap().1;
            refused("a byte less", vector.verify_with(&[&vector.secret], &headers, shorter, 0));
        }
        if has_tolerance(preset) && matches!(verdict, Verdict::Signature { .. }) {
            let late = refused("an hour late", vector.verify_with(&[&vector.secret], &headers, &body, HOUR));
            let by = |verdict: &Verdict| match verdict {
                Verdict::Refused(Reason::Stale { by } | Reason::Future { by }) => Some(by.as_secs()),
                _ => None,
            };
            // One time has nanoseconds.
            assert!(by(&late).is_some_and(|by| by.abs_diff(HOUR.unsigned_abs()) < 2), "{name}: {late:?}");
            let early = refused("an hour early", vector.verify_with(&[&vector.secret], &headers, &body, -HOUR));
            assert!(matches!(early, Verdict::Refused(Reason::Future { .. })), "{name}: {early:?}");
        } else {
            assert!(vector.verify_with(&[&vector.secret], &headers, &body, HOUR).is_accepted(), "{name}");
        }
    }
    assert!(forgeries > 200, "{forgeries}");
}

#[test]
fn a_tolerance_of_the_source_is_used() {
    let timed = |vector: &&Vector| has_tolerance(vector.preset()) && vector.preset != "gitlab";
    for vector in file().vectors.iter().filter(timed) {
        let (headers, body, secrets) = (vector.headers(), vector.body(), vector.secrets(&[&vector.secret]));
        let with = |tolerance: u64| {
            vector.with(&headers, &body, HOUR, |request| {
                let tolerance = Some(Duration::from_secs(tolerance));
                verify(&vector.preset().verify, request, &secrets, vector.url().0.as_deref(), tolerance)
            })
        };
        assert!(with(3601).is_accepted(), "{}", vector.preset);
        assert!(!with(3599).is_accepted(), "{}", vector.preset);
    }
}

#[test]
fn challenges_are_answered_and_forged_ones_are_not() {
    for vector in file().challenges {
        let name = &vector.preset;
        let answer = vector.challenge_with(&[&vector.secret], false);
        let Some(expected) = &vector.answer else {
            assert_eq!(answer, None, "{name}");
            continue;
        };
        let answer = answer.unwrap_or_else(|| panic!("{name}"));
        assert_eq!(answer.status.as_u16(), expected.status, "{name}");
        let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
        if let Some(content_type) = &expected.content_type {
            assert_eq!(header("content-type"), Some(content_type.as_str()), "{name}");
            assert_eq!(header("x-content-type-options"), Some("nosniff"), "{name}");
        }
        if let Some(body) = &expected.body {
            assert_eq!(String::from_utf8_lossy(&answer.body), *body, "{name}");
        }
        for (key, value) in &expected.headers {
            assert_eq!(header(key), Some(value.as_str()), "{name}: {key}");
        }
    }
}

#[test]
fn a_signed_challenge_needs_its_signature() {
    for vector in file().challenges.iter().filter(|vector| ["slack", "zoom", "discord"].contains(&&*vector.preset)) {
        assert_eq!(vector.challenge_with(&[&another(&vector.secret)], false), None, "{}", vector.preset);
        assert_eq!(vector.challenge_with(&[], false), None, "{}", vector.preset);
    }
}

#[test]
fn an_event_is_no_challenge() {
    for vector in file().vectors.iter().filter(|vector| vector.preset != "discord") {
        assert_eq!(vector.challenge_with(&[&vector.secret], true), None, "{}", vector.preset);
    }
}

fn adyen(change: impl FnOnce(&str) -> String) -> Verdict {
    let file = file();
    let vector = file.vectors.iter().find(|vector| vector.preset == "adyen").unwrap();
    let body = change(vector.body.as_deref().unwrap());
    vector.verify_with(&[&vector.secret], &HeaderMap::new(), body.as_bytes(), 0)
}

#[test]
fn each_item_of_adyen_is_checked() {
    let items = |body: &str| body.split_once('[').unwrap().1.rsplit_once(']').unwrap().0.to_owned();
    let two = |body: &str, second: &str| format!("{{\"notificationItems\": [{}, {second}]}}", items(body));
    assert!(adyen(|body| two(body, &items(body))).is_accepted());
    assert_eq!(adyen(|body| two(body, &items(body).replace("1130", "1131"))), Verdict::Refused(Reason::Mismatch));
    assert!(!adyen(|body| two(body, "{}")).is_accepted());
    assert!(!adyen(|body| two(body, "7")).is_accepted());
    assert!(!adyen(|_| "{\"notificationItems\": []}".to_owned()).is_accepted());
    assert!(!adyen(|_| "{\"notificationItems\": {}}".to_owned()).is_accepted());
    assert!(!adyen(|_| "{}".to_owned()).is_accepted());
    assert!(!adyen(|_| "no JSON".to_owned()).is_accepted());
}

#[test]
fn an_array_does_not_sign_as_an_absent_value() {
    use ring::hmac;
    let file = file();
    let vector = file.vectors.iter().find(|vector| vector.preset == "adyen").unwrap();
    let key: Vec<u8> = (0..vector.secret.len() / 2)
        .map(|n| u8::from_str_radix(&vector.secret[n * 2..n * 2 + 2], 16).unwrap())
        .collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signature = STANDARD.encode(hmac::sign(&key, b"1::::::A:true"));
    let with = |amount: &str| {
        let item = format!(
            r#"{{"pspReference":"1","eventCode":"A","success":"true",{amount}"additionalData":{{"hmacSignature":"{signature}"}}}}"#
        );
        adyen(|_| format!(r#"{{"notificationItems":[{{"NotificationRequestItem":{item}}}]}}"#))
    };
    for absent in ["", r#""amount":null,"#, r#""amount":{},"#, r#""amount":{"value":null},"#] {
        assert!(with(absent).is_accepted(), "{absent}");
    }
    for present in [
        r#""amount":{"value":["999999"]},"#,
        r#""amount":{"value":{"x":1}},"#,
        r#""amount":["999999"],"#,
        r#""amount":"999999","#,
        r#""amount":{"value":999999},"#,
        r#""amount":1e999,"#,
        r#""amount":{},"amount":{"value":999999},"#,
    ] {
        assert!(!with(present).is_accepted(), "{present}");
    }
}
