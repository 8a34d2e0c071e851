//! The local provider: a replica is a watchdog on this machine, and the watchdog runs the function's command.
//!
//! Its folders: `secrets/NAME` and `namespaces/NAMESPACE/secrets/NAME` (one file per secret), `functions/NAME/work` (where a function runs unless it says otherwise), `functions/NAME/secrets` (links to the secrets that it names) and `functions/NAME/tmp` (the temporary files of each replica in a sandbox).
//! Programs of sources have the same below `sources/NAME`.
//! A deleted function's `work` directory stays, because it may hold what the function made.

mod command;
mod environment;
mod lines;
mod logs;
mod program;
mod replica;
mod replicas;
mod sandbox;
mod secrets;
mod stored_secrets;
mod usage;
mod watchdog;

use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rustix::process::Rlimit;
use skep_bus::ProviderBus;
use skep_process::ProcessTag;
use skep_protocol::{
    DefaultNamespace, FunctionDeployment, FunctionName, FunctionPolicy, LogLine, LogQuery, PolicyDefaults, Secret,
    WORKDIR,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Error, Replicas, Result, Runtime, provider};

use self::{logs::Logs, replicas::LocalReplicas, secrets::Secrets};

pub use self::{
    command::check as check_command,
    stored_secrets::{read_secrets, write_secret},
};

/// The most replicas of one function on one machine.
pub const MAX_REPLICAS: u64 = 100;

/// The variable that tells a function the folder of its secrets; `/var/openfaas/secrets` cannot be made without root.
pub const SECRETS_DIR: &str = "SKEP_SECRETS_DIR";

/// The name by which a watchdog is started, whatever its file is called: `skep` is one, too.
pub const WATCHDOG: &str = "fwatchdog";

#[derive(Clone)]
pub struct LocalConfig {
    /// The program `fwatchdog`, or `skep`.
    pub watchdog: PathBuf,
    /// Where secrets and the functions' own folders are kept.
    pub data_dir: PathBuf,
    /// How long one call may run when the function does not say.
    pub default_timeout: Duration,
    /// All that functions inherit: PATH, HOME, USER, LANG, LC_*, TMPDIR and TZ.
    pub environment: BTreeMap<String, String>,
    /// The collector of spans, for functions that ask for it.
    pub collector: Option<String>,
    /// Functions are kept in a sandbox, unless they ask for none.
    pub sandbox: bool,
    /// How many files functions may have open.
    pub file_limit: Rlimit,
    /// The mark of this program and all that it starts.
    pub process_tag: ProcessTag,
}

/// Runs functions as local commands.
pub(crate) struct Local {
    context: Arc<ProviderContext>,
    logs: Logs,
    /// Without an orderly end nothing may go on.
    _abandoned: DropGuard,
}

impl Local {
    /// Checks the watchdog and makes the folders.
    pub(crate) fn new(mut config: LocalConfig, bus: ProviderBus) -> Result<Self> {
        make_folder(&config.data_dir)?;
        config.data_dir = config.data_dir.canonicalize().map_err(Error::io("open", &config.data_dir))?;
        config.watchdog = config.watchdog.canonicalize().map_err(Error::io("find", &config.watchdog))?;
        let secrets = Secrets::new(&config.data_dir)?;
        let namespace = bus.connection.default_namespace().clone();
        let kill = CancellationToken::new();
        let abandoned = kill.clone().drop_guard();
        let context = Arc::new(ProviderContext { config, namespace, secrets, kill });
        Ok(Self { context, logs: Logs::new(bus.logs), _abandoned: abandoned })
    }

    /// Reads or changes a secret on a thread that may wait for the disk.
    async fn with_secrets<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Secrets) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let context = Arc::clone(&self.context);
        let done = tokio::task::spawn_blocking(move || work(&context.secrets));
        done.await.unwrap_or(Err(Error::Busy))
    }
}

