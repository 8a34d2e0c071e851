//! What can be asked of a function.

use skep_protocol::{AlertStatus, FunctionDeployment, FunctionName, control::Change};
use tokio::sync::oneshot;

use crate::{Error, Result};

/// A request to the task of a function.
pub(super) enum Request {
    Apply(Box<Command>, oneshot::Sender<Result<Change>>),
    Delete(oneshot::Sender<Result<()>>),
}

/// What a function is to be from now on.
pub(crate) enum Command {
    Deploy(FunctionDeployment),
    Update(FunctionDeployment),
    Scale(u64),
    /// Brings it to its minimum if it is at zero.
    Wake,
    Alert(AlertStatus),
}

impl Request {
    pub(super) fn is_deploy(&self) -> bool {
        matches!(self, Self::Apply(command, _) if matches!(**command, Command::Deploy(_)))
    }

    pub(super) fn not_found(&self, name: &FunctionName) -> Error {
        match self {
            Self::Apply(..) => not_found(name),
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
