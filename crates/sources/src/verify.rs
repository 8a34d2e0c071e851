//! Whether a request is the provider's: its signature, token and time against the source's secrets.

use std::{borrow::Cow, time::Duration};

use ring::{digest, hmac};
use serde_json::value::RawValue;
use subtle::ConstantTimeEq as _;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Request,
    json::{self, Found},
    key::Key,
    reference::Reference,
    resolve::{Input, Scope},
    scheme::{Check, Scheme, Signed, TimeUnit, TimestampRule, Verify},
    secret::Secrets,
    url_form,
    verdict::{Reason, Verdict},
};

/// Signatures that are tried with one public key. Each costs a hash of the whole body, and anybody may send many; rotating providers send two or three.
const MAX_PUBLIC_SIGNATURES: usize = 10;

/// Checks a request. All secrets are tried with all signatures.
///
/// `url` is the source's own, without what follows `?`. `tolerance` is used instead of the scheme's, if it is given.
pub fn verify(
    verify: &Verify,
    request: &Request<'_>,
    secrets: &Secrets,
    url: Option<&str>,
    tolerance: Option<Duration>,
) -> Verdict {
    let Verify::Schemes(schemes) = verify else { return Verdict::None };
    let input = Input::new(request, None);
    let check = Checking { input: &input, secrets, url, tolerance };
    let mut refused = Reason::Unsupported;
    for scheme in schemes {
        let decides = match &scheme.when {
            Some(when) if !input.is_there(when) => continue,
            when => when.is_some(),
        };
        match check.scheme(scheme) {
            Ok(verdict) => return verdict,
            Err(reason) if decides => return Verdict::Refused(reason),
            Err(reason) if reason.progress() >= refused.progress() => refused = reason,
            Err(_) => {}
        }
    }
    // Each scheme has a `when`, and nothing that they ask for was there.
    if refused == Reason::Unsupported && !schemes.is_empty() {
        refused = Reason::Missing;
    }
    Verdict::Refused(refused)
}

struct Checking<'c> {
    input: &'c Input<'c>,
    secrets: &'c Secrets,
    url: Option<&'c str>,
    tolerance: Option<Duration>,
}

