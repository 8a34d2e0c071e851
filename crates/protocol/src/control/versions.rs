//! Requests about a function's versions, and the two that make one.

use serde::{Deserialize, Serialize};

use super::Change;
use crate::{Author, CanaryMode, FunctionDeployment, FunctionName};

/// Deploys a function that is not there yet. On the wire it is the deployment, and `author` beside its fields.
#[derive(Serialize, Deserialize)]
pub struct Deploy {
    #[serde(flatten)]
    pub deployment: FunctionDeployment,
    #[serde(default)]
    pub author: Author,
}

/// Changes a function, and runs its image anew.
#[derive(Serialize, Deserialize)]
pub struct Update {
    #[serde(flatten)]
    pub deployment: FunctionDeployment,
    #[serde(default)]
    pub author: Author,
    /// Whether the new version is a canary; without it, its annotation decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryMode>,
}

/// Reads the canary of a function, with what was counted of it; none if it has none.
#[derive(Serialize, Deserialize)]
pub struct ReadCanary {
    pub function: FunctionName,
}

/// Lets a function's canary take all calls.
#[derive(Serialize, Deserialize)]
pub struct Promote {
    pub function: FunctionName,
}

/// What a promotion has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promoted {
    pub change: Change,
    /// The version that takes all calls.
    pub version: u64,
}

/// Lists the versions of a function that are kept, the newest first.
#[derive(Serialize, Deserialize)]
pub struct ListVersions {
    pub function: FunctionName,
}

/// Reads one version of a function with its settings.
#[derive(Serialize, Deserialize)]
pub struct ReadVersion {
    pub function: FunctionName,
    pub version: u64,
}

/// Brings the settings of a former version back, as a new version.
#[derive(Serialize, Deserialize)]
pub struct RollBack {
    pub function: FunctionName,
    /// Without it, the [previous](crate::previous) one.
    pub version: Option<u64>,
    pub author: Author,
}

/// What a rollback has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    pub change: Change,
    /// The new version.
    pub version: u64,
    /// The version whose settings it has.
    pub restores: u64,
}
