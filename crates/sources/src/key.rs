//! How a secret's text becomes a key.

use std::borrow::Cow;

use base64::Engine as _;
use ring::{
    digest, hmac,
    signature::{
        ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    der,
    reference::Reference,
    scheme::{Algorithm, Check, HmacHash, Scheme, Verify},
    signature::{BASE64, hex_decode},
};

/// The form of the secret of an HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyForm {
    /// The text itself.
    #[default]
    Utf8,
    Hex,
    Base64,
    /// Base64, after `v1,` and `whsec_` if they are there.
    Whsec,
    /// The SHA-1 of the text.
    Sha1,
}

/// The form of a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublicForm {
    RawHex,
    RawBase64,
    /// Base64 after `whpk_`.
    Whpk,
    /// DER in base64.
    Spki,
    Pem,
}

/// Why a text cannot be the secret of a source. It does not have the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    #[error("the secret is empty")]
    Empty,
    #[error("the secret begins or ends with white space: remove it")]
    WhiteSpace,
    #[error("the secret is no hexadecimal text, as this provider's are: copy it whole")]
    NotHex,
    #[error("the secret is no base64, as this provider's are: copy it whole, without quotes")]
    NotBase64,
    #[error("the secret is no whsec_… with base64: copy the signing secret whole")]
    NotWhsec,
    #[error("the secret must be the public key that the provider shows, and it cannot be read as {0}")]
    NotPublicKey(&'static str),
    #[error("the secret must be user:password")]
    NotUserAndPassword,
}

/// A key that can check signatures.
pub(crate) enum Key {
    Hmac(hmac::Key),
    Public(UnparsedPublicKey<Vec<u8>>),
}

impl KeyForm {
    pub(crate) fn decode(self, text: &str) -> Result<Cow<'_, [u8]>, KeyError> {
        let key = match self {
            Self::Utf8 => Cow::Borrowed(text.as_bytes()),
            Self::Hex => Cow::Owned(hex_decode(text.as_bytes()).ok_or(KeyError::NotHex)?),
            Self::Base64 => Cow::Owned(BASE64.decode(text).map_err(|_| KeyError::NotBase64)?),
            Self::Whsec => Cow::Owned(BASE64.decode(without_whsec(text)).map_err(|_| KeyError::NotWhsec)?),
            Self::Sha1 if text.is_empty() => return Err(KeyError::Empty),
            Self::Sha1 => {
                Cow::Owned(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref().to_vec())
            }
        };
        if key.is_empty() { Err(KeyError::Empty) } else { Ok(key) }
    }
}

/// The base64 of `v1,whsec_…`, `whsec_…` or of the bare text.
fn without_whsec(text: &str) -> &str {
    let version = text.split_once(',').filter(|(version, _)| {
        version.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let text = version.map_or(text, |(_, text)| text);
    text.strip_prefix("whsec_").unwrap_or(text)
}

impl PublicForm {
    pub(crate) fn is_der(self) -> bool {
        matches!(self, Self::Spki | Self::Pem)
    }

    fn words(self) -> &'static str {
        match self {
            Self::RawHex => "64 hexadecimal digits",
            Self::RawBase64 => "base64 of 32 bytes",
            Self::Whpk => "whpk_ and base64 of 32 bytes",
            Self::Spki => "base64 of a public key of the right kind",
            Self::Pem => "PEM (-----BEGIN PUBLIC KEY-----) of the right kind",
        }
    }

    fn decode(self, text: &str, unwrap: fn(&[u8]) -> Option<&[u8]>) -> Result<Vec<u8>, KeyError> {
        let raw = |bytes: Vec<u8>| Some(bytes).filter(|bytes| bytes.len() == 32);
        let key = match self {
            Self::RawHex => hex_decode(text.as_bytes()).and_then(raw),
            Self::RawBase64 => BASE64.decode(text).ok().and_then(raw),
            Self::Whpk => text.strip_prefix("whpk_").and_then(|text| BASE64.decode(text).ok()).and_then(raw),
            Self::Spki => der::from_base64(text).and_then(|der| unwrap(&der).map(<[u8]>::to_vec)),
            Self::Pem => der::from_pem(text).and_then(|der| unwrap(&der).map(<[u8]>::to_vec)),
        };
        key.ok_or(KeyError::NotPublicKey(self.words()))
    }
}

impl HmacHash {
    pub(crate) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }

    pub(crate) fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl Algorithm {
    pub(crate) fn key(self, text: &str) -> Result<Key, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let public =
            |algorithm: &'static dyn VerificationAlgorithm, key| Key::Public(UnparsedPublicKey::new(algorithm, key));
        Ok(match self {
            Self::Hmac(hash, form) => Key::Hmac(hmac::Key::new(hash.hmac(), &form.decode(text)?)),
            Self::Ed25519(form) => public(&ED25519, form.decode(text, der::ed25519)?),
            Self::EcdsaP256(form) => public(&ECDSA_P256_SHA256_ASN1, form.decode(text, der::p256)?),
            Self::RsaSha256(form) => public(&RSA_PKCS1_2048_8192_SHA256, form.decode(text, der::rsa)?),
        })
    }
}

impl Scheme {
    /// Whether a text can be this scheme's secret.
    pub fn check_secret(&self, text: &str) -> Result<(), KeyError> {
        if text.trim().is_empty() {
            return Err(KeyError::Empty);
        }
        if text.trim() != text && !text.contains("-----BEGIN") {
            return Err(KeyError::WhiteSpace);
        }
        match &self.check {
            Check::Token(Reference::Basic) if !text.contains(':') => Err(KeyError::NotUserAndPassword),
            Check::Token(_) => Ok(()),
            Check::Signed(signed) => signed.algorithm.key(text).map(|_| ()),
        }
    }
}

impl Verify {
    /// Whether a text can be a secret of some scheme. To be asked when a secret is stored: one that cannot verifies nothing.
    pub fn check_secret(&self, text: &str) -> Result<(), KeyError> {
        if text.trim().is_empty() {
            return Err(KeyError::Empty);
        }
        let mut first = Ok(());
        for scheme in self.schemes() {
            match scheme.check_secret(text) {
                Ok(()) => return Ok(()),
                error if first.is_ok() => first = error,
                Err(_) => {}
            }
        }
        first
    }
}
