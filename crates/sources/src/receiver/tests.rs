//! What a source decides of a request, from its declaration on.

use std::time::Duration;

use http::Method;
use ring::hmac;
use skep_protocol::Proof;

use crate::{
    AnswerBy, Decision, EventError, Request, Secret, Secrets, Unverified, Verdict,
    testing::{Sent, receiver, try_receiver},
};

const GITHUB: &str = "
preset: github
secrets: [github-webhook]
rate: 50/s
keep: 14d
expect_every: 72h
allow: [192.30.252.0/22, '2a0a:a440::/29', 203.0.113.7]
routes:
  - to: deploy
    filter: {type: push, body.ref: refs/heads/main}
  - {to: audit.ops, filter: {body.ref: refs/heads/dev}}
  - to: everything
";

fn push(body: &str) -> Sent {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"hush");
    let signature: String =
        hmac::sign(&key, body.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Sent::new(body)
        .header("x-hub-signature-256", &format!("sha256={signature}"))
        .header("x-github-event", "push")
        .header("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
}

fn secrets() -> Secrets {
    Secrets::new(vec![Secret::new("2", "newer"), Secret::new("1", "hush")])
}

#[test]
fn a_request_becomes_an_event_with_a_decision_for_each_route() {
    let github = receiver(GITHUB);
    let sent = push("{\"ref\":\"refs/heads/main\"}");
    let verdict = github.verify(&sent.request(), &secrets());
    assert_eq!(verdict, Verdict::Signature { key: "1".to_owned() });
    let events = github.events(&sent.request(), verdict.proof().unwrap()).unwrap();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(event.id.as_str(), "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!((event.event_type.as_deref(), event.verified), (Some("push"), Proof::Signature));
    let expected = Decision {
        routes: vec!["deploy".parse().unwrap(), "everything".parse().unwrap()],
        ignored: vec![("audit.ops".parse().unwrap(), "body.ref is \"refs/heads/main\"".to_owned())],
    };
    assert_eq!(github.decide(event), expected);
    let forged = Sent { body: b"{\"ref\":\"refs/heads/main\" }".to_vec(), ..sent };
    assert_eq!(github.verify(&forged.request(), &secrets()).proof(), None);
}

#[test]
fn what_a_source_signs_it_verifies_and_what_does_not_fit_is_explained() {
    let github = receiver(GITHUB);
    let unsigned = Sent::new("{}");
    let signed = github.sign(&unsigned.request(), &Secret::new("1", "hush")).unwrap();
    let sent = Sent { headers: signed.headers, body: signed.body, ..unsigned };
    assert!(github.verify(&sent.request(), &secrets()).is_accepted());
    let changed = Sent { body: b"{}\n".to_vec(), ..sent };
    let why = github.why(&changed.request(), &secrets(), &[]).join(" ");
    assert!(why.contains("white space at the end of the body"), "{why}");
    assert!(github.check_secret("hush").is_ok() && github.check_secret("").is_err());
}

#[test]
fn a_provider_without_a_preset_is_described_with_the_same_keys() {
    let acme = receiver(
        "
verify:
  - hmac: sha256
    signature: { from: 'header:X-Acme-Signature', encoding: hex }
    timestamp: { from: 'header:X-Acme-Time', unit: s, tolerance: 5m }
    signed: '{timestamp}.{body}'
id: ['json:event.id']
type: '{json:event.name}'
secrets: [acme]
routes: [{ to: acme }]
",
    );
    let unsigned = Sent::new(r#"{"event":{"id":"e-1","name":"Made"}}"#);
    let signed = acme.sign(&unsigned.request(), &Secret::new("1", "hush")).unwrap();
    let sent = Sent { headers: signed.headers, ..unsigned };
    assert!(acme.verify(&sent.request(), &secrets()).is_accepted());
    let event = &acme.events(&sent.request(), Proof::Signature).unwrap()[0];
    assert_eq!((event.id.as_str(), event.event_type.as_deref()), ("e-1", Some("made")));
    assert_eq!(acme.warnings(), [] as [String; 0]);
}

#[test]
fn settings_are_the_sources_or_the_presets_or_defaults() {
    let github = receiver(GITHUB);
    assert_eq!((github.max_body(), github.keep()), (25 << 20, Duration::from_secs(14 * 86_400)));
    assert_eq!((github.rate().unwrap().events.get(), github.methods()), (50, &[Method::POST][..]));
    assert_eq!((github.ack().status.as_u16(), github.wait()), (202, Duration::from_millis(9500)));
    assert_eq!(github.source().expect_every, Some(Duration::from_secs(72 * 3600)));
    assert_eq!((github.source().unverified, github.source().answer), (Unverified::Reject, AnswerBy::Ack));
    let open = receiver("verify: none");
    assert!(open.is_open());
    assert_eq!(
        (open.max_body(), open.keep(), open.wait()),
        (1 << 20, Duration::from_secs(7 * 86_400), Duration::from_millis(2500))
    );
    let own = receiver(
        "{preset: twilio, secrets: [a], url: 'https://h.example/sms', max_body: 2MiB, methods: [get, POST], unverified: hold, \
         ack: {status: 204}, answer: function, wait: 3s, routes: [{to: f}]}",
    );
    assert_eq!((own.max_body(), own.methods()), (2 << 20, &[Method::GET, Method::POST][..]));
    assert_eq!(
        (own.ack().status.as_u16(), own.wait(), own.url()),
        (204, Duration::from_secs(3), Some("https://h.example/sms"))
    );
}

#[test]
fn only_addresses_of_the_list_may_send() {
    let github = receiver(GITHUB);
    for (address, allowed) in [
        ("192.30.252.1", true),
        ("192.30.255.255", true),
        ("::ffff:192.30.252.1", true),
        ("203.0.113.7", true),
        ("2a0a:a440::1", true),
        ("192.31.0.1", false),
        ("203.0.113.8", false),
        ("::1", false),
    ] {
        assert_eq!(github.allows_address(address.parse().unwrap()), allowed, "{address}");
    }
    assert!(receiver("verify: none").allows_address("192.0.2.1".parse().unwrap()));
}

#[test]
fn a_redelivery_is_the_same_event_unless_all_are_let_in() {
    let sent = push("{}");
    let github = receiver(GITHUB);
    assert_eq!(github.event_id(&sent.request()), github.event_id(&push("{\"other\":1}").request()));
    let all = receiver("{preset: github, secrets: [a], dedup: off}");
    let (one, two) = (all.event_id(&sent.request()), all.event_id(&sent.request()));
    assert!(one != two && one.as_str().starts_with("72d3162e-cc78-11e3-81ab-4c9367dc0958-"), "{one} {two}");
}

#[test]
fn without_an_id_each_request_is_an_event_unless_its_content_is_the_id() {
    let sent = Sent::new("{}").query("token=1&a=1");
    let unique = receiver("{verify: none, id: ['header:x-id', 'json:id']}");
    assert_ne!(unique.event_id(&sent.request()), unique.event_id(&sent.request()));
    // An empty one, and several that differ, are none.
    let empty = Sent::new("{\"id\":\"\"}").header("x-id", "");
    assert_ne!(unique.event_id(&empty.request()), unique.event_id(&empty.request()));
    assert_eq!(unique.event_id(&Sent::new("{\"id\":7}").request()).as_str(), "7");
    let content = receiver("{verify: [{token: 'query:token'}], else: content}");
    let id = content.event_id(&sent.request());
    assert_eq!(id, content.event_id(&Sent::new("{}").query("token=2&a=1").request()));
    assert_ne!(id, content.event_id(&Sent::new("{}").query("token=1&a=2").request()));
    // The same body at HubSpot is a new event, and at Zoom the same one.
    let zoom = receiver("{preset: zoom, secrets: [a]}");
    assert_eq!(zoom.event_id(&sent.request()), zoom.event_id(&sent.request()));
}

#[test]
fn a_type_is_small_and_safe() {
    let typed = receiver("{verify: none, type: '{json:a}[[.{json:b}]]'}");
    let of = |body: &str| typed.event_type(&Sent::new(body).request());
    assert_eq!(of(r#"{"a":"Pull Request","b":"Opened/2"}"#).unwrap(), "pull-request.opened-2");
    assert_eq!(of(r#"{"a":"é\n*>"}"#).unwrap(), "----");
    assert_eq!(of(&format!(r#"{{"a":"{}"}}"#, "x".repeat(200))).unwrap().len(), 100);
    for body in ["{}", "", r#"{"a":""}"#, r#"{"a":{}}"#, r#"{"b":"c"}"#] {
        assert_eq!(of(body), None, "{body}");
    }
}

#[test]
fn the_json_of_a_form_is_read_where_the_preset_says() {
    let github = receiver(GITHUB);
    let form = push("payload=%7B%22ref%22%3A%22refs%2Fheads%2Fdev%22%2C%22action%22%3A%22x%22%7D")
        .header("content-type", "application/x-www-form-urlencoded");
    let events = github.events(&form.request(), Proof::Signature).unwrap();
    assert_eq!(events[0].event_type.as_deref(), Some("push.x"));
    assert_eq!(github.decide(&events[0]).routes[0].as_str(), "audit.ops");
}

#[test]
fn a_route_is_not_taken_without_what_it_sends() {
    let source = receiver("{verify: none, routes: [{to: f, send: 'json:data.object'}]}");
    let decide = |body: &str| source.decide(&Sent::new(body).event(None));
    assert_eq!(decide(r#"{"data":{"object":{}}}"#).routes.len(), 1);
    assert_eq!(
        decide(r#"{"data":{"object":null}}"#).ignored[0].1,
        "json:data.object is absent, and it is what is sent"
    );
}

#[test]
fn tokens_are_hidden_before_anything_is_stored() {
    let sent = Sent::new("{}")
        .header("x-gitlab-token", "hush")
        .header("authorization", "Bearer hush")
        .header("x-own", "hush")
        .header("x-skep-verified", "signature")
        .query("key=hush");
    let stored = |yaml: &str| {
        let receiver = receiver(yaml);
        let hidden = receiver.stored_headers(&sent.request());
        let mut names: Vec<_> = hidden.iter().filter(|(_, value)| value.as_bytes() == "…".as_bytes()).collect();
        names.sort_by_key(|(name, _)| name.as_str().to_owned());
        let names: Vec<String> = names.into_iter().map(|(name, _)| name.to_string()).collect();
        assert!(!hidden.contains_key("x-skep-verified"));
        (names.join(" "), receiver.stored_query(&sent.request()).unwrap())
    };
    let plain = "key=hush".to_owned();
    assert_eq!(stored("{preset: gitlab, secrets: [a]}"), ("x-gitlab-token".to_owned(), plain.clone()));
    assert_eq!(stored("{verify: [{token: bearer}]}"), ("authorization".to_owned(), plain.clone()));
    assert_eq!(stored("{verify: [{token: basic}], redact: [x-own]}"), ("authorization x-own".to_owned(), plain));
    let (names, query) = stored("{verify: [{token: 'query:key'}]}");
    assert_eq!((names.as_str(), query.as_str()), ("", "key=%E2%80%A6"));
    let hidden = Sent::new("{}").query("key=%E2%80%A6");
    let why = receiver("{verify: [{token: 'query:key'}]}").why(&hidden.request(), &secrets(), &[]);
    assert!(why[0].starts_with("Its token was not stored"), "{why:?}");
    // What is hidden is not in a reason either.
    let source = receiver("{verify: none, redact: [x-own], routes: [{to: f, filter: {header.x-own: a}}]}");
    assert_eq!(source.decide(&sent.event(None)).ignored[0].1, "header.x-own has another value");
    let source = receiver("{verify: [{token: 'query:key'}], routes: [{to: f, filter: {query.key: a}}]}");
    assert_eq!(source.decide(&sent.event(None)).ignored[0].1, "query.key has another value");
}

#[test]
fn a_challenge_is_answered_and_only_a_proved_one() {
    let slack = receiver("{preset: meta, secrets: [a, {verify_token: b}]}");
    let secrets = secrets().with_named("verify_token", "mine");
    let ask = |query| Sent { method: Method::GET, ..Sent::new("").query(query) };
    let sent = ask("hub.mode=subscribe&hub.challenge=42&hub.verify_token=mine");
    assert_eq!(slack.challenge(&sent.request(), &secrets, false).unwrap().body, b"42");
    let sent = ask("hub.mode=subscribe&hub.challenge=42&hub.verify_token=theirs");
    assert_eq!(slack.challenge(&sent.request(), &secrets, false).unwrap().status, 403);
    assert!(slack.challenge(&push("{}").request(), &secrets, false).is_none());
}

#[test]
fn the_tolerance_of_a_source_counts_for_its_challenges() {
    let sent = Sent::new(r#"{"type":"url_verification","challenge":"42"}"#);
    let answered = |tolerance: &str| {
        let slack = receiver(&format!("{{preset: slack, tolerance: {tolerance}}}"));
        let signed = slack.sign(&sent.request(), &secrets().keys()[0]).unwrap();
        let late = sent.request().received_at + Duration::from_secs(3600);
        let request = Request { headers: &signed.headers, received_at: late, ..sent.request() };
        slack.challenge(&request, &secrets(), false).map(|answer| answer.body)
    };
    assert_eq!((answered("2h"), answered("59m")), (Some(b"42".to_vec()), None));
}

#[test]
fn events_that_are_no_cloudevents_need_not_be_any() {
    let sent = Sent::new("").header("content-type", "application/cloudevents+avro");
    assert_eq!(receiver("verify: none").events(&sent.request(), Proof::None).unwrap().len(), 1);
    let refused = receiver("{preset: cloudevents, verify: none}").events(&sent.request(), Proof::None);
    assert_eq!(refused.unwrap_err(), EventError::UnsupportedFormat("application/cloudevents+avro".to_owned()));
}

#[test]
fn what_is_likely_not_meant_is_reported() {
    let warnings = |yaml: &str| receiver(yaml).warnings().join("\n");
    assert!(warnings("{verify: none, routes: [{to: f}]}").starts_with("the source is open"));
    assert_eq!(warnings("{preset: github, routes: [{to: f}]}"), "");
    assert!(receiver("preset: github").needs_secret());
    assert!(!receiver("verify: none").needs_secret() && !receiver("preset: asana").needs_secret());
    let (declared, minute) = (Sent::new("").request().received_at, Duration::from_secs(60));
    let may_learn = |preset: &str, minutes: u32| receiver(preset).may_learn(declared, declared + minute * minutes);
    assert!(may_learn("preset: asana", 59) && !may_learn("preset: asana", 60) && !may_learn("preset: github", 1));
    assert!(
        warnings("{preset: mailgun, secrets: [a], routes: [{to: f}]}")
            .starts_with("the body of these events is not protected")
    );
    assert!(warnings("{preset: github, secrets: [a]}").starts_with("the source has no routes"));
    assert_eq!(warnings(GITHUB), "");
}

#[test]
fn a_declaration_that_is_wrong_is_refused_with_the_key_and_what_is_allowed() {
    for (yaml, expected) in [
        ("{}", "verify: the source has neither preset nor verify; write verify: none"),
        ("a", "must be a mapping with keys such as preset"),
        ("{preset: nobody}", "preset: \"nobody\" is not known (adyen, "),
        ("{preset: github, verify: none}", "verify: cannot be together with preset, and github says how to verify"),
        ("{preset: monday}", "preset: requests of monday cannot be verified yet"),
        ("{verify: []}", "verify: must have a scheme, or be the word none"),
        ("{verify: some}", "verify: invalid value: string \"some\", expected a list of schemes, or the word none"),
        ("{verify: [{hmac: sha256, signature: {from: 'header:x', encoding: hex}, signed: '{body'}]}", "verify"),
        ("{preset: github, kep: 1d}", "kep: is unknown; a webhook can have ack"),
        ("{preset: twilio}", "url: is missing: this provider signs the address"),
        ("{preset: github, url: 'ftp://a'}", "url: must be the address that the provider sends to"),
        ("{preset: github, url: 'https://a/?b'}", "url: must be the address that the provider sends to"),
        ("{preset: github, methods: [BREW]}", "methods[0]: \"BREW\" is not one of POST, PUT"),
        ("{preset: github, allow: [a]}", "allow: \"a\" is neither an address nor a range"),
        ("{preset: github, max_body: 1TB}", "max_body: \"1TB\": its unit must be"),
        ("{preset: github, rate: 50}", "rate: \"50\" is not a rate: write events per second"),
        ("{preset: github, keep: 1m}", "keep: must be from 5m to 90d"),
        ("{preset: github, keep: 91d}", "keep: must be from 5m to 90d"),
        ("{preset: github, expect_every: 0}", "expect_every: must be more than 0"),
        ("{preset: github, dedup: maybe}", "dedup: \"maybe\" is neither on nor off"),
        ("{preset: github, unverified: drop}", "unverified: unknown variant `drop`, expected `reject` or `hold`"),
        ("{preset: github, answer: maybe}", "answer: unknown variant `maybe`, expected `ack` or `function`"),
        ("{preset: github, answer: function}", "answer: function needs exactly one route"),
        (
            "{preset: github, answer: function, routes: [{to: f, delay: 1s}]}",
            "answer: function needs exactly one route",
        ),
        ("{preset: github, wait: 1s}", "wait: needs answer: function"),
        ("{preset: github, wait: 2m, answer: function, routes: [{to: f}]}", "wait: must be 60s or less"),
        ("{preset: github, gone: true}", "gone: needs disabled: true"),
        ("{preset: github, tolerance: 1m}", "tolerance: changes nothing"),
        ("{preset: github, ack: {status: 302}}", "ack: "),
        ("{preset: github, id: ['secret:a']}", "id[0]: "),
        ("{preset: github, type: '{json:a'}", "type: "),
        ("{preset: github, redact: ['a b']}", "redact[0]: \"a b\" is no name of a header"),
        ("{preset: github, secrets: [{a: 1}]}", "secrets[0]: a secret is a name, or one named secret"),
        ("{preset: github, secrets: [../../etc/passwd]}", "secrets[0]: secret name \"../../etc/passwd\" is not valid"),
        ("{preset: github, secrets: [a, {'a b': c}]}", "secrets[1]: secret name \"a b\" is not valid"),
        ("{preset: github, routes: {to: f}}", "routes: invalid type: map, expected a sequence"),
        (
            "{preset: x, challenge: [{when: {method: GET}, need: none, answer: {body: '{hmac-sha256-hex:query:a}'}}]}",
            "challenge",
        ),
    ] {
        let error = try_receiver(yaml).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{yaml}: {error}");
    }
}

#[test]
fn the_header_that_would_name_an_event_is_told_if_nothing_names_it() {
    let github = receiver(GITHUB);
    assert_eq!(github.absent_id_header(&push("{}").request()), None);
    let nameless = Sent::new("{}").header("x-github-event", "push");
    assert_eq!(github.absent_id_header(&nameless.request()).unwrap(), "x-github-delivery");
    let stripe = receiver("preset: stripe\nsecrets: [s]\nroutes: [{to: a}]");
    assert_eq!(stripe.absent_id_header(&Sent::new("{}").request()), None, "its id is in the body");
}
