//! What is let in and what is not, beside the vectors: downgrades, repeated headers, several secrets, challenges as oracles, probes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test they are how it fails")]

use http::{HeaderMap, HeaderName, Method};
use skep_sources::{
    Answer, Challenged, Held, Preset, Presets, Reason, Request, Secret, Secrets, Verdict, challenge, probe, sign,
    verify,
};
use time::{Duration, OffsetDateTime};

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

#[test]
fn a_wrong_signature_is_not_saved_by_a_plain_token() {
    let gitlab = preset("gitlab");
    let secrets = keys(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain-token"]);
    let token = headers(&[("X-Gitlab-Token", "plain-token")]);
    assert_eq!(check(&gitlab, &secrets, &token, BODY), Verdict::Token { key: "k1".to_owned() });
    let mut both = token;
    both.extend(headers(&[("webhook-signature", "v1,AAAA"), ("webhook-id", "1"), ("webhook-timestamp", "1790000000")]));
    assert_eq!(check(&gitlab, &secrets, &both, BODY), MISMATCH);
    both.insert("webhook-signature", "".parse().unwrap());
    assert!(!check(&gitlab, &secrets, &both, BODY).is_accepted());
}

#[test]
fn the_secret_that_fits_is_named() {
    let github = preset("github");
    let headers = signed(&github, "old", BODY);
    assert_eq!(check(&github, &keys(&["new", "old"]), &headers, BODY), Verdict::Signature { key: "k1".to_owned() });
    assert_eq!(check(&github, &keys(&["old", "new"]), &headers, BODY), Verdict::Signature { key: "k0".to_owned() });
    assert_eq!(check(&github, &keys(&["new"]), &headers, BODY), MISMATCH);
    assert_eq!(check(&github, &keys(&[""]), &headers, BODY), Verdict::Refused(Reason::NoSecret));
}

#[test]
fn a_header_that_comes_twice_with_two_values_is_refused() {
    let telegram = preset("telegram");
    let name = "X-Telegram-Bot-Api-Secret-Token";
    let once = headers(&[(name, "s3"), (name, "s3")]);
    assert!(check(&telegram, &keys(&["s3"]), &once, BODY).is_accepted());
    let twice = headers(&[(name, "s3"), (name, "s4")]);
    assert_eq!(check(&telegram, &keys(&["s3"]), &twice, BODY).label(), "malformed");
    let svix = preset("svix");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let mut headers = signed(&svix, secret, BODY);
    assert!(check(&svix, &keys(&[secret]), &headers, BODY).is_accepted());
    headers.append("svix-id", "another".parse().unwrap());
    assert_eq!(check(&svix, &keys(&[secret]), &headers, BODY).label(), "malformed");
}

#[test]
fn a_signature_may_be_in_a_second_header_of_the_name() {
    let github = preset("github");
    let good = signed(&github, "s", BODY);
    let name = "x-hub-signature-256";
    let headers = headers(&[(name, "sha256=00"), (name, good.get(name).unwrap().to_str().unwrap())]);
    assert!(check(&github, &keys(&["s"]), &headers, BODY).is_accepted());
}

#[test]
fn a_signature_must_be_written_as_the_provider_does() {
    let github = preset("github");
    let good = signed(&github, "s", BODY);
    let good = good.get("x-hub-signature-256").unwrap().to_str().unwrap();
    let hex = good.strip_prefix("sha256=").unwrap();
    let with = |value: &str| check(&github, &keys(&["s"]), &headers(&[("X-Hub-Signature-256", value)]), BODY);
    assert!(with(&format!("sha256={}", hex.to_uppercase())).is_accepted());
    for bad in ["", "sha256=", "sha1=00", hex, "sha256=0", "sha256=zz"] {
        assert_eq!(with(bad).label(), "malformed", "{bad}");
    }
    assert_eq!(with(&good[..good.len() - 2]), MISMATCH);
    assert_eq!(with(&format!("{good}00")), MISMATCH);
}

#[test]
fn a_time_that_cannot_be_read_is_no_time() {
    let slack = preset("slack");
    for time in ["-1790000000", "+1790000000", "1790000000 ", "1.79e9", "", "99999999999999999999999999999999999999999"]
    {
        let text = ["v0:", time.trim(), ":"].concat().into_bytes();
        let tag = ring::hmac::sign(
            &ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s"),
            &[b"v0:".as_slice(), time.as_bytes(), b":", BODY].concat(),
        );
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = headers(&[("X-Slack-Signature", &format!("v0={hex}")), ("X-Slack-Request-Timestamp", time)]);
        assert_eq!(check(&slack, &keys(&["s"]), &headers, BODY).label(), "malformed", "{time:?} {text:?}");
    }
    let good = signed(&slack, "s", BODY);
    let mut without = good.clone();
    without.remove("x-slack-request-timestamp");
    assert_eq!(check(&slack, &keys(&["s"]), &without, BODY).label(), "malformed");
    assert!(check(&slack, &keys(&["s"]), &good, BODY).is_accepted());
}

#[test]
fn the_url_is_the_configured_one() {
    let square = preset("square");
    let mut headers = signed(&square, "s", BODY);
    headers.insert("host", "evil.example.com".parse().unwrap());
    headers.insert("x-forwarded-host", "evil.example.com".parse().unwrap());
    assert!(check(&square, &keys(&["s"]), &headers, BODY).is_accepted());
    let other = |url| verify(&square.verify, &request(&Method::POST, None, &headers, BODY), &keys(&["s"]), url, None);
    assert_eq!(other(Some("https://evil.example.com/hooks/name")), MISMATCH);
    assert_eq!(other(None).label(), "malformed");
    assert!(matches!(other(None), Verdict::Refused(reason) if reason.to_string().contains("no `url`")));
}

#[test]
fn the_port_and_escapes_that_a_provider_changes_are_tried() {
    for (name, signed_url, configured, query) in [
        ("twilio", "https://h.example/x", "https://h.example:443/x", None),
        ("twilio", "https://h.example:443/x", "https://h.example/x", None),
        ("hubspot", "https://h.example/x", "https://h.example/x", Some("a=%3A%2F")),
    ] {
        let preset = preset(name);
        let empty = HeaderMap::new();
        let as_signed = query.map(|_| "a=:/");
        let unsigned = request(&Method::POST, as_signed, &empty, b"");
        let out = sign(&preset.verify, &unsigned, &Secret::new("1", "s"), Some(signed_url)).unwrap();
        let came = request(&Method::POST, query, &out.headers, b"");
        assert!(verify(&preset.verify, &came, &keys(&["s"]), Some(configured), None).is_accepted(), "{name}");
    }
}

#[test]
fn a_form_must_be_one_for_its_fields_to_be_signed() {
    let twilio = preset("twilio");
    let empty = HeaderMap::new();
    let get = request(&Method::GET, None, &empty, b"");
    let mut headers = sign(&twilio.verify, &get, &Secret::new("1", "s"), Some(URL)).unwrap().headers;
    headers.insert("content-type", "application/json".parse().unwrap());
    assert!(!check(&twilio, &keys(&["s"]), &headers, b"{\"forged\":1}").is_accepted());
    assert!(!check(&twilio, &keys(&["s"]), &headers, b"&&").is_accepted());
}

#[test]
fn a_source_that_checks_nothing_says_so() {
    assert_eq!(check(&preset("none"), &keys(&[]), &headers(&[]), BODY), Verdict::None);
    assert_eq!(check(&preset("ebay"), &keys(&["s"]), &headers(&[]), BODY), Verdict::Refused(Reason::Unsupported));
}

#[test]
fn tokens_are_where_the_provider_puts_them() {
    let cases: [(&str, &str, &str, &str); 4] = [
        ("cloudevents", "Bearer tok", "tok", "authorization"),
        ("cloudevents", "bearer   tok", "tok", "authorization"),
        ("basic", "Basic dTpw", "u:p", "authorization"),
        ("okta", "tok", "tok", "authorization"),
    ];
    for (name, value, secret, header) in cases {
        let there = headers(&[(header, value)]);
        assert!(check(&preset(name), &keys(&[secret]), &there, BODY).is_accepted(), "{name} {value}");
        assert_eq!(check(&preset(name), &keys(&["other"]), &there, BODY), MISMATCH, "{name} {value}");
        assert_eq!(check(&preset(name), &keys(&[secret]), &headers(&[]), BODY), MISSING, "{name}");
    }
    assert_eq!(
        check(&preset("cloudevents"), &keys(&["tok"]), &headers(&[("authorization", "Bearertok")]), BODY),
        MISSING
    );
}

#[test]
fn what_a_challenge_can_have_signed_is_no_event() {
    let preset = own(r#"
verify:
  - { hmac: sha1, signature: { from: "header:X-Sig", encoding: hex }, signed: "{body}", not_matching: "^[0-9a-f]{20,32}$" }
"#);
    let tag = |body: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"s");
        let hex: String = ring::hmac::sign(&key, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        headers(&[("X-Sig", &hex)])
    };
    let forged = b"0123456789abcdef0123";
    assert_eq!(check(&preset, &keys(&["s"]), &tag(forged), forged).label(), "malformed");
    assert!(check(&preset, &keys(&["s"]), &tag(BODY), BODY).is_accepted());
}

struct Ask<'a> {
    method: Method,
    query: Option<&'a str>,
    headers: HeaderMap,
    body: &'a str,
    secrets: Secrets,
    learning: bool,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        let (headers, secrets) = (HeaderMap::new(), keys(&[]));
        Self { method: Method::GET, query: None, headers, body: "", secrets, learning: false }
    }
}

