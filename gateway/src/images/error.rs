//! Why an image is not taken, or not there.

use http::StatusCode;
use skep_protocol::Digest;
use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum ImagesError {
    #[error(
        "this skep keeps no images: turn that on with skep swarm up --images-port 5757 (SKEP_IMAGES_LISTEN of gateways)"
    )]
    Off,
    #[error("image {0} is not here")]
    Unknown(String),
    #[error("images take {bytes} bytes, and --images-bytes (SKEP_IMAGES_BYTES) permits {limit}")]
    Full { bytes: u64, limit: u64 },
    #[error("what came does not have the digest {0}")]
    WrongDigest(Digest),
    #[error("parts of the image are missing: {0}")]
    Incomplete(String),
}

impl ImagesError {
    pub(crate) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Off => (StatusCode::NOT_FOUND, "no_images"),
            Self::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_image"),
            Self::Full { .. } => (StatusCode::INSUFFICIENT_STORAGE, "images_full"),
            Self::WrongDigest(_) => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_digest"),
            Self::Incomplete(_) => (StatusCode::CONFLICT, "incomplete_image"),
        }
    }
}
