//! What is signed as a provider would verifies, and a changed body does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test they are how it fails")]

use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method};
use proptest::prelude::*;
use skep_sources::{
    Algorithm, Check, KeyForm, Preset, Presets, Request, Secret, Secrets, SignError, SignedRequest, Verdict, Verify,
    sign, verify,
};
use time::OffsetDateTime;

const URL: &str = "https://hooks.example.com/hooks/name";
/// A body that has all places where a provider may write into one.
const BODY: &str = r#"{"webhookTimestamp": 17, "signature": {"timestamp": "1", "token": "t", "signature": "s"}, "value": [{"clientState": "a"}, {"clientState": "b"}], "notificationItems": [{"NotificationRequestItem": {"pspReference": "1", "additionalData": {"hmacSignature": ""}}}]}"#;

fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_790_000_000).unwrap()
}

fn headers(form: bool) -> HeaderMap {
    let kind = if form { "application/x-www-form-urlencoded" } else { "application/json" };
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static(kind))])
}

fn signed(preset: &Preset, secret: &Secret, headers: &HeaderMap, body: &[u8]) -> Result<SignedRequest, SignError> {
    let request = Request { method: &Method::POST, path: "", query: Some("a=1"), headers, body, received_at: now() };
    sign(&preset.verify, &request, secret, Some(URL))
}

fn check(preset: &Preset, secret: &Secret, signed: &SignedRequest) -> Verdict {
    let SignedRequest { headers, query, body } = signed;
    let request =
        Request { method: &Method::POST, path: "", query: query.as_deref(), headers, body, received_at: now() };
    verify(&preset.verify, &request, &Secrets::new(vec![secret.clone()]), Some(URL), None)
}

/// A secret of the form that the preset's first scheme wants.
fn secret(preset: &Preset, key: &[u8]) -> Secret {
    let form = preset.verify.schemes().first().map(|scheme| match &scheme.check {
        Check::Signed(signed) => match signed.algorithm {
            Algorithm::Hmac(_, form) => form,
            _ => KeyForm::Utf8,
        },
        Check::Token(_) => KeyForm::Utf8,
    });
    let hex = key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = match form {
        Some(KeyForm::Whsec) => format!("whsec_{}", STANDARD.encode(key)),
        Some(KeyForm::Base64) => STANDARD.encode(key),
        Some(KeyForm::Utf8) => format!("user:{hex}"),
        _ => hex,
    };
    Secret::new("1", text)
}

#[test]
fn all_that_have_a_shared_secret_can_be_signed() {
    let mut not_signed = Vec::new();
    for (name, preset) in Presets::embedded().iter() {
        let form = ["mandrill"].contains(&name);
        let body = if form { "mandrill_events=%5B%5D&x=a+b" } else { BODY };
        let secret = secret(preset, &[7; 32]);
        match signed(preset, &secret, &headers(form), body.as_bytes()) {
            Ok(signed) => {
                let verdict = check(preset, &secret, &signed);
                assert_eq!(verdict == Verdict::None, preset.verify == Verify::None, "{name}");
                assert!(verdict.is_accepted(), "{name}: {verdict:?}");
            }
            Err(error) => not_signed.push((name, error)),
        }
    }
    let names: Vec<_> = not_signed.iter().map(|(name, _)| *name).collect();
    let asymmetric = ["braintree", "discord", "ebay", "monday", "sendgrid", "telnyx", "wise"];
    assert_eq!(names, asymmetric, "{not_signed:?}");
}

#[test]
fn twilio_signs_a_form_and_any_other_body_by_its_hash() {
    let preset = Presets::embedded().get("twilio").unwrap();
    let secret = Secret::new("1", "12345");
    let form = signed(preset, &secret, &headers(true), b"a=1&b=2").unwrap();
    assert_eq!(form.query.as_deref(), Some("a=1"));
    let json = signed(preset, &secret, &headers(false), b"{}").unwrap();
    assert!(json.query.as_deref().unwrap().starts_with("a=1&bodySHA256=44136fa3"), "{json:?}");
    let other = SignedRequest { body: b"{ }".to_vec(), ..json };
    assert_eq!(check(preset, &secret, &other), Verdict::Refused(skep_sources::Reason::BodyHash));
}

#[test]
fn a_secret_of_the_wrong_form_is_reported() {
    let preset = Presets::embedded().get("authorize-net").unwrap();
    let error = signed(preset, &Secret::new("1", "zzzz"), &headers(false), b"{}").unwrap_err();
    assert!(error.to_string().contains("hexadecimal") && !error.to_string().contains("zzzz"), "{error}");
}

#[test]
fn a_body_without_the_place_is_reported() {
    let preset = Presets::embedded().get("mailgun").unwrap();
    let error = signed(preset, &Secret::new("1", "secret"), &headers(false), b"{}").unwrap_err();
    assert!(matches!(error, SignError::NoPlace(_) | SignError::Resolve(_)), "{error:?}");
}

/// The presets that protect the body, whatever it is.
static WHOLE: LazyLock<Vec<(&'static str, &'static Preset)>> = LazyLock::new(|| {
    let whole = |preset: &Preset| {
        !preset.verify.schemes().is_empty()
            && preset.verify.schemes().iter().all(|scheme| match &scheme.check {
                Check::Signed(signed) => {
                    !signed.covers_fields
                        && matches!(signed.algorithm, Algorithm::Hmac(..))
                        && signed.body_hash.is_none()
                }
                Check::Token(_) => false,
            })
    };
    Presets::embedded().iter().filter(|(name, preset)| whole(preset) && *name != "linear").collect()
});

proptest! {
    #[test]
    fn a_signed_request_verifies_and_no_changed_one_does(
        which in 0..1000usize, key in prop::collection::vec(any::<u8>(), 1..64),
        body in prop::collection::vec(any::<u8>(), 1..200), bit in any::<prop::sample::Index>(),
    ) {
        let (name, preset) = WHOLE[which % WHOLE.len()];
        let secret = secret(preset, &key);
        let mut request = signed(preset, &secret, &headers(false), &body).unwrap();
        prop_assert_eq!(&request.body, &body, "{}", name);
        prop_assert!(check(preset, &secret, &request).is_accepted(), "{}", name);
        let bit = bit.index(body.len() * 8);
        request.body[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(check(preset, &secret, &request), Verdict::Refused(skep_sources::Reason::Mismatch), "{}", name);
    }

    #[test]
    fn any_headers_and_body_are_refused_and_nothing_panics(
        which in 0..1000usize, value in "[ -~]{0,60}", body in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let presets: Vec<_> = Presets::embedded().iter().filter(|(name, _)| *name != "none").collect();
        let (name, preset) = presets[which % presets.len()];
        let mut headers = HeaderMap::new();
        for scheme in preset.verify.schemes() {
            if let Check::Signed(signed) = &scheme.check
                && let skep_sources::SignatureSource::Reference(skep_sources::Reference::Header(name)) = &signed.signature.from
            {
                headers.insert(name, HeaderValue::from_str(&value).unwrap());
            }
        }
        let request = SignedRequest { headers, query: Some(value), body };
        prop_assert!(!check(preset, &secret(preset, &[7; 32]), &request).is_accepted(), "{}", name);
    }
}