impl Ask<'_> {
    fn of(&self, name: &str) -> Option<Answer> {
        let preset = preset(name);
        let source = Challenged {
            challenges: &preset.challenge,
            verify: &preset.verify,
            secrets: &self.secrets,
            url: Some(URL),
            json_field: preset.json_field(),
            learning: self.learning,
        };
        challenge(&source, &request(&self.method, self.query, &self.headers, self.body.as_bytes()))
    }
}

fn text(answer: Option<Answer>) -> String {
    String::from_utf8(answer.unwrap().body).unwrap()
}

#[test]
fn an_echo_stays_within_its_string_and_its_size() {
    let okta = |value: &str| {
        Ask { headers: headers(&[("X-Okta-Verification-Challenge", value)]), ..Ask::default() }.of("okta")
    };
    assert_eq!(text(okta("abc")), r#"{"verification":"abc"}"#);
    assert_eq!(text(okta(r#"a","x":"b\"#)), r#"{"verification":"a\",\"x\":\"b\\"}"#);
    assert_eq!(okta(&"a".repeat(2000)), None);
    let dropbox = Ask { query: Some("challenge=%3Cscript%3E"), ..Ask::default() }.of("dropbox").unwrap();
    assert_eq!(dropbox.headers.get("content-type").unwrap(), "text/plain");
    assert_eq!(dropbox.headers.get("x-content-type-options").unwrap(), "nosniff");
}

#[test]
fn challenges_of_the_other_presets() {
    let graph = Ask { method: Method::POST, query: Some("validationToken=a%20b+c%2520"), ..Ask::default() };
    assert_eq!(text(graph.of("microsoft-graph")), "a b c%20");
    let monday = |body| Ask { method: Method::POST, body, ..Ask::default() }.of("monday");
    assert_eq!(text(monday(r#"{"challenge":"x"}"#)), r#"{"challenge":"x"}"#);
    assert_eq!(monday(r#"{"challenge":"x","event":{}}"#), None);
    assert_eq!(monday(r#"["challenge"]"#), None);
    for name in ["trello", "mandrill"] {
        assert_eq!(Ask { method: Method::HEAD, ..Ask::default() }.of(name).unwrap().status, 200, "{name}");
        assert_eq!(Ask::default().of(name), None, "{name}");
    }
    let twitch = preset("twitch");
    let mut signed = signed(&twitch, "s", br#"{"challenge":"x"}"#);
    signed.insert("twitch-eventsub-message-type", "webhook_callback_verification".parse().unwrap());
    let ask = |secret| Ask {
        method: Method::POST,
        headers: signed.clone(),
        body: r#"{"challenge":"x"}"#,
        secrets: keys(&[secret]),
        ..Ask::default()
    };
    assert_eq!(text(ask("s").of("twitch")), "x");
    assert_eq!(ask("t").of("twitch"), None);
}

#[test]
fn a_secret_is_learned_only_while_there_is_none() {
    let ask = |secrets, learning| {
        let headers = headers(&[("X-Hook-Secret", "s3cret")]);
        Ask { method: Method::POST, headers, secrets, learning, ..Ask::default() }.of("asana")
    };
    let answer = ask(keys(&[]), true).unwrap();
    assert_eq!(answer.learned.as_ref().map(Secret::expose), Some("s3cret"));
    assert_eq!(answer.headers.get("x-hook-secret").unwrap(), "s3cret");
    assert!(!format!("{:?}", answer.learned).contains("s3cret"));
    assert_eq!(ask(keys(&[]), false), None);
    assert_eq!(ask(keys(&["mine"]), true), None);
}

#[test]
fn a_number_in_a_condition_is_no_text() {
    let discord = preset("discord");
    assert_eq!(discord.challenge.len(), 2);
    let with = |body| {
        let source =
            own("verify: none\nchallenge: [{ when: { json: { type: 1 } }, need: none, answer: { status: 204 } }]");
        let (secrets, empty) = (keys(&[]), HeaderMap::new());
        let source = Challenged {
            challenges: &source.challenge,
            verify: &source.verify,
            secrets: &secrets,
            url: None,
            json_field: None,
            learning: false,
        };
        challenge(&source, &request(&Method::POST, None, &empty, body)).is_some()
    };
    assert!(with(b"{\"type\":1}"));
    assert!(!with(b"{\"type\":\"1\"}"));
    assert!(!with(b"{\"type\":1,\"type\":2}"));
}

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
fn a_key_of_another_form_is_told() {
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
fn numbers_are_signed_as_they_are_written() {
    let preset = own(r#"
verify:
  - { hmac: sha256, signature: { from: "header:X-Sig", encoding: hex }, signed: "{json:n}", covers: fields }
"#);
    let tag = |text: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s");
        let hex: String = ring::hmac::sign(&key, text).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        headers(&[("X-Sig", &hex)])
    };
    for number in ["1130", "1130.00", "-0", "1e3", "123456789012345678901234567890", "true", "false"] {
        let body = format!("{{\"n\": {number} }}");
        assert!(check(&preset, &keys(&["s"]), &tag(number.as_bytes()), body.as_bytes()).is_accepted(), "{number}");
    }
    assert!(check(&preset, &keys(&["s"]), &tag("é\n".as_bytes()), br#"{"n":"\u00e9\n"}"#).is_accepted());
    for body in ["{}", "{\"n\":null}", "{\"n\":[]}", "{\"n\":\"\\ud800\"}", "{\"n\":1}x", "[1]", "1", ""] {
        assert!(!check(&preset, &keys(&["s"]), &tag(b""), body.as_bytes()).is_accepted(), "{body}");
    }
}
