//! Why a signature does not fit.

use skep_sources::{Held, probe};
use time::Duration;

use super::*;

/// What the probes say of a request that was signed with other things than the source has.
fn why(
    name: &str,
    signed_as: (&str, &str, &[u8]),
    source: (&[&str], &[&str], &str, &[u8]),
    late: Duration,
) -> Vec<String> {
    let preset = preset(name);
    let (secret, url, body) = signed_as;
    let empty = HeaderMap::new();
    let out = sign(&preset.verify, &request(&Method::POST, None, &empty, body), &Secret::new("1", secret), Some(url))
        .unwrap();
    let (secrets, previous, url, body) = source;
    let (secrets, previous) = (keys(secrets), keys(previous));
    let mut came = request(&Method::POST, None, &out.headers, body);
    came.received_at += late;
    probe(&Held {
        verify: &preset.verify,
        request: &came,
        secrets: &secrets,
        previous: previous.keys(),
        url: Some(url),
        tolerance: None,
    })
}

#[test]
fn probes_say_why() {
    let none = Duration::ZERO;
    let newline: &[u8] = b"{\"a\": 1}\n";
    let compact: &[u8] = br#"{"a":"b \" c","d":[1,2]}"#;
    let spaced: &[u8] = b"{ \"a\": \"b \\\" c\",\n \"d\": [1, 2] }";
    let whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let slash = format!("{URL}/");
    let said = [
        (why("github", ("s", URL, BODY), (&["s"], &[], URL, BODY), none), None),
        (why("github", ("s", URL, BODY), (&["t"], &[], URL, BODY), none), None),
        (why("github", ("s", URL, b"{\"a\": 1}"), (&["s"], &[], URL, newline), none), Some("white space at the end")),
        (why("github", ("s", URL, newline), (&["s"], &[], URL, b"{\"a\": 1}"), none), Some("ends in a line break")),
        (why("github", ("s", URL, compact), (&["s"], &[], URL, spaced), none), Some("without white space")),
        (why("square", ("s", &slash, BODY), (&["s"], &[], URL, BODY), none), Some("hooks/name/: the provider signs")),
        (why("square", ("s", "http://h/x", BODY), (&["s"], &[], "https://h/x", BODY), none), Some("http://h/x:")),
        (why("github", ("whsec_MfKQ", URL, BODY), (&["whsec_MfKQ"], &[], URL, BODY), none), None),
        (why("github", ("s", URL, BODY), (&["t"], &["s"], URL, BODY), none), Some("which was removed")),
        (why("telegram", ("s", URL, BODY), (&["t"], &["s"], URL, BODY), none), Some("which was removed")),
        (why("svix", (whsec, URL, BODY), (&[whsec], &[], URL, BODY), Duration::hours(1)), Some("3600 s before")),
        (why("svix", (whsec, URL, BODY), (&[whsec], &[], URL, BODY), Duration::hours(-1)), Some("3600 s after")),
    ];
    for (n, (sentences, expected)) in said.iter().enumerate() {
        match expected {
            None => assert_eq!(sentences, &Vec::<String>::new(), "{n}"),
            Some(part) => {
                assert!(sentences.len() == 1 && sentences.iter().all(|s| s.contains(part)), "{n}: {sentences:?}")
            }
        }
    }
}

#[test]
fn a_key_of_another_form_is_reported() {
    let utf8 =
        own(r#"verify: [{ hmac: sha256, signature: { from: "header:X-Sig", encoding: hex }, signed: "{body}" }]"#);
    for (form, secret, said) in [
        ("whsec", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "key: whsec"),
        ("hex", "00ff00ff", "key: hex"),
        ("base64", "YWJjZA==", "key: whsec"),
    ] {
        let yaml = format!(
            r#"verify: [{{ hmac: sha256, key: {form}, signature: {{ from: "header:X-Sig", encoding: hex }}, signed: "{{body}}" }}]"#
        );
        let headers = signed(&own(&yaml), secret, BODY);
        let (request, secrets) = (request(&Method::POST, None, &headers, BODY), keys(&[secret]));
        let held = Held {
            verify: &utf8.verify,
            request: &request,
            secrets: &secrets,
            previous: &[],
            url: None,
            tolerance: None,
        };
        let sentences = probe(&held);
        assert!(sentences.iter().any(|sentence| sentence.contains(said)), "{form}: {sentences:?}");
        assert!(sentences.iter().all(|sentence| !sentence.contains(secret)), "{sentences:?}");
    }
}

#[test]
fn another_provider_is_reported() {
    let (github, secrets) = (preset("github"), keys(&["s"]));
    let said = |headers: &HeaderMap, secrets: &Secrets| {
        let request = request(&Method::POST, None, headers, BODY);
        let (verify, previous) = (&github.verify, &[][..]);
        probe(&Held { verify, request: &request, secrets, previous, url: None, tolerance: None })
    };
    let stripe = signed(&preset("stripe"), "s", BODY);
    assert_eq!(said(&stripe, &secrets), ["Fits the preset stripe: the source has the wrong one."]);
    let other = said(&stripe, &keys(&["t"]));
    assert!(
        other.len() == 1
            && other.iter().all(|reported| reported.contains("header stripe-signature, as requests of stripe")),
        "{other:?}"
    );
    assert!(said(&signed(&preset("github"), "s", BODY), &keys(&["t"])).is_empty(), "it is of the right one");
    assert!(said(&HeaderMap::new(), &secrets).is_empty());
}
