//! Secrets of functions in a backup: sealed, as those of sources are, because who has the file need not know them.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use skep_bus::{BackupPart, BackupReader};
use skep_protocol::Secret;
use skep_provider::{read_secrets, write_secret};
use skep_secret_file::write_secret_file;
use skep_sources::SealKey;

use super::file::Writer;
use crate::{
    failure::{Failure, Result, bad_setting},
    seal,
};

/// The kind of the part with secrets.
pub(super) const SECRETS: &str = "secrets";
/// Where sealed secrets of a backup belong.
const PLACE: &[u8] = b"skep backup secret";
/// By what the right key is recognized.
const PROBE: &[u8] = b"skep backup key";

/// Something that only the right key opens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Probe(Vec<u8>);

impl Probe {
    pub(super) fn of(key: &SealKey) -> Result<Self> {
        key.seal_bytes(PROBE, PROBE).map(Self).map_err(Failure::internal)
    }

    fn is_of(&self, key: &SealKey) -> bool {
        key.open_bytes(PROBE, &self.0).is_ok()
    }
}

/// Adds the secrets of a data folder; returns how many.
pub(super) fn write(data_dir: &Path, key: &SealKey, to: &mut Writer) -> Result<usize> {
    let seal = |secret: &Secret| {
        let text = serde_json::to_vec(secret).map_err(Failure::internal)?;
        key.seal_bytes(PLACE, &text).map_err(Failure::internal)
    };
    let secrets = read_secrets(data_dir).map_err(Failure::internal)?;
    let sealed = secrets.iter().map(seal).collect::<Result<Vec<_>>>()?;
    let part = BackupPart { kind: SECRETS.to_owned(), name: SECRETS.to_owned(), about: json!({}) };
    to.part(&part, &sealed).map_err(Failure::internal)?;
    Ok(secrets.len())
}

/// Puts the secrets of functions back.
pub(super) fn restore(data_dir: &Path, key: &SealKey, from: &mut dyn BackupReader) -> Result<usize> {
    let mut count = 0;
    while let Some(sealed) = from.next_chunk().map_err(Failure::internal)? {
        let text = key.open_bytes(PLACE, &sealed).map_err(Failure::internal)?;
        let secret: Secret = serde_json::from_slice(&text).map_err(Failure::internal)?;
        write_secret(data_dir, &secret).map_err(Failure::internal)?;
        count += 1;
    }
    Ok(count)
}

/// Checks that there is the right key for what is sealed.
pub(super) fn require_key(probe: Option<&Probe>, key: Option<&SealKey>) -> Result<()> {
    let Some(probe) = probe else { return Ok(()) };
    let fix = "give the seal.key of the skep that was backed up, or --without-secrets if it is lost";
    match key {
        Some(key) if probe.is_of(key) => Ok(()),
        Some(_) => Err(bad_setting("--seal-key-file", format!("the backup is sealed with another key: {fix}"))),
        None => Err(bad_setting("--seal-key-file", format!("the backup has sealed secrets: {fix}"))),
    }
}

/// Makes the key that was given the one of the data folder.
pub(super) fn install_key(given: Option<&Path>, data_dir: &Path) -> Result<()> {
    let own = seal::file(data_dir);
    let Some(given) = given.filter(|given| *given != own) else { return Ok(()) };
    let bad = |error: std::io::Error| bad_setting("--seal-key-file", format!("{}: {error}", given.display()));
    let text = std::fs::read_to_string(given).map_err(bad)?;
    write_secret_file(&own, &text).map_err(bad)
}
