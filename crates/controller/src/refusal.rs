//! What a caller learns of an error: a status and a text. Internal causes are logged instead.

use skep_bus::Error as BusError;
use tracing::error;

use crate::Error;

/// Turns an error into a refusal on the bus.
pub(crate) fn refusal(error: Error) -> BusError {
    let refused = |status, message: String| BusError::Refused { status, message };
    match error {
        Error::Invalid(message) => refused(400, message),
        Error::NotFound(message) => refused(404, message),
        Error::Conflict(message) => refused(409, message),
        Error::Busy => refused(503, Error::Busy.to_string()),
        Error::Bus(refusal @ BusError::Refused { .. }) => refusal,
        Error::Orchestrator(message) => {
            error!(error = message, "the orchestrator cannot be used");
            refused(503, "the controller cannot use its orchestrator now, try again".to_owned())
        }
        Error::Bus(BusError::NotController) => refused(503, Error::Busy.to_string()),
        Error::Bus(cause) => {
            error!(error = cause.chain(), "the registry cannot be written");
            refused(503, "the registry cannot be written".to_owned())
        }
        Error::Io { action, path, source } => {
            error!(error = %source, action, path = %path.display(), "the data folder cannot be used");
            refused(500, "the controller cannot use its data folder".to_owned())
        }
    }
}
