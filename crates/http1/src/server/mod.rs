//! The server's side, for plain requests only.

mod answer;
mod lazy_sleep;
mod plain;
mod request;

pub use self::plain::Plain;
