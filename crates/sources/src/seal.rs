//! Secrets at rest: sealed with AES-256-GCM, so a reader of the registry or of a backup reads no secret.

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use skep_protocol::{SealedSecret, SecretText, SourceName};
use thiserror::Error;

const KEY_LEN: usize = 32;

/// What secrets are sealed and opened with.
pub struct SealKey {
    seal: LessSafeKey,
    /// For passwords that are made from it.
    derive: hmac::Key,
}

/// Why a text is no seal key, or a secret cannot be sealed or opened.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SealError {
    #[error("a seal key is {KEY_LEN} random bytes in base64, on one line: openssl rand -base64 {KEY_LEN}")]
    Key,
    #[error("the secret was sealed with another seal key, or for another source, or was changed since")]
    Open,
    #[error("the system has no random bytes")]
    Random,
}

impl SealKey {
    /// Reads the content of a key file.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| SealError::Key)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::Key)?;
        Ok(Self { seal: LessSafeKey::new(key), derive: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }

    /// The content of a new key file.
    pub fn generate() -> Result<String, SealError> {
        Ok(format!("{}\n", STANDARD.encode(random::<KEY_LEN>()?)))
    }

    /// A password for one purpose, which all that have the key know, and which says nothing of the key.
    pub fn password(&self, purpose: &str) -> String {
        let password = hmac::sign(&self.derive, format!("skep password\n{purpose}").as_bytes());
        URL_SAFE_NO_PAD.encode(password)
    }

    /// Seals the secret of a source that has this number there.
    pub fn seal(&self, source: &SourceName, number: u64, secret: &SecretText) -> Result<String, SealError> {
        Ok(STANDARD.encode(self.seal_bytes(&place(source, number), secret.reveal().as_bytes())?))
    }

    /// Opens a secret of a source.
    pub fn open(&self, source: &SourceName, secret: &SealedSecret) -> Result<SecretText, SealError> {
        let bytes = STANDARD.decode(&secret.sealed).map_err(|_| SealError::Open)?;
        let opened = self.open_bytes(&place(source, secret.number), &bytes)?;
        let text = String::from_utf8(opened).map_err(|_| SealError::Open)?;
        Ok(SecretText::new(text))
    }

    /// Seals what belongs to a place; it does not open in another.
    pub fn seal_bytes(&self, place: &[u8], secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = secret.to_vec();
        let nonce_of_one = Nonce::assume_unique_for_key(nonce);
        self.seal.seal_in_place_append_tag(nonce_of_one, Aad::from(place), &mut sealed).map_err(|_| SealError::Open)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what [`Self::seal_bytes`] has sealed for this place.
    pub fn open_bytes(&self, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Open)?;
        let mut sealed = sealed.to_vec();
        let opened = self.seal.open_in_place(nonce, Aad::from(place), &mut sealed).map_err(|_| SealError::Open)?;
        Ok(opened.to_vec())
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealKey(…)")
    }
}

/// Where a secret belongs; moved to another source, or to another secret's place, it does not open.
fn place(source: &SourceName, number: u64) -> Vec<u8> {
    format!("skep source secret\n{source}\n{number}").into_bytes()
}

fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| SealError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn name(text: &str) -> SourceName {
        text.parse().unwrap()
    }

    fn sealed(number: u64, sealed: String) -> SealedSecret {
        SealedSecret { number, name: None, created_at: OffsetDateTime::UNIX_EPOCH, expires_at: None, sealed }
    }

    #[test]
    fn a_secret_opens_in_its_place_and_with_its_key_alone() {
        let key = SealKey::parse(&SealKey::generate().unwrap()).unwrap();
        let secret = SecretText::new("whsec_é".to_owned());
        let [one, two] = [(); 2].map(|()| key.seal(&name("github"), 1, &secret).unwrap());
        assert_ne!(one, two, "each is sealed with a nonce of its own");
        assert!(!STANDARD.decode(&one).unwrap().windows(5).any(|bytes| bytes == b"whsec"));
        assert_eq!(key.open(&name("github"), &sealed(1, one.clone())).unwrap(), secret);

        let other = SealKey::parse(&SealKey::generate().unwrap()).unwrap();
        let mut changed = STANDARD.decode(&one).unwrap();
        changed[NONCE_LEN] ^= 1;
        let bad = [
            other.open(&name("github"), &sealed(1, one.clone())),
            key.open(&name("stripe"), &sealed(1, one.clone())),
            key.open(&name("github"), &sealed(2, one)),
            key.open(&name("github"), &sealed(1, STANDARD.encode(changed))),
            key.open(&name("github"), &sealed(1, "AAAA".to_owned())),
            key.open(&name("github"), &sealed(1, "no base64".to_owned())),
        ];
        assert!(bad.iter().all(|opened| *opened == Err(SealError::Open)), "{bad:?}");
    }

    #[test]
    fn a_password_is_of_its_key_and_purpose() {
        let [one, other] = [(); 2].map(|()| SealKey::parse(&SealKey::generate().unwrap()).unwrap());
        assert_eq!(one.password("images"), one.password("images"));
        assert_ne!(one.password("images"), one.password("other"));
        assert_ne!(one.password("images"), other.password("images"));
        assert_eq!(one.password("images").len(), 43);
    }

    #[test]
    fn a_key_is_as_long_as_it_must_be_and_is_not_shown() {
        for bad in ["", "AAAA", "hunter2", &STANDARD.encode([0; 31]), &STANDARD.encode([0; 33])] {
            assert_eq!(SealKey::parse(bad).unwrap_err(), SealError::Key);
        }
        let text = SealKey::generate().unwrap();
        assert!(!format!("{:?}", SealKey::parse(&text).unwrap()).contains(&text[..4]));
    }
}
