//! What can go wrong in the controller, as far as a caller can act on it.

use std::{io, path::PathBuf};

use thiserror::Error;
use tracing::error;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub enum Error {
    /// What is asked for cannot be done as it stands.
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    NotFound(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// More is asked of one function than it can take up, or the controller is about to end.
    #[error("the controller is busy or about to end, try again")]
    Busy,
    /// What runs the functions does not answer, or not as it should.
    #[error("{0}")]
    Orchestrator(String),
    #[error(transparent)]
    Bus(#[from] skep_bus::Error),
    #[error("cannot {action} {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl From<skep_protocol::validate::Invalid> for Error {
    fn from(error: skep_protocol::validate::Invalid) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// Says it in the bus's words: a status and a text for the caller. What is internal is logged and not told.
    pub(crate) fn into_refusal(self) -> skep_bus::Error {
        let refused = |status, message: String| skep_bus::Error::Refused { status, message };
        match self {
            Self::Invalid(message) => refused(400, message),
            Self::NotFound(message) => refused(404, message),
            Self::Conflict(message) => refused(409, message),
            Self::Busy => refused(503, self.to_string()),
            Self::Bus(refusal @ skep_bus::Error::Refused { .. }) => refusal,
            Self::Orchestrator(message) => {
                error!(error = message, "the orchestrator cannot be used");
                refused(503, "the controller cannot use its orchestrator now, try again".to_owned())
            }
            Self::Bus(skep_bus::Error::NotController) => refused(503, Self::Busy.to_string()),
            Self::Bus(cause) => {
                error!(error = cause.chain(), "the registry cannot be written");
                refused(503, "the registry cannot be written".to_owned())
            }
            Self::Io { action, path, source } => {
                error!(error = %source, action, path = %path.display(), "the data folder cannot be used");
                refused(500, "the controller cannot use its data folder".to_owned())
            }
        }
    }
}
