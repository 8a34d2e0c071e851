//! The client's side of one HTTP/1.1 connection (RFC 9112).
//!
//! A request and its answer are carried by the task that asked: no other task is woken for them, nothing is handed over, and what is there goes out in one write.
//! Only a request that is still sent when its answer has begun gets a task of its own, so that neither waits for the other.
//!
//! It does not know who is called or why, keeps no pool, and has no time limits: dropping a future, or an answer, closes the connection.

mod chunked;
mod connection;
mod decoder;
mod error;
mod head;
mod incoming;
mod outgoing;
mod reader;
mod upload;

pub use connection::Connection;
pub use error::{BodyError, Error, NotAnswered, Result};
pub use incoming::Incoming;
pub use outgoing::Outgoing;
pub use reader::Upgraded;
