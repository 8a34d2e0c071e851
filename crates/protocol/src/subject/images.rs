//! Names of what images consist of.

use super::Subjects;
use crate::Digest;

impl Subjects {
    /// Where a piece of a blob is stored, counted from 0.
    pub fn image_piece(&self, digest: &Digest, number: u64) -> String {
        format!("{}.images.piece.{}.{number}", self.prefix, digest.digits())
    }

    /// The pieces of one blob.
    pub fn image_pieces_of(&self, digest: &Digest) -> String {
        format!("{}.images.piece.{}.*", self.prefix, digest.digits())
    }

    pub fn image_pieces(&self) -> String {
        format!("{}.images.piece.*.*", self.prefix)
    }

    /// Where it is noted that a blob is complete.
    pub fn image_blob(&self, digest: &Digest) -> String {
        format!("{}.images.blob.{}", self.prefix, digest.digits())
    }

    pub fn image_blobs(&self) -> String {
        format!("{}.images.blob.*", self.prefix)
    }

    /// Where the manifest of an image is stored.
    pub fn image_manifest(&self, digest: &Digest) -> String {
        format!("{}.images.manifest.{}", self.prefix, digest.digits())
    }

    pub fn image_manifests(&self) -> String {
        format!("{}.images.manifest.*", self.prefix)
    }

    pub fn images_all(&self) -> String {
        format!("{}.images.>", self.prefix)
    }

    /// The digest, and the number of the piece if it is one, that a subject is about.
    pub fn image_of_subject(&self, subject: &str) -> Option<(Digest, u64)> {
        let mut tokens = subject.strip_prefix(&self.prefix)?.strip_prefix(".images.")?.split('.').skip(1);
        let digest = format!("sha256:{}", tokens.next()?).parse().ok()?;
        Some((digest, tokens.next().map_or(Some(0), |number| number.parse().ok())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_tells_whose_piece_it_is() {
        let subjects = Subjects::default();
        let digest = Digest::of_hash(&[7; 32]).unwrap();
        for (subject, number) in [
            (subjects.image_piece(&digest, 12), 12),
            (subjects.image_blob(&digest), 0),
            (subjects.image_manifest(&digest), 0),
        ] {
            assert_eq!(subjects.image_of_subject(&subject), Some((digest.clone(), number)), "{subject}");
        }
        assert_eq!(subjects.image_of_subject("skep.images.piece.ab.1"), None);
    }
}
