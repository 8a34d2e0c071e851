//! A server of HTTP/1.1 and HTTP/2: simple requests take the fast path, hyper reads all others.
//!
//! A [`tower::Service`] answers. Each connection gets its own, so all layers know the peer without reading it from each request.
//! Every connection is accounted for, and a server that ends drains.

mod accept;
mod config;
mod connection;
mod connections;
mod discard;
mod event;
pub(crate) mod fast_path;
#[cfg(feature = "serve")]
mod http2;
mod listen;
mod peer;
mod places;
mod protocols;
#[cfg(feature = "serve")]
mod serve;
mod shared;
#[cfg(feature = "serve")]
mod streams;
mod strict_heads;
#[cfg(test)]
#[cfg(all(feature = "admin", feature = "serve"))]
mod tests;

#[cfg(any(test, fuzzing))]
pub use fast_path::properties;

pub use self::{
    config::HttpLimits, connections::Connections, event::Event, fast_path::FastPath, listen::listen, peer::Peer,
    places::network_of, shared::Server,
};
#[cfg(feature = "serve")]
pub use self::{
    config::{Drain, ServeConfig},
    serve::serve,
};
