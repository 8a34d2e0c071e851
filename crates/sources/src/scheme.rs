//! `verify`: how a request of a provider is checked.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor, value::SeqAccessDeserializer},
};

use crate::{
    key::{KeyForm, PublicForm},
    reference::{JsonPath, ParseError, Reference},
    scheme_text::WrittenScheme,
    signature::{Encoding, SignatureRule},
    template::Template,
    text::{Pattern, duration},
};

/// The key `verify`. Without it a source is not read: silence must not mean trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verify {
    /// The word `none`: every request is an event.
    None,
    /// Tried in order; one whose `when` is there decides alone. An empty list lets nothing in.
    Schemes(Vec<Scheme>),
}

/// One way in which a provider proves that a request is its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenScheme")]
pub struct Scheme {
    /// What must be there for this scheme; then no later one is tried.
    pub when: Option<Reference>,
    /// A JSON array; the scheme must hold for each element.
    pub each: Option<JsonPath>,
    pub check: Check,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A value that must be the secret.
    Token(Reference),
    Signed(Box<Signed>),
}

/// A signature over a text that a template makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub algorithm: Algorithm,
    pub signature: SignatureRule,
    pub timestamp: Option<TimestampRule>,
    pub signed: Template,
    /// The body is not signed as a whole.
    pub covers_fields: bool,
    pub body_hash: Option<BodyHash>,
    pub not_matching: Option<Pattern>,
    pub url_also: Vec<UrlForm>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Hmac(HmacHash, KeyForm),
    Ed25519(PublicForm),
    EcdsaP256(PublicForm),
    RsaSha256(PublicForm),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HmacHash {
    Sha1,
    Sha256,
    Sha512,
}

/// The key `timestamp` of a scheme.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimestampRule {
    pub from: Reference,
    pub unit: TimeUnit,
    /// How far the time may be from the clock, in both directions. Without it the time is only part of the signed text.
    #[serde(with = "duration", skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    S,
    Ms,
    Rfc3339,
}

/// A second check: the hash of the body is written somewhere that is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BodyHash {
    pub from: Reference,
    pub hash: HmacHash,
    pub encoding: Encoding,
}

/// A form of the URL that a provider may sign beside the configured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UrlForm {
    /// With the scheme's default port, or without it.
    DefaultPort,
    /// With the escapes of `: / ? @ ! $ ' ( ) * , ;` decoded.
    Unescaped,
}

impl Verify {
    /// The schemes; none for the word `none`.
    pub fn schemes(&self) -> &[Scheme] {
        match self {
            Self::None => &[],
            Self::Schemes(schemes) => schemes,
        }
    }

    /// Whether some scheme leaves the body unsigned, which the user must know.
    pub fn leaves_body_unsigned(&self) -> bool {
        self.schemes().iter().any(|scheme| matches!(&scheme.check, Check::Signed(signed) if signed.covers_fields))
    }

    /// Whether some scheme signs the URL, so that the source must have one.
    pub fn needs_url(&self) -> bool {
        self.schemes().iter().any(|scheme| match &scheme.check {
            Check::Signed(signed) => signed.signs_url(),
            Check::Token(_) => false,
        })
    }
}

impl Signed {
    pub(crate) fn signs_url(&self) -> bool {
        self.signed.references().any(|(reference, _)| *reference == Reference::Url)
    }
}

impl Serialize for Verify {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Schemes(schemes) => schemes.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Verify {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NoneOrSchemes;
        impl<'de> Visitor<'de> for NoneOrSchemes {
            type Value = Verify;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of schemes, or the word none")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Verify, E> {
                if text == "none" { Ok(Verify::None) } else { Err(E::invalid_value(de::Unexpected::Str(text), &self)) }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Verify, A::Error> {
                let schemes = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
                check_mix(&schemes).map_err(de::Error::custom)?;
                Ok(Verify::Schemes(schemes))
            }
        }
        deserializer.deserialize_any(NoneOrSchemes)
    }
}

/// Every secret of a source is tried with every scheme. So a public key, which anybody may have, must not be taken for a shared secret.
fn check_mix(schemes: &[Scheme]) -> Result<(), ParseError> {
    let (mut shared, mut public, mut distinct) = (false, false, true);
    for scheme in schemes {
        match &scheme.check {
            Check::Token(_) => (shared, distinct) = (true, false),
            Check::Signed(signed) => match signed.algorithm {
                Algorithm::Hmac(_, form) => {
                    shared = true;
                    distinct &= form == KeyForm::Whsec;
                }
                Algorithm::Ed25519(form) | Algorithm::EcdsaP256(form) | Algorithm::RsaSha256(form) => {
                    public = true;
                    distinct &= form == PublicForm::Whpk;
                }
            },
        }
    }
    if shared && public && !distinct {
        return Err(ParseError(
            "`verify` mixes shared secrets and public keys: anybody who has the public key could sign. Write two sources"
                .to_owned(),
        ));
    }
    Ok(())
}
