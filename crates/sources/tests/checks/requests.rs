//! Requests: downgrades, repeated headers, several secrets, times, URLs.

use super::*;

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
fn of_many_signatures_for_a_public_key_only_the_first_ones_cost_time() {
    use ring::signature::{Ed25519KeyPair, KeyPair};
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let good = hex(pair.sign(&[b"1790000000".as_slice(), BODY].concat()).as_ref());
    let behind = |others: usize| {
        let wrong = "00".repeat(64);
        let mut list = vec![("x-signature-ed25519", wrong.as_str()); others];
        list.extend([("x-signature-ed25519", good.as_str()), ("x-signature-timestamp", "1790000000")]);
        check(&preset("discord"), &keys(&[&hex(pair.public_key().as_ref())]), &headers(&list), BODY)
    };
    assert!(behind(0).is_accepted() && behind(9).is_accepted());
    assert_eq!(behind(10), MISMATCH);
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
fn a_signature_of_several_is_taken_from_an_item_of_its_form() {
    let preset = own(r#"
verify:
  - hmac: sha256
    signature: { from: "header:X-Sig", split: "&", pick: "{any}={sig}", encoding: hex }
    signed: "{body}"
"#);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s");
    let hex: String = ring::hmac::sign(&key, BODY).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let verdict = |text: String| check(&preset, &keys(&["s"]), &headers(&[("X-Sig", &text)]), BODY);
    assert!(verdict(format!("old=00&new={hex}")).is_accepted());
    for bad in [hex.clone(), format!("a|b={hex}"), format!("a={hex}0")] {
        assert_eq!(verdict(bad.clone()).label(), "malformed", "{bad}");
    }
}

#[test]
fn a_time_that_cannot_be_read_is_no_time() {
    let slack = preset("slack");
    for time in ["-1790000000", "+1790000000", "1790000000 ", "1.79e9", "", "99999999999999999999999999999999999999999"]
    {
        let tag = ring::hmac::sign(
            &ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s"),
            &[b"v0:".as_slice(), time.as_bytes(), b":", BODY].concat(),
        );
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = headers(&[("X-Slack-Signature", &format!("v0={hex}")), ("X-Slack-Request-Timestamp", time)]);
        assert_eq!(check(&slack, &keys(&["s"]), &headers, BODY).label(), "malformed", "{time:?}");
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
fn an_empty_secret_lets_nobody_in() {
    let nothing = headers(&[("X-Telegram-Bot-Api-Secret-Token", "")]);
    assert!(!check(&preset("telegram"), &keys(&[""]), &nothing, BODY).is_accepted());
}

#[test]
fn a_field_of_a_query_or_a_form_is_one_value_of_that_form() {
    let query = own("verify: [{ token: 'query:t' }]\n");
    let with = |query_text: &str| {
        let empty = HeaderMap::new();
        let request = request(&Method::POST, Some(query_text), &empty, BODY);
        verify(&query.verify, &request, &keys(&["a"]), Some(URL), None)
    };
    assert!(with("t=a").is_accepted() && with("t=a&t=a").is_accepted());
    // A proxy and a function may read different ones.
    assert_eq!((with("t=a&t=b").label(), with("t=b&t=a").label()), ("malformed", "malformed"));
    let form = own(r#"
verify:
  - hmac: sha256
    when: "form:sig"
    signature: { from: "form:sig", encoding: hex }
    signed: "{form:text}"
    covers: fields
"#);
    let of = |kind: &str, body: &[u8]| check(&form, &keys(&["s"]), &headers(&[("content-type", kind)]), body);
    let urlencoded = "application/x-www-form-urlencoded";
    assert_eq!(of(urlencoded, b"sig=00&text=a"), MISMATCH);
    // No scheme is for it: there is no such field in JSON.
    assert_eq!(of("application/json", b"sig=00&text=a"), MISSING);
    assert_eq!(of(urlencoded, b"text=a"), MISSING);
}

#[test]
fn a_time_at_the_end_of_the_tolerance_is_in_time() {
    let svix = preset("svix");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let headers = signed(&svix, secret, BODY);
    for (seconds, expected) in [(300, true), (301, false), (-300, true), (-301, false)] {
        let received_at = now() + time::Duration::seconds(seconds);
        let request = Request { received_at, ..request(&Method::POST, None, &headers, BODY) };
        let verdict = verify(&svix.verify, &request, &keys(&[secret]), Some(URL), None);
        assert_eq!(verdict.is_accepted(), expected, "{seconds}");
    }
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
    // Two parsers may read different ones.
    for read in [b"1", b"2"] {
        assert!(!check(&preset, &keys(&["s"]), &tag(read), br#"{"n":1,"n":2}"#).is_accepted());
    }
    for body in ["{}", "{\"n\":null}", "{\"n\":[]}", "{\"n\":\"\\ud800\"}", "{\"n\":1}x", "[1]", "1", ""] {
        assert!(!check(&preset, &keys(&["s"]), &tag(b""), body.as_bytes()).is_accepted(), "{body}");
    }
}
