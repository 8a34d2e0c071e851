//! The traits that the controller uses to run functions.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use skep_bus::{Lease, ProviderBus};
use skep_protocol::{
    Endpoint, FunctionDeployment, FunctionName, FunctionRecord, LogLine, LogQuery, Secret, SourceName,
};
use tokio::process::{ChildStdin, ChildStdout};

use crate::{LocalConfig, Result, SwarmConfig, local::Local, swarm::Swarm};

/// What runs functions.
#[derive(Clone)]
pub enum ProviderConfig {
    Local(LocalConfig),
    Swarm(SwarmConfig),
}

/// Runs functions, and keeps their secrets and logs; it does not know the registry.
#[derive(Clone)]
pub struct Provider {
    pub runtime: Arc<dyn Runtime>,
    pub secrets: Arc<dyn Secrets>,
    pub logs: Arc<dyn Logs>,
    pub programs: Arc<dyn Programs>,
}

impl Provider {
    /// Starts the provider; it changes nothing unless `lease` is held.
    pub async fn start(config: ProviderConfig, bus: ProviderBus, lease: Arc<Lease>) -> Result<Self> {
        Ok(match config {
            ProviderConfig::Local(local) => Self::of(Local::new(local, bus)?),
            ProviderConfig::Swarm(swarm) => Self::of(Swarm::connect(swarm, bus, lease).await?),
        })
    }

    fn of(provider: impl Runtime + Secrets + Logs + Programs + 'static) -> Self {
        let provider = Arc::new(provider);
        Self { runtime: provider.clone(), secrets: provider.clone(), logs: provider.clone(), programs: provider }
    }
}

/// Runs functions.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Its name in `GET /system/info`.
    fn name(&self) -> &'static str;

    fn orchestration(&self) -> &'static str;

    fn check_replicas(&self, name: &FunctionName, replicas: u64) -> Result<()>;

    /// The cores that all replicas share, where they run on one machine.
    fn shared_cores(&self) -> Option<f64> {
        None
    }

    /// Checks a deployment against what is there, and reserves the secrets that it names until [`Replicas`] get the record.
    async fn admit(&self, name: &FunctionName, deployment: &FunctionDeployment) -> Result<()>;

    /// The replicas of one function, or of its [canary](FunctionName::of_canary), none at first.
    fn replicas(&self, name: &FunctionName) -> Box<dyn Replicas>;

    /// Called once all functions of the registry have their replicas; any others belong to no function.
    fn adopted_all(&self);

    /// Drops what is kept in memory of a function or of a canary that is gone.
    fn forget(&self, name: &FunctionName);

    /// Kills all replicas that still drain.
    fn kill(&self);

    /// Ends what is left once no function has a task any more.
    async fn end(&self);
}

/// Keeps the secrets of functions.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// All secrets of a namespace by name, without their values; here and in secrets an empty text is the default namespace.
    async fn list(&self, namespace: &str) -> Result<Vec<Secret>>;

    /// The value of a secret of the default namespace.
    async fn read(&self, name: &str) -> Result<Vec<u8>>;

    async fn create(&self, secret: Secret) -> Result<()>;

    async fn update(&self, secret: Secret) -> Result<()>;

    async fn delete(&self, secret: Secret) -> Result<()>;
}

/// Keeps the log lines of functions.
#[async_trait]
pub trait Logs: Send + Sync {
    async fn past(&self, query: &LogQuery) -> Result<Vec<LogLine>>;

    /// Publishes the lines of a function as they come, for the next minute.
    fn follow(&self, name: &FunctionName);
}

/// Runs the programs of sources.
#[async_trait]
pub trait Programs: Send + Sync {
    /// Checks that a program can be started with what is there.
    async fn check_program(&self, source: &SourceName, program: &ProgramSpec) -> Result<()>;

    async fn start_program(&self, source: &SourceName, program: &ProgramSpec) -> Result<StartedProgram>;

    /// Gives a program the new value of a secret that it names.
    async fn renew_secrets(&self, source: &SourceName, program: &ProgramSpec) -> Result<()>;

    /// Writes a line of skep's own into the log of a source.
    fn note(&self, source: &SourceName, line: String);

    /// The last lines of a source's log.
    fn lines(&self, source: &SourceName, most: usize) -> Vec<LogLine>;

    /// Drops what is kept in memory of a source that is gone.
    fn forget_source(&self, source: &SourceName);
}

/// What a program is run with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramSpec {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// An absolute path; without it, a folder of the source's own.
    pub workdir: Option<String>,
    pub environment: BTreeMap<String, String>,
    pub secrets: Vec<String>,
    pub sandbox: bool,
    /// Whether it reads its STDIN.
    pub reads_stdin: bool,
}

/// A program that runs.
pub struct StartedProgram {
    pub pid: Option<u32>,
    pub stdout: ChildStdout,
    /// When it is closed, the program and all that it started are killed.
    pub stdin: ChildStdin,
    pub process: Box<dyn ProgramProcess>,
}

/// The process of a program.
#[async_trait]
pub trait ProgramProcess: Send {
    /// Waits for its end and says how it came.
    async fn ended(&mut self) -> String;

    /// Asks it to end, and kills what is left of it and of what it started after the patience.
    async fn stop(self: Box<Self>, patience: Duration);
}

/// Why a function gets another record.
pub enum Cause {
    /// It is new; the credentials are for its image.
    Deployed { registry_auth: String },
    /// Its settings or its image have changed; without new credentials it keeps the former ones.
    Updated { registry_auth: String },
    /// It goes back to former settings. Replicas that have them go on.
    RolledBack,
    /// Only the number of replicas has changed.
    Scaled,
}

/// The replicas of one function: how many run, which take calls, which drain.
#[async_trait]
pub trait Replicas: Send + Sync {
    /// Sets what is to run, as the registry says; [`Self::converge`] does it. A changed deployment means new replicas, unless some of it are still there.
    fn adopt(&mut self, record: &FunctionRecord);

    /// As [`Self::adopt`], for a new record. Returns an error if it cannot be, and then nothing has changed.
    async fn apply(&mut self, record: &FunctionRecord, cause: Cause) -> Result<()>;

    /// Sets that nothing is to run.
    fn remove(&mut self);

    /// Starts what is missing, and takes what is too much out of [`Self::endpoints`].
    fn converge(&mut self);

    /// The replicas that take calls.
    fn endpoints(&self) -> Vec<Endpoint>;

    /// Why there are fewer of them than wanted, if the reason is known.
    fn problem(&self) -> Option<String>;

    /// Why some of the replicas that are wanted cannot be placed anywhere.
    fn shortage(&self) -> Option<String> {
        None
    }

    /// What a replica that takes calls uses of the CPU since this was asked last, on average over all of them, in thousandths of a core; `None` if it is not known.
    fn cpu(&mut self) -> Option<f64> {
        None
    }

    /// Whether all replicas that are wanted, and some are, run the present deployment and take calls.
    fn is_ready(&self) -> bool;

    /// Why replicas of the present deployment will hardly ever be ready: they fail again and again.
    fn failure(&self) -> Option<String>;

    /// Lets replicas that are no endpoints drain and end; called once the registry no longer names them.
    fn retire(&mut self);

    /// Returns when something may have changed; it may be dropped at any time.
    async fn changed(&mut self);

    fn is_empty(&self) -> bool;

    /// The controller ends: replicas that need it end too, after [`Self::retire`], and others stay as they are.
    fn detach(&mut self);
}
