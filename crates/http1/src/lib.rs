//! Both sides of one HTTP/1.1 connection (RFC 9112), without detours.
//!
//! A request and its answer are carried by the task that asked, or that serves: no other task is woken for them, nothing is handed over, and what is there goes out in one write.
//!
//! The client's side is whole; only a request that is still sent when its answer has begun gets a task of its own, so that neither waits for the other.
//! The server's side is for [`Plain`] requests; a connection on which others come goes on to a server that understands them.
//!
//! It does not know who is called or why, and keeps no pool. A client has no time limits: dropping a future, or an answer, closes the connection.

mod client;
mod error;
mod headers;
mod message;
mod reader;
mod server;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use server::laws;

pub use client::{Connection, Incoming, Outgoing};
pub use error::{BodyError, Error, NotAnswered, Result};
pub use reader::Upgraded;
pub use server::{AMBIGUOUS, Plain, has_ambiguous_coding};
