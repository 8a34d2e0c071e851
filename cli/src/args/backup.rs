//! The settings of backup and restore.

use std::path::PathBuf;

use clap::Args;
use skep_bus::ServerUrls;
use skep_protocol::Subjects;

use super::{
    NatsLoginArgs,
    values::{replicas, subjects},
};

pub(crate) const BACKUP_EXAMPLES: &str = "Examples:
  skep backup /mnt/backups/$(date +%F).skep
  skep backup shop.skep --data-dir /var/lib/skep
  skep backup shop.skep --nats-url nats://nats:4222 --nats-user-password-file operator

The file has requests and results in clear, so only its owner may read it. Secrets in it are sealed with
seal.key of the data folder: keep a copy of that key elsewhere, because a restore needs it.";

pub(crate) const RESTORE_EXAMPLES: &str = "Examples:
  skep restore shop.skep --seal-key-file seal.key      into .skep; then: skep up
  skep restore shop.skep --data-dir /var/lib/skep --seal-key-file seal.key
  skep restore shop.skep --nats-url nats://one:4222,nats://two:4222,nats://three:4222 --nats-replicas 3

The file is checked before anything is written.";

/// Where the data is.
#[derive(Clone, Debug, Args)]
pub(crate) struct StoredArgs {
    /// The data folder of skep up; .skep unless --nats-url is given
    #[arg(long, env = "SKEP_DATA_DIR", value_name = "FOLDER")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The NATS server to use, or several of a cluster, separated by commas; without it the one of the data folder
    #[arg(long, env = "SKEP_NATS_URL")]
    pub(crate) nats_url: Option<ServerUrls>,
    #[command(flatten)]
    pub(crate) login: NatsLoginArgs,
    /// The first word of every subject, stream and bucket
    #[arg(long, env = "SKEP_SUBJECT_PREFIX", default_value = "skep", value_parser = subjects)]
    pub(crate) subject_prefix: Subjects,
    /// The nats-server program to start while skep does not run; by default the one on PATH, beside skep, or fetched before
    #[arg(long, env = "SKEP_NATS_SERVER")]
    pub(crate) nats_server: Option<PathBuf>,
    /// The key that what NATS stores is encrypted with, as skep up has it
    #[arg(long, env = "SKEP_NATS_ENCRYPTION_KEY_FILE", conflicts_with = "nats_url")]
    pub(crate) nats_encryption_key_file: Option<PathBuf>,
    /// The key that secrets are sealed with; by default seal.key in the data folder
    #[arg(long, env = "SKEP_SEAL_KEY_FILE")]
    pub(crate) seal_key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not exist
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) stored: StoredArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A file that skep backup wrote
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) stored: StoredArgs,
    /// Servers of a NATS cluster that store each message, 1 to 5
    #[arg(long, env = "SKEP_NATS_REPLICAS", default_value_t = 1, value_parser = replicas)]
    pub(crate) nats_replicas: usize,
    /// Leave out sealed secrets because their key is lost: functions' secrets are not restored, and those of sources cannot be read
    #[arg(long, conflicts_with = "seal_key_file")]
    pub(crate) without_secrets: bool,
    /// Only check the file
    #[arg(long)]
    pub(crate) check: bool,
}
