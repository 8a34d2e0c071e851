//! What can go wrong with functions, secrets and logs, as far as a caller can act on it.

use std::{io, path::PathBuf};

use thiserror::Error;

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
}
