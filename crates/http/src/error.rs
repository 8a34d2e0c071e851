//! Why there is no answer, or not all of it.

use std::io;

use thiserror::Error;

use crate::Outgoing;

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Error)]
pub enum Error {
    /// The body that was to be sent broke off, or is not as long as its `Content-Length` says.
    #[error("the body that was to be sent broke off")]
    Body(#[source] BodyError),
    /// The other side closed the connection before its answer was whole.
    #[error("the connection was closed before the end of the answer")]
    Closed,
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is no answer that can be understood in one way only.
    #[error("the answer is not HTTP/1.1: {0}")]
    NotHttp(&'static str),
}

/// What a request leaves that got no answer.
#[derive(Debug)]
pub struct NotAnswered<B> {
    pub error: Error,
    /// The request, if nothing of it was sent.
    pub unsent: Option<Box<Outgoing<B>>>,
}
