//! The client's side: requests on their way out, and answers on their way in.

mod chunked;
mod connection;
mod decoder;
mod get;
mod head;
mod incoming;
mod outgoing;
mod upload;

pub use self::{connection::Connection, get::get, incoming::Incoming, outgoing::Outgoing};
