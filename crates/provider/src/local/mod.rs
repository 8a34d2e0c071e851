//! The local provider: a replica is a watchdog on this machine, and the watchdog runs the function's command.
//!
//! Its folders: `secrets/NAME` (one file per secret), `functions/NAME/work` (where a function runs unless it says otherwise) and `functions/NAME/secrets` (links to the secrets that it names).
//! A deleted function's `work` folder stays, for it may hold what the function made.

mod command;
mod environment;
mod lines;
mod logs;
mod ready;
mod replica;
mod replicas;
mod secrets;
mod watchdog;

use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use skep_bus::Bus;
use skep_process::ProcessTag;
use skep_protocol::{FunctionDeployment, FunctionName, LogLine, LogQuery, Secret, WORKDIR};
use tokio_util::sync::CancellationToken;

use crate::{Error, Result};

use self::{logs::Logs, secrets::Secrets};

pub(crate) use self::{command::check as check_command, replicas::Replicas};

/// The most replicas of one function on one machine.
pub const MOST_REPLICAS: u64 = 100;

/// The variable that tells a function the folder of its secrets; `/var/openfaas/secrets` cannot be made without root.
pub const SECRETS_DIR: &str = "SKEP_SECRETS_DIR";

pub struct LocalConfig {
    /// The program `fwatchdog`.
    pub watchdog: PathBuf,
    /// Where secrets and the functions' own folders are kept.
    pub data_dir: PathBuf,
    /// How long one call may run when the function does not say.
    pub default_timeout: Duration,
    /// All that functions inherit: PATH, HOME, USER, LANG, LC_*, TMPDIR and TZ.
    pub environment: BTreeMap<String, String>,
    /// The mark of this program and all that it starts.
    pub process_tag: ProcessTag,
}

/// Runs functions as local commands.
pub(crate) struct Local {
    place: Arc<Place>,
    secrets: Secrets,
    logs: Logs,
}

impl Local {
    /// Checks the watchdog and makes the folders.
    pub(crate) fn new(mut config: LocalConfig, bus: Bus) -> Result<Self> {
        make_folder(&config.data_dir)?;
        config.data_dir = config.data_dir.canonicalize().map_err(Error::io("open", &config.data_dir))?;
        config.watchdog = config.watchdog.canonicalize().map_err(Error::io("find", &config.watchdog))?;
        let secrets = config.data_dir.join("secrets");
        make_folder(&secrets)?;
        let place = Place { config, kill: CancellationToken::new() };
        Ok(Self { place: Arc::new(place), secrets: Secrets::new(secrets), logs: Logs::new(bus) })
    }

    /// Checks a deployment against this machine.
    pub(crate) fn check(&self, name: &FunctionName, deployment: &FunctionDeployment) -> Result<()> {
        command::check(name, deployment, &self.place.workdir(name, deployment), &self.place.config.environment)
    }

    pub(crate) fn check_replicas(&self, name: &FunctionName, replicas: u64) -> Result<()> {
        if replicas <= MOST_REPLICAS {
            return Ok(());
        }
        let reason = format!("function {name}: {replicas} replicas are more than the {MOST_REPLICAS} of one machine");
        Err(Error::Invalid(reason))
    }

    /// The replicas of one function, none at first.
    pub(crate) fn replicas(&self, name: &FunctionName) -> Replicas {
        Replicas::new(Arc::clone(&self.place), name.clone(), self.logs.of(name))
    }

    pub(crate) fn past_lines(&self, name: &FunctionName, query: &LogQuery) -> Vec<LogLine> {
        self.logs.of(name).past(query)
    }

    /// Drops what is kept in memory of a function that is gone.
    pub(crate) fn forget(&self, name: &FunctionName) {
        self.logs.forget(name);
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub(crate) fn create_secret(&self, secret: &Secret) -> Result<()> {
        self.secrets.create(secret)
    }

    pub(crate) fn update_secret(&self, secret: &Secret) -> Result<()> {
        self.secrets.update(secret)
    }

    pub(crate) fn delete_secret(&self, secret: &Secret) -> Result<()> {
        self.secrets.delete(&secret.name)
    }

    /// Cancelling it ends the patience with all replicas that drain.
    pub(crate) fn kill_switch(&self) -> CancellationToken {
        self.place.kill.clone()
    }

    /// Publishes what is still to be published; to be called when no replica is left.
    pub(crate) async fn end(&self) {
        self.logs.end().await;
    }
}

/// What all replicas have in common.
pub(crate) struct Place {
    config: LocalConfig,
    /// Replicas that are being stopped get no more time.
    kill: CancellationToken,
}

impl Place {
    fn workdir(&self, name: &FunctionName, deployment: &FunctionDeployment) -> PathBuf {
        match deployment.annotations.get(WORKDIR) {
            Some(folder) => PathBuf::from(folder),
            None => self.own_folder(name).join("work"),
        }
    }

    fn secrets_folder(&self, name: &FunctionName) -> PathBuf {
        self.own_folder(name).join("secrets")
    }

    fn own_folder(&self, name: &FunctionName) -> PathBuf {
        self.config.data_dir.join("functions").join(name.as_str())
    }

    fn timeout(&self, deployment: &FunctionDeployment) -> Duration {
        // A bad value does not get into the registry.
        deployment.timeout().ok().flatten().unwrap_or(self.config.default_timeout)
    }
}

/// Makes a folder that only its owner may enter, with all above it.
fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::io("make the folder", folder))
}