#[async_trait]
impl Runtime for Local {
    fn name(&self) -> &'static str {
        "skep-local"
    }

    fn orchestration(&self) -> &'static str {
        "local"
    }

    fn check_replicas(&self, name: &FunctionName, replicas: u64) -> Result<()> {
        if replicas <= MAX_REPLICAS {
            return Ok(());
        }
        let reason = format!("function {name}: {replicas} replicas are more than the {MAX_REPLICAS} of one machine");
        Err(Error::Invalid(reason))
    }

    fn shared_cores(&self) -> Option<f64> {
        let cores = std::thread::available_parallelism().ok()?;
        u32::try_from(cores.get()).ok().map(f64::from)
    }

    async fn admit(&self, name: &FunctionName, deployment: &FunctionDeployment) -> Result<()> {
        let workdir = self.context.workdir(name, deployment);
        command::check(name, deployment, &workdir, &self.context.config.environment)?;
        sandbox::check(&self.context, name, deployment, &workdir)?;
        environment::check(name, deployment)?;
        self.context.secrets.hold(name, &deployment.secrets)
    }

    fn replicas(&self, name: &FunctionName) -> Box<dyn Replicas> {
        Box::new(LocalReplicas::new(Arc::clone(&self.context), name.clone(), self.logs.of(&name.without_canary())))
    }

    /// The end of the controller was the end of all replicas.
    fn adopted_all(&self) {}

    fn forget(&self, name: &FunctionName) {
        self.logs.forget(name);
    }

    fn kill(&self) {
        self.context.kill.cancel();
    }

    /// Publishes what is still to be published.
    async fn end(&self) {
        self.logs.end().await;
    }
}

#[async_trait]
impl provider::Logs for Local {
    async fn past(&self, query: &LogQuery) -> Result<Vec<LogLine>> {
        Ok(self.logs.of(&query.function).past(query))
    }

    /// All lines are published as they come.
    fn follow(&self, _name: &FunctionName) {}
}

#[async_trait]
impl provider::Secrets for Local {
    async fn list(&self, namespace: &str) -> Result<Vec<Secret>> {
        self.context.secrets.list(namespace)
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>> {
        let name = name.to_owned();
        self.with_secrets(move |secrets| secrets.read("", &name)).await
    }

    async fn create(&self, secret: Secret) -> Result<()> {
        self.with_secrets(move |secrets| secrets.create(&secret)).await
    }

    async fn update(&self, secret: Secret) -> Result<()> {
        self.with_secrets(move |secrets| secrets.update(&secret)).await
    }

    async fn delete(&self, secret: Secret) -> Result<()> {
        self.with_secrets(move |secrets| secrets.delete(&secret)).await
    }
}

/// What all replicas have in common.
struct ProviderContext {
    config: LocalConfig,
    namespace: DefaultNamespace,
    secrets: Secrets,
    /// Replicas that are being stopped get no more time.
    kill: CancellationToken,
}

impl ProviderContext {
    fn workdir(&self, name: &FunctionName, deployment: &FunctionDeployment) -> PathBuf {
        match deployment.annotations.get(WORKDIR) {
            Some(folder) => PathBuf::from(folder),
            // A canary runs where its function does.
            None => self.own_folder(&name.without_canary()).join("work"),
        }
    }

    fn secrets_folder(&self, name: &FunctionName) -> PathBuf {
        secrets::own_folder(&self.config.data_dir, name)
    }

    fn own_folder(&self, name: &FunctionName) -> PathBuf {
        self.config.data_dir.join("functions").join(name.as_str())
    }

    fn policy(&self, deployment: &FunctionDeployment) -> FunctionPolicy {
        let defaults = PolicyDefaults { timeout: self.config.default_timeout, ..Default::default() };
        FunctionPolicy::of_deployed(deployment, &defaults).0
    }
}

/// Makes a folder that only its owner may enter, with all above it.
fn make_folder(folder: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::io("make the folder", folder))
}