impl Checking<'_> {
    fn scheme(&self, scheme: &Scheme) -> Result<Verdict, Reason> {
        if self.secrets.keys().is_empty() {
            return Err(Reason::NoSecret);
        }
        let Some(path) = &scheme.each else { return self.one(scheme, None) };
        let body = self.input.request.body;
        let malformed = || Reason::Malformed(format!("the body has no array at {path}"));
        let Ok(Found::Value(array)) = json::find(body, path) else { return Err(malformed()) };
        let mut verdict = Err(Reason::Missing);
        for item in json::elements(array).ok_or_else(malformed)? {
            let one = self.one(scheme, Some(item))?;
            if verdict.is_err() {
                verdict = Ok(one);
            }
        }
        verdict
    }

    fn one(&self, scheme: &Scheme, item: Option<&RawValue>) -> Result<Verdict, Reason> {
        let scope = Scope { item, ..Scope::of(self.input) };
        match &scheme.check {
            Check::Token(reference) => self.token(reference, &scope),
            Check::Signed(signed) => self.signed(signed, &scope),
        }
    }

    fn token(&self, reference: &Reference, scope: &Scope<'_>) -> Result<Verdict, Reason> {
        let token = scope.resolve(reference)?.ok_or(Reason::Missing)?;
        let fits = |text: &str| !text.is_empty() && bool::from(text.as_bytes().ct_eq(&token));
        let secret = self.secrets.keys().iter().find(|secret| fits(secret.expose())).ok_or(Reason::Mismatch)?;
        Ok(Verdict::Token { key: secret.name().to_owned() })
    }

    fn signed(&self, signed: &Signed, outer: &Scope<'_>) -> Result<Verdict, Reason> {
        let groups = signed.signature.groups(outer)?;
        if groups.is_empty() {
            return Err(Reason::Missing);
        }
        let mut scope = Scope { item: outer.item, fields: signed.signature.fields(&groups), ..Scope::of(self.input) };
        let timestamp = match &signed.timestamp {
            Some(rule) => Some(
                scope
                    .resolve(&rule.from)?
                    .map(Cow::into_owned)
                    .ok_or_else(|| Reason::Malformed(format!("there is no time at {}", rule.from)))?,
            ),
            None => None,
        };
        scope.timestamp = timestamp.as_deref().map(Cow::Borrowed);
        let signatures = signed.signature.signatures(&groups);
        if signatures.is_empty() {
            return Err(Reason::Malformed("no signature has the form of this provider".to_owned()));
        }
        let key = self.fitting(signed, &mut scope, &signatures)?;
        if let (Some(rule), Some(timestamp)) = (&signed.timestamp, &timestamp) {
            self.check_time(rule, timestamp)?;
        }
        if let Some(rule) = &signed.body_hash {
            let written = scope.resolve(&rule.from)?.ok_or(Reason::BodyHash)?;
            let expected = digest::digest(rule.hash.digest(), self.input.request.body);
            let given = rule.encoding.decode(&written).unwrap_or_default();
            if !bool::from(given.ct_eq(expected.as_ref())) {
                return Err(Reason::BodyHash);
            }
        }
        Ok(Verdict::Signature { key })
    }

    /// The name of the secret that one of the signatures fits.
    fn fitting<'s>(
        &'s self,
        signed: &'s Signed,
        scope: &mut Scope<'s>,
        signatures: &[Vec<u8>],
    ) -> Result<String, Reason> {
        let keys: Vec<_> = self
            .secrets
            .keys()
            .iter()
            .filter_map(|secret| Some((secret.name(), signed.algorithm.key(secret.expose()).ok()?)))
            .collect();
        if keys.is_empty() {
            return Err(Reason::NoSecret);
        }
        let urls = if signed.signs_url() {
            url_form::all(self.url, self.input.request.query, &signed.url_also)
        } else {
            Vec::new()
        };
        let mut urls = urls.iter();
        loop {
            let url = urls.next();
            let scope = Scope {
                url: url.map(String::as_str),
                timestamp: scope.timestamp.clone(),
                fields: scope.fields.clone(),
                ..*scope
            };
            let message = signed.signed.pieces(&scope)?;
            if let Some(pattern) = &signed.not_matching
                && pattern.is_match(&message.concat())
            {
                return Err(Reason::Malformed("the signed text is one that only a challenge has".to_owned()));
            }
            if let Some((name, _)) = keys.iter().find(|(_, key)| key.fits(&message, signatures)) {
                return Ok((*name).to_owned());
            }
            if urls.len() == 0 {
                return Err(Reason::Mismatch);
            }
        }
    }

    fn check_time(&self, rule: &TimestampRule, written: &[u8]) -> Result<(), Reason> {
        let Some(tolerance) = self.tolerance.or(rule.tolerance) else { return Ok(()) };
        let time = rule
            .unit
            .read(written)
            .ok_or_else(|| Reason::Malformed(format!("the time at {} cannot be read", rule.from)))?;
        let age = self.input.request.received_at - time;
        let by = age.unsigned_abs();
        match by > tolerance {
            false => Ok(()),
            true if age.is_negative() => Err(Reason::Future { by }),
            true => Err(Reason::Stale { by }),
        }
    }
}

impl Key {
    fn fits(&self, message: &[Cow<'_, [u8]>], signatures: &[Vec<u8>]) -> bool {
        match self {
            Self::Hmac(key) => {
                let mut context = hmac::Context::with_key(key);
                for piece in message {
                    context.update(piece);
                }
                let tag = context.sign();
                signatures.iter().any(|signature| bool::from(signature.as_slice().ct_eq(tag.as_ref())))
            }
            Self::Public(key) => {
                let message = match message {
                    [whole] => Cow::Borrowed(&**whole),
                    pieces => Cow::Owned(pieces.concat()),
                };
                let mut tried = signatures.iter().take(MAX_PUBLIC_SIGNATURES);
                tried.any(|signature| key.verify(&message, signature).is_ok())
            }
        }
    }
}

impl TimeUnit {
    /// Reads a time: digits only, or RFC 3339.
    fn read(self, written: &[u8]) -> Option<OffsetDateTime> {
        let text = std::str::from_utf8(written).ok()?;
        let nanoseconds = |unit: i128| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = if digits { text.parse::<i128>().ok()? } else { return None };
            OffsetDateTime::from_unix_timestamp_nanos(number.checked_mul(unit)?).ok()
        };
        match self {
            Self::S => nanoseconds(1_000_000_000),
            Self::Ms => nanoseconds(1_000_000),
            Self::Rfc3339 => OffsetDateTime::parse(text, &Rfc3339).ok(),
        }
    }
}
