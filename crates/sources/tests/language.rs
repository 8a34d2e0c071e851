//! What is refused when a preset is read, and that what is read can be stored and read again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test they are how it fails")]

use skep_sources::{KeyError, Need, Preset, Presets, Reference, Scheme, Verify};

/// A scheme that is right; the cases below are one change away from it.
const SCHEME: &str = r#"
hmac: sha256
signature: { from: "header:X-Sig", split: ",", pick: "v1={sig}", encoding: hex }
timestamp: { from: "signature:t", unit: s, tolerance: 5m }
signed: "{timestamp}.{body}"
"#;

fn read(text: &str) -> Result<Scheme, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

fn changed(from: &str, to: &str) -> String {
    assert!(SCHEME.contains(from), "{from}");
    SCHEME.replace(from, to)
}

#[track_caller]
fn refused(text: &str, because: &str) {
    let error = read(text).expect_err(text);
    assert!(error.contains(because), "{error}\n\ndoes not say {because}");
}

#[test]
fn the_scheme_itself_is_read() {
    read(SCHEME).unwrap();
}

#[test]
fn braces_must_balance() {
    for (signed, because) in [
        ("{timestamp}.{body", "without its `}`"),
        ("{timestamp}.body}", "without its `{`"),
        ("{timestamp.{body}", "without its `}`"),
        ("{timestamp}.{body}[[{header:x}", "without its `]]`"),
        ("{timestamp}.{body}]]", "without its `[[`"),
        ("[[{timestamp}[[x]]]].{body}", "inside another"),
    ] {
        refused(&changed("{timestamp}.{body}", signed), because);
    }
}

#[test]
fn every_reference_must_be_known() {
    for (reference, because) in [
        ("bodi", "is no reference"),
        ("heather:X", "`heather:` is not known"),
        ("header:", "needs a name"),
        ("header:a b", "no name of a header"),
        ("json:", "needs a name"),
        ("json:a..b", "empty part"),
        ("lower:lower:lower:lower:lower:method", "nests too many"),
        ("", "is no reference"),
    ] {
        refused(&changed("{timestamp}", &format!("{{timestamp}}{{{reference}}}")), because);
    }
}

#[test]
fn the_body_must_be_signed_once() {
    for (signed, because) in [
        ("{timestamp}", "must have {body} once"),
        ("{timestamp}{lower:body}", "would change what was signed"),
        ("{timestamp}{body}{body}", "once only"),
        ("{timestamp}[[{body}{header:x}]]", "in [[ ]]"),
    ] {
        refused(&changed("{timestamp}.{body}", signed), because);
    }
    read(&format!("{}covers: fields", changed(".{body}", "{query:id}"))).unwrap();
    refused(&format!("{SCHEME}covers: fields"), "`signed` has {body}");
    let hash = "body_hash: { from: \"query:h\", hash: sha256, encoding: hex }";
    read(&format!("{}{hash}", changed(".{body}", ""))).unwrap();
    let constant = changed("{timestamp}.{body}", "[[{query:x}]]").replace("timestamp: {", "# ");
    refused(&format!("{constant}covers: fields"), "would sign a constant");
}

#[test]
fn what_a_reference_needs_must_be_there() {
    let without_time = changed("timestamp: {", "# timestamp: {");
    refused(&without_time, "needs a `timestamp`");
    refused(&changed("split: \",\", ", ""), "needs `split`");
    refused(&changed("{timestamp}.{body}", "{body}"), "`timestamp` must be in `signed`");
    refused(&changed("{body}", "{body}{item:x}"), "needs `each`");
    refused(&format!("{SCHEME}url_also: [default-port]"), "needs {url}");
}

#[test]
fn secrets_are_only_for_challenges() {
    for reference in ["secret:verify_token", "hmac-sha256-hex:body", "sha256-hex:body", "lower:secret:x"] {
        refused(&changed("{body}", &format!("{{body}}{{{reference}}}")), "only for answers to challenges");
        assert!(serde_json::from_value::<Reference>(reference.into()).is_err(), "{reference} as an id");
    }
}

