//! The user and the password of basic authentication, from two files.

use std::{
    fmt::{self, Debug, Formatter},
    fs,
    path::Path,
};

use anyhow::{Context, ensure};
use subtle::ConstantTimeEq;

/// Somebody may guess a password with this many characters or fewer.
const MAX_GUESSED: usize = 24;

/// `user:password`, as the header carries it.
#[derive(Clone)]
pub struct Credentials {
    expected: String,
}

impl Debug for Credentials {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the files `basic-auth-user` and `basic-auth-password` of a folder; white space around their text does not count.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let user = read(&folder.join("basic-auth-user"))?;
        let password = read(&folder.join("basic-auth-password"))?;
        ensure!(!user.contains(':'), "a user name cannot contain a colon");
        Ok(Self { expected: format!("{user}:{password}") })
    }

    pub fn user(&self) -> &str {
        self.expected.split_once(':').map_or("", |(user, _)| user)
    }

    /// Whether the password is as long as those that skep makes, which have 128 random bits in 32 characters.
    pub(super) fn cannot_be_guessed(&self) -> bool {
        self.expected.len() - self.user().len() > MAX_GUESSED
    }

    /// Compares in a time that tells nothing but the length.
    pub(super) fn are(&self, given: &[u8]) -> bool {
        given.ct_eq(self.expected.as_bytes()).into()
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = text.trim();
    ensure!(!text.is_empty(), "{} is empty", path.display());
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_trimmed_and_a_bad_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text).unwrap();
        let error = || Credentials::read(folder.path()).unwrap_err().to_string();
        write("basic-auth-user", " admin\n");
        assert!(error().contains("basic-auth-password"), "{}", error());
        write("basic-auth-password", "\n");
        assert!(error().ends_with("basic-auth-password is empty"), "{}", error());
        write("basic-auth-password", "se:cret\n");
        let credentials = Credentials::read(folder.path()).unwrap();
        assert_eq!((credentials.user(), credentials.expected.as_str()), ("admin", "admin:se:cret"));
        assert!(credentials.are(b"admin:se:cret"));
        for bad in ["", "admin", "admin:", "admin:se:cre", "admin:se:cret2", "Admin:se:cret", ":se:cret"] {
            assert!(!credentials.are(bad.as_bytes()), "{bad}");
        }
    }
}
