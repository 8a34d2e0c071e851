//! What can go wrong on the bus, as far as a caller can act on it.

use std::time::Duration;

use skep_protocol::{CallId, HeadersTooLarge};
use thiserror::Error;

pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Error)]
pub enum Error {
    /// The server is away or does not answer; the same call may work later.
    #[error("NATS does not answer")]
    Unavailable(#[source] Source),
    /// The stream takes nothing more.
    #[error("the queue is full")]
    Full(#[source] Source),
    /// The call id belongs to a call that asked for something else.
    #[error(
        "call id {0} belongs to another call: an id may come again only with the same function, method, path, query, Content-Type and body; choose a new X-Call-Id"
    )]
    IdInUse(CallId),
    /// The message, or its headers alone, are larger than the server takes.
    #[error("the message is larger than NATS takes: {limit} bytes, its max_payload or its limit of headers")]
    TooLarge { limit: usize },
    /// The caller says more of a call than may be stored.
    #[error(transparent)]
    HeadersTooLarge(HeadersTooLarge),
    /// The server refuses this message, and would refuse it again.
    #[error("NATS refuses the message")]
    Rejected(#[source] Source),
    #[error("NATS server {found} is too old: skep needs {needed} or newer")]
    ServerTooOld { found: String, needed: &'static str },
    #[error("cannot connect to NATS at {url}{}", within(*.waited))]
    Connect {
        url: String,
        waited: Duration,
        #[source]
        source: Source,
    },
    /// The server keeps a stream or consumer that differs from what skep needs.
    #[error("stream {stream}: {field} is {found} and not {wanted}; the server is too old or someone changed it")]
    Differs { stream: String, field: &'static str, found: String, wanted: String },
    /// Something on the bus cannot be read.
    #[error("a message on {subject} cannot be read: {reason}")]
    Unreadable { subject: String, reason: String },
    /// The controller refused an operation; status and message are for the caller.
    #[error("{message}")]
    Refused { status: u16, message: String },
    #[error("the controller does not answer")]
    NoController,
    /// A write of a process that is not the controller any more.
    #[error("another controller has taken over")]
    NotController,
}

impl Error {
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self::Unavailable(source.into())
    }

    /// Whether the same call may work later. What cannot must come to another end: trying again would never stop.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Full(_) | Self::Connect { .. } | Self::NoController | Self::NotController => {
                true
            }
            Self::IdInUse(_)
            | Self::TooLarge { .. }
            | Self::HeadersTooLarge(_)
            | Self::Rejected(_)
            | Self::ServerTooOld { .. }
            | Self::Differs { .. }
            | Self::Unreadable { .. }
            | Self::Refused { .. } => false,
        }
    }

    /// What the server, or what stands in its place, has said; without that NATS does not answer.
    pub fn cause(&self) -> String {
        match self {
            Self::Unavailable(source) => skep_protocol::error_chain(&**source),
            other => other.chain(),
        }
    }

    /// This error with all its causes, on one line.
    pub fn chain(&self) -> String {
        skep_protocol::error_chain(self)
    }
}

/// How long a connection was waited for, if it was.
fn within(waited: Duration) -> String {
    if waited.is_zero() { String::new() } else { format!(" within {waited:?}") }
}