#[test]
fn a_scheme_has_one_algorithm_and_its_key() {
    refused(&changed("hmac: sha256", ""), "one of hmac");
    refused(&changed("hmac: sha256", "hmac: md5"), "md5");
    refused(&format!("{SCHEME}ed25519: raw-hex"), "write two schemes");
    refused(&changed("hmac: sha256", "ecdsa-p256: raw-hex"), "spki or pem");
    refused(&changed("hmac: sha256", "ed25519: spki"), "raw-hex, raw-base64");
    refused(&changed("hmac: sha256", "ed25519: raw-hex\nkey: hex"), "only for hmac");
    refused(&format!("{SCHEME}token: bearer"), "no other keys");
    refused("token: method", "must be bearer");
    refused("token: bearer\nsecret: x", "unknown field");
    refused(&format!("{SCHEME}tolerance: 5m"), "unknown field");
    refused(&changed("signature:", "# "), "needs `signature`");
    refused(&changed("signed:", "# "), "needs `signed`");
}

#[test]
fn a_signature_rule_is_checked() {
    refused(&changed("v1={sig}", "v1="), "needs {sig} once");
    refused(&changed("v1={sig}", "{sig}{sig}"), "needs {sig} once");
    refused(&changed("v1={sig}", "{any}{sig}"), "{any} once at most");
    refused(&changed("\",\"", "\"\""), "`split` is empty");
    refused(&changed("header:X-Sig", "headers:X-Sig-{1..1000}"), "is no range");
    refused(&changed("header:X-Sig", "headers:X-Sig"), "is no range");
    refused(&changed("5m", "5 minutes"), "is not a duration");
    refused(&format!("{SCHEME}not_matching: \"[0-9]+\""), "must begin with ^");
}

#[test]
fn verify_cannot_be_left_out() {
    let error = serde_saphyr::from_str::<Preset>("id: [\"json:id\"]").unwrap_err().to_string();
    assert!(error.contains("verify"), "{error}");
    assert_eq!(serde_saphyr::from_str::<Preset>("verify: none").unwrap().verify, Verify::None);
    let error = serde_saphyr::from_str::<Preset>("verify: nothing").unwrap_err().to_string();
    assert!(error.contains("the word none"), "{error}");
}

#[test]
fn an_event_holds_nothing_secret() {
    for text in ["bearer", "basic", "secret:x", "item:x", "signature:t", "timestamp", "url"] {
        let preset = format!("verify: none\nid: [\"{text}\"]");
        assert!(serde_saphyr::from_str::<Preset>(&preset).is_err(), "id {text}");
        let preset = format!("verify: none\ntype: \"{{{text}}}\"");
        assert!(serde_saphyr::from_str::<Preset>(&preset).is_err(), "type {text}");
    }
}

fn challenge(text: &str) -> Result<Preset, String> {
    serde_saphyr::from_str(&format!("verify: none\nchallenge:\n  - {text}")).map_err(|error| error.to_string())
}

#[test]
fn a_challenge_must_not_be_an_oracle() {
    let mac = |only: &str| {
        challenge(&format!(
            "{{ when: {{ method: GET }}, need: none, {only} answer: {{ body: \"{{hmac-sha256-hex:query:c}}\" }} }}"
        ))
    };
    assert!(mac("").unwrap_err().contains("have an event signed"));
    assert!(mac("only: \"query:d ^[a-z]+$\",").unwrap_err().contains("have an event signed"));
    assert!(mac("only: \"query:c [a-z]+\",").unwrap_err().contains("must begin with ^"));
    assert!(mac("only: \"query:c\",").unwrap_err().contains("a blank and a pattern"));
    mac("only: \"query:c ^[a-z]+$\",").unwrap();
    let header = "{ when: { method: GET }, need: none, answer: { headers: { X-A: \"{lower:hmac-sha1-hex:path}\" } } }";
    assert!(challenge(header).unwrap_err().contains("have an event signed"));
}

