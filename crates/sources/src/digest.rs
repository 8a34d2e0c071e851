//! Hashes of texts, the same in every process.

use sha2::{Digest, Sha256};

/// A number that follows from these texts, and looks like any other.
pub(crate) fn number_of(parts: &[&str]) -> u64 {
    first_bytes(parts).iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// 16 hex digits that follow from a text.
pub fn short_digest(text: &str) -> String {
    first_bytes(&[text]).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn first_bytes(parts: &[&str]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hash.finalize().iter().take(8).copied().collect()
}
