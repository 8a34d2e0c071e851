//! A server of HTTP/1.1 and HTTP/2: simple requests take the fast path, hyper reads all others.

#[cfg(feature = "server")]
mod accept;
#[cfg(feature = "server")]
mod config;
pub(crate) mod fast_path;
#[cfg(feature = "server")]
mod peer;
#[cfg(feature = "server")]
mod places;
#[cfg(feature = "server")]
mod serve;
#[cfg(feature = "server")]
mod streams;
#[cfg(all(test, feature = "server"))]
mod tests;

#[cfg(any(test, fuzzing))]
pub use fast_path::properties;

pub use self::fast_path::FastPath;
#[cfg(feature = "server")]
pub use self::{
    config::{Drain, HttpLimits, ServeConfig},
    peer::{Peer, RequestBody, Service},
    serve::serve,
};
