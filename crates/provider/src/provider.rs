//! What the controller asks of whatever runs functions.

use async_trait::async_trait;
use skep_protocol::{Endpoint, FunctionDeployment, FunctionName, FunctionRecord, LogLine, LogQuery, Secret};

use crate::Result;

/// Runs functions, and keeps their secrets and logs; it does not know the registry.
#[async_trait]
pub(crate) trait Provider: Send + Sync {
    /// How `GET /system/info` calls it.
    fn name(&self) -> &'static str;

    fn orchestration(&self) -> &'static str;

    fn check_replicas(&self, name: &FunctionName, replicas: u64) -> Result<()>;

    /// Checks a deployment against what is there, and reserves the secrets that it names until [`Replicas`] are told.
    async fn admit(&self, name: &FunctionName, deployment: &FunctionDeployment) -> Result<()>;

    /// The replicas of one function, none at first.
    fn replicas(&self, name: &FunctionName) -> Box<dyn Replicas>;

    /// To be called when the functions of the registry all have their replicas: whatever else there is is nobody's.
    fn all_taken_up(&self);

    async fn past_lines(&self, name: &FunctionName, query: &LogQuery) -> Result<Vec<LogLine>>;

    /// Publishes the lines of a function as they come, for a minute from now on.
    fn follow_logs(&self, name: &FunctionName);

    /// Drops what is kept in memory of a function that is gone.
    fn forget(&self, name: &FunctionName);

    /// All secrets of a namespace by name, without their values; here and in secrets an empty text is the default namespace.
    async fn list_secrets(&self, namespace: &str) -> Result<Vec<Secret>>;

    async fn create_secret(&self, secret: Secret) -> Result<()>;

    async fn update_secret(&self, secret: Secret) -> Result<()>;

    async fn delete_secret(&self, secret: Secret) -> Result<()>;

    /// Ends the patience with all replicas that drain.
    fn kill(&self);

    /// Gives up what is left when no function has a task any more.
    async fn end(&self);
}

/// Why a function gets another record.
pub(crate) enum Cause {
    /// It is new; the credentials are for its image.
    Deployed { registry_auth: String },
    /// Its settings or its image have changed; without new credentials it keeps the former ones.
    Updated { registry_auth: String },
    /// Only the number of replicas has changed.
    Scaled,
}

/// The replicas of one function: how many run, which may be sent to, which are on their way out.
#[async_trait]
pub(crate) trait Replicas: Send + Sync {
    /// Says what the registry wants to run; [`Self::converge`] does it. A changed deployment means new replicas.
    fn take_up(&mut self, record: &FunctionRecord);

    /// As [`Self::take_up`] for what someone asks now; returns an error when it cannot be, and nothing is changed then.
    async fn want(&mut self, record: &FunctionRecord, cause: Cause) -> Result<()>;

    fn want_none(&mut self);

    /// Starts what is missing, and takes what is too much out of [`Self::endpoints`].
    fn converge(&mut self);

    /// The replicas that can be sent to.
    fn endpoints(&self) -> Vec<Endpoint>;

    /// Why there are fewer of them than are wanted, if there is anything to be said.
    fn problem(&self) -> Option<String>;

    /// To be called when nobody is sent to other replicas than [`Self::endpoints`] any more: the others drain and end.
    fn release(&mut self);

    /// Returns when something may have changed; it may be dropped at any time.
    async fn changed(&mut self);

    fn is_empty(&self) -> bool;

    /// The controller ends: replicas that need it end too, after [`Self::release`], and others stay as they are.
    fn leave(&mut self);
}
