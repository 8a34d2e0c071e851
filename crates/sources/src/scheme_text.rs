//! A scheme as it is written, and the checks when it is read: a scheme with a mistake may let every forgery in.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::{
    key::{KeyForm, PublicForm},
    reference::{ParseError, Place, Reference},
    scheme::{Algorithm, BodyHash, Check, HmacHash, Scheme, Signed, TimeUnit, TimestampRule, UrlForm},
    signature::{Encoding, SignatureRule, WrittenSignature},
    template::Template,
    text::{Pattern, duration},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenScheme {
    when: Option<String>,
    each: Option<String>,
    hmac: Option<HmacHash>,
    ed25519: Option<PublicForm>,
    #[serde(rename = "ecdsa-p256")]
    ecdsa_p256: Option<PublicForm>,
    #[serde(rename = "rsa-sha256")]
    rsa_sha256: Option<PublicForm>,
    token: Option<String>,
    key: Option<KeyForm>,
    signature: Option<WrittenSignature>,
    timestamp: Option<WrittenTimestamp>,
    signed: Option<String>,
    covers: Option<Covers>,
    body_hash: Option<WrittenBodyHash>,
    not_matching: Option<Pattern>,
    #[serde(default)]
    url_also: Vec<UrlForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTimestamp {
    from: String,
    unit: TimeUnit,
    #[serde(default, with = "duration")]
    tolerance: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBodyHash {
    from: String,
    hash: HmacHash,
    encoding: Encoding,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Covers {
    Fields,
}

fn refused<T>(reason: &str) -> Result<T, ParseError> {
    Err(ParseError(reason.to_owned()))
}

impl TryFrom<WrittenScheme> for Scheme {
    type Error = ParseError;

    fn try_from(written: WrittenScheme) -> Result<Self, ParseError> {
        let each = written.each.as_deref().map(str::parse).transpose()?;
        let outside = Place::Scheme { each: false, timestamp: false, fields: false };
        let when = written.when.as_deref().map(|text| Reference::parse(text, outside)).transpose()?;
        let check = match written.token {
            Some(_) => Check::Token(written.token()?),
            None => Check::Signed(Box::new(written.signed()?)),
        };
        Ok(Self { when, each, check })
    }
}

impl WrittenScheme {
    fn token(self) -> Result<Reference, ParseError> {
        let others = self.algorithms()?.is_some()
            || self.key.is_some()
            || self.signature.is_some()
            || self.timestamp.is_some()
            || self.signed.is_some()
            || self.covers.is_some()
            || self.body_hash.is_some()
            || self.not_matching.is_some()
            || !self.url_also.is_empty();
        if others {
            return refused("a scheme with `token` has no other keys than `when` and `each`");
        }
        let place = Place::Scheme { each: self.each.is_some(), timestamp: false, fields: false };
        let token = Reference::parse(&self.token.unwrap_or_default(), place)?;
        match token {
            Reference::Header(_)
            | Reference::Query(_)
            | Reference::Form(_)
            | Reference::Json(_)
            | Reference::Item(_)
            | Reference::Bearer
            | Reference::Basic => Ok(token),
            _ => refused("`token` must be bearer, basic, header:NAME, query:NAME, form:NAME, json:PATH or item:PATH"),
        }
    }

    fn signed(self) -> Result<Signed, ParseError> {
        let Some(algorithm) = self.algorithms()? else {
            return refused("a scheme needs one of hmac, ed25519, ecdsa-p256, rsa-sha256 and token");
        };
        let Some(signature) = self.signature else { return refused("a scheme needs `signature`: where it is") };
        let Some(text) = self.signed else {
            return refused("a scheme needs `signed`: the text that is signed, like \"{body}\"");
        };
        let (each, fields) = (self.each.is_some(), signature.has_fields());
        let place = Place::Scheme { each, timestamp: self.timestamp.is_some(), fields };
        let before_time = Place::Scheme { each, timestamp: false, fields };
        let signed = Signed {
            algorithm,
            signature: signature.check(each)?,
            timestamp: self.timestamp.map(|timestamp| timestamp.check(before_time)).transpose()?,
            signed: Template::parse(&text, place)?,
            covers_fields: self.covers.is_some(),
            body_hash: self.body_hash.map(|hash| hash.check()).transpose()?,
            not_matching: self.not_matching,
            url_also: self.url_also,
        };
        signed.check_cover()?;
        Ok(signed)
    }

    fn algorithms(&self) -> Result<Option<Algorithm>, ParseError> {
        let algorithms = [
            self.hmac.map(|hash| Algorithm::Hmac(hash, self.key.unwrap_or_default())),
            self.ed25519.map(Algorithm::Ed25519),
            self.ecdsa_p256.map(Algorithm::EcdsaP256),
            self.rsa_sha256.map(Algorithm::RsaSha256),
        ];
        let mut given = algorithms.into_iter().flatten();
        let algorithm = given.next();
        if given.next().is_some() {
            return refused("a scheme has one of hmac, ed25519, ecdsa-p256, rsa-sha256 and token: write two schemes");
        }
        match algorithm {
            Some(Algorithm::EcdsaP256(form) | Algorithm::RsaSha256(form)) if !form.is_der() => {
                refused("the key of ecdsa-p256 and rsa-sha256 is spki or pem")
            }
            Some(Algorithm::Ed25519(PublicForm::Spki)) => {
                refused("the key of ed25519 is raw-hex, raw-base64, whpk or pem")
            }
            Some(Algorithm::Ed25519(_) | Algorithm::EcdsaP256(_) | Algorithm::RsaSha256(_)) if self.key.is_some() => {
                refused("`key` is only for hmac: a public key's form is the value of its algorithm")
            }
            algorithm => Ok(algorithm),
        }
    }
}

impl WrittenTimestamp {
    fn check(self, place: Place) -> Result<TimestampRule, ParseError> {
        let from = Reference::parse(&self.from, place)?;
        Ok(TimestampRule { from, unit: self.unit, tolerance: self.tolerance })
    }
}

impl WrittenBodyHash {
    fn check(self) -> Result<BodyHash, ParseError> {
        let from = Reference::parse(&self.from, Place::Scheme { each: false, timestamp: false, fields: false })?;
        Ok(BodyHash { from, hash: self.hash, encoding: self.encoding })
    }
}

impl Signed {
    /// The signed text must be of this request, and of its body unless the author says that it is not.
    fn check_cover(&self) -> Result<(), ParseError> {
        let bodies: Vec<bool> = self
            .signed
            .references()
            .filter_map(|(reference, always)| (*reference == Reference::Body).then_some(always))
            .collect();
        match (bodies.as_slice(), self.covers_fields, &self.body_hash) {
            ([true], false, _) => {}
            ([], false, Some(_)) | ([], true, _) => {}
            ([], false, None) => {
                return refused("`signed` must have {body} once, or the scheme `covers: fields` or `body_hash`");
            }
            ([false], ..) => {
                return refused("`signed` must not have {body} in [[ ]]: without it nothing would be signed");
            }
            ([_], true, _) => {
                return refused("`covers: fields` says that the body is not signed, but `signed` has {body}");
            }
            _ => return refused("`signed` must have {body} once only"),
        }
        if !self.signed.references().any(|(_, always)| always) {
            return refused("`signed` must have a reference outside of [[ ]]: it would sign a constant");
        }
        if self.timestamp.is_some() && !self.signs_time() {
            return refused("`timestamp` must be in `signed`: a time that is not signed protects from nothing");
        }
        if !self.url_also.is_empty() && !self.signs_url() {
            return refused("`url_also` needs {url} in `signed`");
        }
        Ok(())
    }

    /// A time in the body is signed with the body.
    fn signs_time(&self) -> bool {
        let in_body = self.timestamp.as_ref().is_some_and(|time| {
            matches!(time.from, Reference::Json(_) | Reference::Form(_))
                && self.signed.references().any(|(reference, _)| *reference == Reference::Body)
        });
        in_body
            || self.signed.references().any(|(reference, always)| {
                always
                    && (*reference == Reference::Timestamp
                        || self.timestamp.as_ref().is_some_and(|time| time.from == *reference))
            })
    }
}

impl Serialize for Scheme {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |path: &crate::reference::JsonPath| path.to_string();
        let mut shown =
            ShownScheme { when: self.when.as_ref(), each: self.each.as_ref().map(text), ..Default::default() };
        match &self.check {
            Check::Token(token) => shown.token = Some(token),
            Check::Signed(signed) => {
                match signed.algorithm {
                    Algorithm::Hmac(hash, key) => (shown.hmac, shown.key) = (Some(hash), Some(key)),
                    Algorithm::Ed25519(form) => shown.ed25519 = Some(form),
                    Algorithm::EcdsaP256(form) => shown.ecdsa_p256 = Some(form),
                    Algorithm::RsaSha256(form) => shown.rsa_sha256 = Some(form),
                }
                shown.signature = Some(&signed.signature);
                shown.timestamp = signed.timestamp.as_ref();
                shown.signed = Some(&signed.signed);
                shown.covers = signed.covers_fields.then_some(Covers::Fields);
                shown.body_hash = signed.body_hash.as_ref();
                shown.not_matching = signed.not_matching.as_ref();
                shown.url_also = &signed.url_also;
            }
        }
        shown.serialize(serializer)
    }
}

/// A scheme as it is written, to store it.
#[derive(Default, Serialize)]
struct ShownScheme<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<&'s Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    each: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hmac: Option<HmacHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ed25519: Option<PublicForm>,
    #[serde(rename = "ecdsa-p256", skip_serializing_if = "Option::is_none")]
    ecdsa_p256: Option<PublicForm>,
    #[serde(rename = "rsa-sha256", skip_serializing_if = "Option::is_none")]
    rsa_sha256: Option<PublicForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'s Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<KeyForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<&'s SignatureRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<&'s TimestampRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<&'s Template>,
    #[serde(skip_serializing_if = "Option::is_none")]
    covers: Option<Covers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hash: Option<&'s BodyHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_matching: Option<&'s Pattern>,
    #[serde(skip_serializing_if = "<[UrlForm]>::is_empty")]
    url_also: &'s [UrlForm],
}
