//! `skep backup` and `skep restore`.

mod file;
mod progress;
mod secrets;
mod stored;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use skep_bus::{BackupError, BackupPart, now};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use self::{
    file::{Reader, Writer},
    progress::{Progress, size},
    secrets::{Probe, SECRETS},
    stored::{Stored, failure},
};
use crate::{
    args::{BackupArgs, RestoreArgs},
    failure::{Failure, Result},
    output,
};

/// The kind of the first part.
const ABOUT: &str = "about";

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    /// The skep that made it.
    version: String,
    nats_version: String,
    subject_prefix: String,
    #[serde(with = "time::serde::rfc3339")]
    made_at: OffsetDateTime,
    /// With which key its secrets are sealed, if that is known.
    probe: Option<Probe>,
}

/// `skep backup`.
pub(crate) async fn backup(args: BackupArgs) -> Result<()> {
    let stored = Stored::to_read(&args.stored).await?;
    let written = write(&args, &stored).await;
    let has_own_key = stored.seal_key.is_some() && stored.data_dir.is_some();
    let closed = stored.close();
    let bytes = written?;
    closed.map_err(Failure::internal)?;
    output::line(format_args!("{} has everything, {}", args.file.display(), size(bytes)));
    if has_own_key {
        output::line("Secrets in it are sealed: keep a copy of seal.key elsewhere, because a restore needs it.");
    }
    Ok(())
}

async fn write(args: &BackupArgs, stored: &Stored) -> Result<u64> {
    let mut writer = Writer::create(&args.file, Progress::of("copied")).map_err(|error| bad(&args.file, error))?;
    match write_parts(args, stored, &mut writer).await {
        Ok(()) => writer.finish().map_err(|error| bad(&args.file, error)),
        Err(failure) => {
            writer.give_up();
            Err(failure)
        }
    }
}

async fn write_parts(args: &BackupArgs, stored: &Stored, writer: &mut Writer) -> Result<()> {
    let key = stored.seal_key.as_deref();
    let about = About {
        version: skep_protocol::VERSION.to_owned(),
        nats_version: stored.operator.server_version(),
        subject_prefix: args.stored.subject_prefix.prefix().to_owned(),
        made_at: now(),
        probe: key.map(Probe::of).transpose()?,
    };
    let part = BackupPart { kind: ABOUT.to_owned(), name: ABOUT.to_owned(), about: json!(about) };
    writer.part(&part, &[]).map_err(|error| bad(&args.file, error))?;
    if let (Some(data_dir), Some(key)) = (&stored.data_dir, key) {
        secrets::write(data_dir, key, writer)?;
    }
    stored.operator.backup(writer).await.map_err(|error| failure(&args.file, error))
}

/// `skep restore`.
pub(crate) async fn restore(args: RestoreArgs) -> Result<()> {
    let about = check(&args)?;
    output::line(format_args!(
        "{} is whole: made by skep {} at {}",
        args.file.display(),
        about.version,
        about.made_at.replace_nanosecond(0).unwrap_or(about.made_at).format(&Rfc3339).unwrap_or_default()
    ));
    if args.check {
        return Ok(());
    }
    let stored = Stored::to_write(&args.stored).await?;
    let restored = restore_into(&args, &about, &stored).await;
    let closed = stored.close();
    restored?;
    closed.map_err(Failure::internal)?;
    output::line(match (&args.stored.nats_url, &args.stored.data_dir) {
        (None, None) => "restored; next: skep up".to_owned(),
        (None, Some(folder)) => format!("restored; next: skep up --data-dir {}", folder.display()),
        (Some(_), _) => "restored; next: start the roles".to_owned(),
    });
    Ok(())
}

/// Reads the whole file before anything is changed.
fn check(args: &RestoreArgs) -> Result<About> {
    let bad = |error| bad(&args.file, error);
    let mut reader = Reader::open(&args.file, Progress::of("checked")).map_err(bad)?;
    let first = reader.next_part().map_err(bad)?;
    let about = first.filter(|part| part.kind == ABOUT).and_then(|part| serde_json::from_value(part.about).ok());
    let about: About =
        about.ok_or_else(|| Failure::setting(format!("{}: it does not say what it is", args.file.display())))?;
    while reader.next_part().map_err(bad)?.is_some() {}
    if about.subject_prefix != args.stored.subject_prefix.prefix() {
        let prefix = &about.subject_prefix;
        return Err(Failure::setting(format!(
            "the backup is of a skep with --subject-prefix {prefix}; say so here too"
        )));
    }
    Ok(about)
}

async fn restore_into(args: &RestoreArgs, about: &About, stored: &Stored) -> Result<()> {
    require_server(about, &stored.operator.server_version())?;
    // Without a data folder there are only secrets of sources, which the roles open: a key is checked if it is given.
    if !args.without_secrets && (stored.data_dir.is_some() || stored.seal_key.is_some()) {
        secrets::require_key(about.probe.as_ref(), stored.seal_key.as_deref())?;
    }
    stored.operator.make_room().await.map_err(|error| failure(&args.file, error))?;
    let restored = restore_parts(args, stored).await;
    if restored.is_err() {
        // So that the next try finds it empty again; the first failure is reported.
        let _ = stored.operator.undo().await;
    }
    restored
}

async fn restore_parts(args: &RestoreArgs, stored: &Stored) -> Result<()> {
    let bad = |error| bad(&args.file, error);
    let mut reader = Reader::open(&args.file, Progress::of("restored")).map_err(bad)?;
    while let Some(part) = reader.next_part().map_err(bad)? {
        match (part.kind.as_str(), &stored.data_dir, stored.seal_key.as_deref()) {
            (ABOUT, ..) => {}
            (SECRETS, Some(data_dir), Some(key)) if !args.without_secrets => {
                secrets::restore(data_dir, key, &mut reader)?;
                secrets::install_key(args.stored.seal_key_file.as_deref(), data_dir)?;
            }
            (SECRETS, ..) => {}
            _ => {
                let restored = stored.operator.restore(&part, &mut reader, args.nats_replicas).await;
                restored.map_err(|error| failure(&args.file, error))?;
            }
        }
    }
    Ok(())
}

/// A server does not read what a newer one has copied.
fn require_server(about: &About, found: &str) -> Result<()> {
    let version = |text: &str| -> Option<(u32, u32)> {
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    };
    let needed = &about.nats_version;
    if version(found) >= version(needed) {
        return Ok(());
    }
    Err(Failure::setting(format!(
        "the backup is of nats-server {needed}, and this one is {found}: use {needed} or newer"
    )))
}

fn bad(file: &Path, error: std::io::Error) -> Failure {
    failure(file, BackupError::File(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_server_than_that_of_the_backup_is_refused() {
        let about = About {
            version: "1".to_owned(),
            nats_version: "2.15.1".to_owned(),
            subject_prefix: "skep".to_owned(),
            made_at: OffsetDateTime::UNIX_EPOCH,
            probe: None,
        };
        assert!(["2.15.0", "2.16.0", "3.0.0"].iter().all(|found| require_server(&about, found).is_ok()));
        assert!(["2.14.9", "1.99.0", "x"].iter().all(|found| require_server(&about, found).is_err()));
    }
}
