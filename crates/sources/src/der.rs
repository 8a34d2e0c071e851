//! Public keys as providers publish them (SPKI, PEM), taken apart for `ring`.

use base64::Engine as _;

use crate::signature::BASE64;

/// What stands before the 32 bytes of an Ed25519 key.
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What stands before the point of a P-256 key.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// `SEQUENCE { OID rsaEncryption, NULL }`.
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// The DER in a PEM text. Its lines may have been joined, or joined by `\n` in letters.
pub(crate) fn from_pem(text: &str) -> Option<Vec<u8>> {
    let inner = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    from_base64(&inner.replace("\\n", ""))
}

/// DER in base64, which may have line breaks.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    BASE64.decode(text).ok()
}

pub(crate) fn ed25519(der: &[u8]) -> Option<&[u8]> {
    der.strip_prefix(&ED25519_PREFIX).filter(|key| key.len() == 32)
}

/// The uncompressed point of a P-256 key.
pub(crate) fn p256(der: &[u8]) -> Option<&[u8]> {
    der.strip_prefix(&P256_PREFIX).filter(|point| point.len() == 65 && point.starts_with(&[4]))
}

/// The PKCS#1 key (modulus and exponent) in an RSA key.
pub(crate) fn rsa(der: &[u8]) -> Option<&[u8]> {
    let (spki, rest) = element(SEQUENCE, der)?;
    let (bits, trailing) = element(BIT_STRING, spki.strip_prefix(&RSA_ALGORITHM)?)?;
    let key = bits.strip_prefix(&[0])?;
    (rest.is_empty() && trailing.is_empty()).then_some(key)
}

/// The content of an element, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    if length < 0x80 {
        return rest.split_at_checked(length.into());
    }
    let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
    if bytes.is_empty() || bytes.len() > 4 {
        return None;
    }
    let length = bytes.iter().fold(0usize, |length, &byte| length << 8 | usize::from(byte));
    rest.split_at_checked(length)
}
