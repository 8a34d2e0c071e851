//! Images that skep keeps itself: digests, manifests, and the names by which engines pull them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

const ALGORITHM: &str = "sha256:";
const DIGITS: usize = 64;

/// The SHA-256 of a blob or a manifest: `sha256:` and 64 digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no digest: it is sha256: and 64 digits from 0 to f")]
pub struct InvalidDigest(String);

impl Digest {
    /// The digest with this hash.
    pub fn of_hash(hash: &[u8]) -> Result<Self, InvalidDigest> {
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{ALGORITHM}{digits}").parse()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its digits alone.
    pub fn digits(&self) -> &str {
        self.0.strip_prefix(ALGORITHM).unwrap_or_default()
    }

    /// The digest that the name of an image ends with.
    pub fn of_image(image: &str) -> Option<Self> {
        image.rsplit_once('@')?.1.parse().ok()
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let digits = text.strip_prefix(ALGORITHM);
        match digits.filter(|digits| digits.len() == DIGITS && digits.bytes().all(is_digit)) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(InvalidDigest(text.chars().take(100).collect())),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A manifest of the OCI image specification, as far as skep has to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageManifest {
    pub schema_version: u32,
    pub media_type: String,
    pub config: ImageBlob,
    pub layers: Vec<ImageBlob>,
}

/// What a manifest says of its configuration or of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageBlob {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
}

impl ImageManifest {
    pub const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
    pub const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
    /// Of a layer as it is; with `+gzip` or `+zstd` behind it, of a compressed one.
    pub const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
    /// No manifest is longer, in bytes.
    pub const MAX_LENGTH: usize = 256 * 1024;

    pub fn new(config: ImageBlob, layers: Vec<ImageBlob>) -> Self {
        Self { schema_version: 2, media_type: Self::MEDIA_TYPE.to_owned(), config, layers }
    }

    /// All blobs that the image consists of.
    pub fn blobs(&self) -> impl Iterator<Item = &ImageBlob> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

/// What a gateway says of the images that it keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageStore {
    /// Where the engine of each node pulls them, such as `127.0.0.1:5757`.
    pub address: String,
    pub bytes: u64,
    pub limit: u64,
}

impl ImageStore {
    /// The name by which engines pull an image of a function.
    pub fn image(&self, function: &str, digest: &Digest) -> String {
        let name = function.to_ascii_lowercase();
        format!("{}/{name}@{digest}", self.address)
    }

    /// Whether an image is pulled from there.
    pub fn is_of(address: &str, image: &str) -> bool {
        image.strip_prefix(address).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// What is there of a blob.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlobState {
    /// All of it is there and has been checked.
    pub complete: bool,
    /// The numbers of the pieces that are there, if it is not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<u64>,
}

impl BlobState {
    /// A blob is stored in pieces of this length; the last one may be shorter.
    pub const PIECE: u64 = 512 * 1024;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_in_one_way() {
        let digest = Digest::of_hash(&[0xab; 32]).unwrap();
        assert_eq!(digest.as_str(), format!("sha256:{}", "ab".repeat(32)));
        assert_eq!(Digest::of_image(&format!("127.0.0.1:5757/f@{digest}")), Some(digest.clone()));
        assert_eq!(digest.digits().len(), 64);
        let upper = digest.as_str().to_uppercase();
        for bad in ["", "sha256:", "sha256:ab", "sha512:ab", &upper, &format!("{digest}0"), &format!("{digest}/")] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        assert!(Digest::of_hash(&[0; 20]).is_err());
    }

    #[test]
    fn an_image_is_of_the_store_at_whose_address_it_is_pulled() {
        assert!(ImageStore::is_of("127.0.0.1:5757", "127.0.0.1:5757/f@sha256:0"));
        for other in ["127.0.0.1:57578/f", "127.0.0.1:5757", "registry.lan/127.0.0.1:5757/f"] {
            assert!(!ImageStore::is_of("127.0.0.1:5757", other), "{other}");
        }
        let store = ImageStore { address: "127.0.0.1:5757".to_owned(), bytes: 0, limit: 0 };
        let digest = Digest::of_hash(&[0; 32]).unwrap();
        assert!(store.image("Figlet.dev", &digest).starts_with("127.0.0.1:5757/figlet.dev@sha256:00"));
    }
}
