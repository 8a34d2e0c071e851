//! What can be asked of a function.

use skep_protocol::{
    AlertStatus, Author, CanaryMode, CanaryReport, FunctionDeployment, FunctionName, FunctionStats, KeptVersion,
    VersionRoles,
    control::{Change, Promoted, RolledBack},
};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use crate::{Error, Result, scaling::Load};

/// A request to the task of a function.
pub(super) enum Request {
    Apply(Box<Command>, oneshot::Sender<Result<Change>>),
    Delete(oneshot::Sender<Result<()>>),
    /// Asks for the versions that are kept, the oldest first, and which one is what.
    Versions(oneshot::Sender<Result<(Vec<KeptVersion>, VersionRoles)>>),
    /// Goes back to a version, or to the previous one.
    RollBack(Option<u64>, Author, oneshot::Sender<Result<RolledBack>>),
    /// Asks for the canary with its figures.
    Canary(oneshot::Sender<Result<Option<CanaryReport>>>),
    /// Lets the canary take all calls.
    Promote(oneshot::Sender<Result<Promoted>>),
    /// More is known of how calls have ended.
    Judge,
    /// Has the number of replicas follow what was seen in the last second.
    Decide(Load, oneshot::Sender<Result<FunctionStats>>),
}

/// What a function is to be from now on.
pub(crate) enum Command {
    Deploy(FunctionDeployment, Author),
    /// With the mode, it is a canary or is none; without, its annotation says so.
    Update(FunctionDeployment, Author, Option<CanaryMode>),
    /// Sets a number of replicas, which is kept until then although the use would change it.
    Scale(u64, Option<OffsetDateTime>),
    /// Gives it replicas if it is at zero.
    Wake,
    Alert(AlertStatus),
}

impl Request {
    pub(super) fn is_deploy(&self) -> bool {
        matches!(self, Self::Apply(command, _) if matches!(**command, Command::Deploy(..)))
    }

    pub(super) fn not_found(&self, name: &FunctionName) -> Error {
        match self {
            Self::Apply(..)
            | Self::Versions(_)
            | Self::RollBack(..)
            | Self::Canary(_)
            | Self::Promote(_)
            | Self::Judge
            | Self::Decide(..) => not_found(name),
            Self::Delete(_) => no_such_service(name),
        }
    }
}

pub(super) fn not_found(name: &FunctionName) -> Error {
    Error::NotFound(format!("function {name} not found"))
}

/// The words that `faas-cli` expects.
pub(super) fn no_such_service(name: &FunctionName) -> Error {
    Error::NotFound(format!("No such service found: {name}."))
}
