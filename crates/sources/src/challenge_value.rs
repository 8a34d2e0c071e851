//! What only the answer to a challenge may name: secrets, and MACs under them.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{digest, hmac};

use crate::{
    key::KeyForm,
    reference::{HmacForm, Reference},
    resolve::{ResolveError, Scope},
    secret::{Secret, Secrets},
    signature::hex_encode,
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerKeys<'s> {
    pub(crate) secrets: &'s Secrets,
    /// The secret for MACs, and how its text becomes a key.
    pub(crate) signing: Option<(&'s Secret, KeyForm)>,
}

impl AnswerKeys<'_> {
    pub(crate) fn resolve<'r>(
        &'r self,
        reference: &'r Reference,
        scope: &'r Scope<'r>,
    ) -> Result<Option<Cow<'r, [u8]>>, ResolveError> {
        match reference {
            Reference::Secret(name) => Ok(self.secrets.named(name).map(|secret| secret.expose().as_bytes().into())),
            Reference::Hmac(form, inner) => {
                let (Some(text), Some((secret, key_form))) = (scope.resolve(inner)?, self.signing) else {
                    return Ok(None);
                };
                let Ok(key) = key_form.decode(secret.expose()) else { return Ok(None) };
                let algorithm = match form {
                    HmacForm::Sha1Hex => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                    HmacForm::Sha256Hex | HmacForm::Sha256Base64 => hmac::HMAC_SHA256,
                };
                let tag = hmac::sign(&hmac::Key::new(algorithm, &key), &text);
                let written = match form {
                    HmacForm::Sha1Hex | HmacForm::Sha256Hex => hex_encode(tag.as_ref()),
                    HmacForm::Sha256Base64 => STANDARD.encode(tag.as_ref()),
                };
                Ok(Some(Cow::Owned(written.into_bytes())))
            }
            Reference::Sha256Hex(parts) => {
                let mut context = digest::Context::new(&digest::SHA256);
                for part in parts {
                    let Some(value) = scope.resolve(part)? else { return Ok(None) };
                    context.update(&value);
                }
                Ok(Some(Cow::Owned(hex_encode(context.finish().as_ref()).into_bytes())))
            }
            _ => Ok(None),
        }
    }
}