#[test]
fn a_challenge_is_checked() {
    for (text, because) in [
        ("{ when: {}, need: none, answer: {} }", "`when` is empty"),
        ("{ when: { method: GET }, need: trust, answer: {} }", "must be none, signature"),
        ("{ when: { method: GET }, need: none, answer: { status: 302 } }", "from 200 to 299"),
        ("{ when: { method: GET }, need: none, answer: { type: text/html } }", "text/html"),
        ("{ when: { method: GET }, need: none, deny: 200, answer: {} }", "from 400 to 499"),
        ("{ when: { method: GET }, need: none, answer: { body: \"{body}\" } }", "only for `verify`"),
        ("{ when: { method: GET }, need: none, answer: { body: \"{bearer}\" } }", "only for `verify`"),
        ("{ when: { method: GET }, need: none, answer: { body: \"{query:x\" } }", "without its `}`"),
        ("{ when: { method: GET }, answer: {} }", "need"),
        ("{ when: { methods: GET }, need: none, answer: {} }", "methods"),
    ] {
        let error = challenge(text).expect_err(text);
        assert!(error.contains(because), "{text}: {error}");
    }
}

#[test]
fn an_ack_says_that_all_is_well() {
    let ack = |text: &str| {
        serde_saphyr::from_str::<Preset>(&format!("verify: none\nack: {text}"))
            .map(|p| p.ack)
            .map_err(|e| e.to_string())
    };
    assert_eq!(ack("{}").unwrap().status, 202);
    assert_eq!(ack("{ body: '{\"type\":5}' }").unwrap().status, 200);
    assert_eq!(ack("{ status: 204 }").unwrap().status, 204);
    assert!(ack("{ status: 301 }").unwrap_err().contains("from 200 to 299"));
    assert!(ack("{ status: 500 }").unwrap_err().contains("from 200 to 299"));
    assert!(ack("{ headers: { \"a b\": c } }").unwrap_err().contains("name of a header"));
}

#[test]
fn all_presets_are_read() {
    let presets = Presets::embedded();
    assert_eq!(presets.names().count(), 62);
    for (name, preset) in presets.iter() {
        let needs_url = preset.verify.needs_url() || name == "ebay";
        assert_eq!(preset.needs.contains(&Need::Url), needs_url, "{name}");
        assert_eq!(preset.verify == Verify::None, name == "none");
        assert!(preset.verify.check_secret("").is_err() || preset.verify.schemes().is_empty(), "{name}");
    }
}

#[test]
fn a_preset_can_be_stored() {
    for (name, preset) in Presets::embedded().iter() {
        let stored = serde_json::to_string(preset).unwrap();
        let read: Preset = serde_json::from_str(&stored).unwrap_or_else(|error| panic!("{name}: {error}\n{stored}"));
        assert_eq!(&read, preset, "{name}\n{stored}");
    }
}

#[test]
fn a_secret_of_the_wrong_form_is_refused_when_it_is_stored() {
    let check = |preset: &str, text: &str| Presets::embedded().get(preset).unwrap().verify.check_secret(text);
    for (preset, text, result) in [
        ("github", "anything", Ok(())),
        ("github", "", Err(KeyError::Empty)),
        ("github", " ", Err(KeyError::Empty)),
        ("github", "pasted\n", Err(KeyError::WhiteSpace)),
        ("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Ok(())),
        ("standard-webhooks", "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Ok(())),
        ("standard-webhooks", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Ok(())),
        ("standard-webhooks", "whsec_", Err(KeyError::Empty)),
        ("standard-webhooks", "whsec_not base64", Err(KeyError::NotWhsec)),
        ("standard-webhooks", "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=", Ok(())),
        ("adyen", "44782DEF", Ok(())),
        ("adyen", "44782DE", Err(KeyError::NotHex)),
        ("airtable", "YWly*", Err(KeyError::NotBase64)),
        ("basic", "user", Err(KeyError::NotUserAndPassword)),
        ("basic", "user:password", Ok(())),
        ("discord", "79b5", Err(KeyError::NotPublicKey("64 hexadecimal digits"))),
        ("gitlab", "any token", Ok(())),
    ] {
        assert_eq!(check(preset, text), result, "{preset} {text:?}");
    }
    assert!(matches!(
        check("wise", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
        Err(KeyError::NotPublicKey(_))
    ));
    assert!(matches!(check("sendgrid", "AAAA"), Err(KeyError::NotPublicKey(_))));
}
