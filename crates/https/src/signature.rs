//! Signatures of requests, by [Standard Webhooks](https://www.standardwebhooks.com): a receiver can verify that a request comes from this skep, and recognize one that it has received before.

use std::{fmt, io, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use time::OffsetDateTime;

/// The same on every attempt.
const ID: HeaderName = HeaderName::from_static("webhook-id");
/// Seconds since 1970, of this attempt.
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`; one for each key.
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const PREFIX: &str = "whsec_";
/// What the specification asks for, in bytes.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// Keys that requests are signed with: one, or while keys are changed the new one and the old one.
#[derive(Clone)]
pub struct SigningKeys(Vec<Vec<u8>>);

impl fmt::Debug for SigningKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKeys({})", self.0.len())
    }
}

impl SigningKeys {
    /// Reads a file with one key a line, each `whsec_` and base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is no key.
    pub fn read(file: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(file)?;
        Self::parse(&text).map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))
    }

    /// The same from the text of such a file.
    ///
    /// # Errors
    /// A line is no key, or there is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Vec::new();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let key = line.trim().strip_prefix(PREFIX).and_then(|key| STANDARD.decode(key).ok());
            match key.filter(|key| KEY_LENGTH.contains(&key.len())) {
                Some(key) => keys.push(key),
                None => return Err(format!("line {number} is not {PREFIX} and base64 of 24 to 64 bytes")),
            }
        }
        if keys.is_empty() {
            return Err("it has no key".to_owned());
        }
        Ok(Self(keys))
    }

    /// Begins the signatures of one attempt, whose headers are those of a request with this id.
    pub fn begin<'id>(&self, id: &'id str, now: OffsetDateTime) -> Signature<'id> {
        let timestamp = now.unix_timestamp().to_string();
        // A key of any length is one for HMAC.
        let keyed = self.0.iter().filter_map(|key| Hmac::new_from_slice(key).ok()).collect();
        let mut signature = Signature { id, timestamp: timestamp.clone(), keyed };
        for part in [id, ".", &timestamp, "."] {
            signature.update(part.as_bytes());
        }
        signature
    }
}

/// A signature that the body is still added to.
pub struct Signature<'id> {
    id: &'id str,
    timestamp: String,
    keyed: Vec<Hmac<Sha256>>,
}

impl Signature<'_> {
    /// Adds a part of the body.
    pub fn update(&mut self, part: &[u8]) {
        self.keyed.iter_mut().for_each(|keyed| keyed.update(part));
    }

    /// Adds the three headers.
    pub fn end(self, headers: &mut HeaderMap) {
        let signed = |keyed: Hmac<Sha256>| format!("v1,{}", STANDARD.encode(keyed.finalize().into_bytes()));
        let signatures: Vec<String> = self.keyed.into_iter().map(signed).collect();
        for (name, value) in [(ID, self.id), (TIMESTAMP, &self.timestamp), (SIGNATURE, &signatures.join(" "))] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use standardwebhooks::Webhook;

    use super::*;

    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn signed(keys: &str, body: &Bytes) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let keys = SigningKeys::parse(keys).unwrap();
        let mut signature = keys.begin("order-7", OffsetDateTime::now_utc());
        body.chunks(3).for_each(|part| signature.update(part));
        signature.end(&mut headers);
        headers
    }

    #[test]
    fn a_receiver_with_the_usual_library_takes_the_signature() {
        let body = Bytes::from_static(b"{\"done\":true}");
        let headers = signed(KEY, &body);
        assert_eq!(headers["webhook-id"], "order-7");
        Webhook::new(KEY).unwrap().verify(&body, &headers).unwrap();
        assert!(Webhook::new(OTHER).unwrap().verify(&body, &headers).is_err());
        assert!(Webhook::new(KEY).unwrap().verify(b"{\"done\":false}", &headers).is_err());
    }

    #[test]
    fn while_keys_are_changed_both_count() {
        let body = Bytes::from_static("\0 \u{1f41d}\n".as_bytes());
        let headers = signed(&format!("{OTHER}\n\n  {KEY}\n"), &body);
        for key in [KEY, OTHER] {
            Webhook::new(key).unwrap().verify(&body, &headers).unwrap();
        }
    }

    #[test]
    fn a_bad_key_is_told_by_its_line_and_not_shown() {
        for bad in ["secret", "whsec_c2hvcnQ=", "whsec_!!!"] {
            let error = SigningKeys::parse(&format!("{KEY}\n{bad}")).unwrap_err();
            assert!(error.starts_with("line 2") && !error.contains("c2hvcnQ"), "{error}");
        }
        assert!(SigningKeys::parse("\n").is_err());
        assert_eq!(format!("{:?}", SigningKeys::parse(KEY).unwrap()), "SigningKeys(1)");
    }
}
