//! The bytes of a secret, as a request carries them.

use base64::{Engine, prelude::BASE64_STANDARD};
use skep_protocol::Secret;

use crate::{Error, Result};

/// The text of `value`, or else the bytes that `rawValue` has in base64.
pub(crate) fn read(secret: &Secret) -> Result<Vec<u8>> {
    if !secret.value.is_empty() {
        return Ok(secret.value.clone().into_bytes());
    }
    if secret.raw_value.is_empty() {
        return Err(Error::Invalid(format!("secret {} has no value", secret.name)));
    }
    BASE64_STANDARD
        .decode(&secret.raw_value)
        .map_err(|error| Error::Invalid(format!("rawValue of secret {} is not base64: {error}", secret.name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_text_or_base64() {
        let value = |value: &str, raw_value: &str| {
            let (value, raw_value) = (value.to_owned(), raw_value.to_owned());
            read(&Secret { name: "key".to_owned(), value, raw_value, ..Secret::default() })
        };
        assert_eq!(value("text", "ignored").unwrap(), b"text");
        assert_eq!(value("", "AP8=").unwrap(), [0, 0xff]);
        assert!(matches!(value("", "%%"), Err(Error::Invalid(_))));
        assert!(matches!(value("", ""), Err(Error::Invalid(_))));
    }
}
