//! Why a function could not be reached, as far as a caller can act on it.

use skep_protocol::FunctionName;
use thiserror::Error;

use crate::BodyError;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub enum Error {
    /// No replica is there; nothing was sent.
    #[error("function {0} has no replica that is ready")]
    NoReplica(FunctionName),
    /// As many calls wait for a replica as may; nothing was sent.
    #[error("too many calls wait for a replica of function {0} or of others")]
    TooManyHeld(FunctionName),
    /// No replica took a connection; nothing was sent.
    #[error("no replica of function {function} can be reached")]
    Unreachable {
        function: FunctionName,
        #[source]
        source: BodyError,
    },
    /// The call was sent and the replica broke off before it answered; it may have run.
    #[error("function {function} broke off before it answered")]
    Broken {
        function: FunctionName,
        #[source]
        source: BodyError,
    },
    /// The call was ended, here or by its watchdog.
    #[error("function {0} ran longer than its timeout")]
    TimedOut(FunctionName),
    /// The caller's own body broke off.
    #[error("the request body broke off")]
    RequestBody(#[source] BodyError),
}
