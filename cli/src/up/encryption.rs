//! Encryption of what the NATS server of `skep up` stores.
//!
//! The key is in a file that the user names, outside of the data directory and its backups. The server gets it in its environment, so it is in no settings file.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use skep_secret_file::write_secret_file;

use crate::{
    failure::{Result, bad_setting},
    password,
};

const SETTING: &str = "--nats-encryption-key-file";
/// A shorter key is a mistake.
const MIN_LENGTH: usize = 16;

pub(crate) struct Encryption {
    key: String,
}

impl Encryption {
    /// The variable in which the server finds the key.
    pub(crate) const VARIABLE: &str = "SKEP_NATS_ENCRYPTION_KEY";

    /// Reads the key, or makes one where there is no file yet.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let bad = |error: io::Error| bad_setting(SETTING, format!("{}: {error}", file.display()));
        let key = match File::open(file) {
            Ok(mut open) => {
                let mode = open.metadata().map_err(bad)?.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    let reason = format!("{} has mode {mode:03o}, so others may use it: chmod 600", file.display());
                    return Err(bad_setting(SETTING, reason));
                }
                let mut key = String::new();
                open.read_to_string(&mut key).map_err(bad)?;
                key.trim().to_owned()
            }
            Err(error) if error.kind() == ErrorKind::NotFound => make(file).map_err(bad)?,
            Err(error) => return Err(bad(error)),
        };
        if key.len() < MIN_LENGTH {
            let reason = format!("{} has a key of {} characters; use {MIN_LENGTH} or more", file.display(), key.len());
            return Err(bad_setting(SETTING, reason));
        }
        Ok(Self { key })
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The server's settings, with encryption.
    pub(crate) fn add_to(settings: &str) -> String {
        let encrypted = format!("jetstream {{\n  cipher: chacha\n  key: ${}\n", Self::VARIABLE);
        settings.replacen("jetstream {\n", &encrypted, 1)
    }
}

/// 256 random bits, in a file that nobody but its owner may read.
fn make(file: &Path) -> io::Result<String> {
    let key = password::random()? + &password::random()?;
    write_secret_file(file, &format!("{key}\n"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_skep_have_a_place_for_it() {
        let settings = Encryption::add_to(include_str!("../../../deploy/nats.conf"));
        assert!(settings.contains("jetstream {\n  cipher: chacha\n  key: $SKEP_NATS_ENCRYPTION_KEY\n"), "{settings}");
    }
}
