//! Clients of other people's servers, which work on a machine without CA certificates too, as far as that is possible, and signatures of what they send.

mod signature;

pub use signature::{Signature, SigningKeys};

use reqwest::{Client, ClientBuilder};

/// What people lack and can do, where [`trusts_somebody`] is false.
pub const NOBODY_IS_TRUSTED: &str = "this machine has no CA certificates, so skep calls no https:// address; install them (Debian: apt install ca-certificates)";

/// Builds a client that trusts whom the machine trusts. Where that is nobody, it calls `http` addresses alone.
pub fn client(settings: impl Fn() -> ClientBuilder) -> reqwest::Result<Client> {
    settings().build().or_else(|_| settings().tls_certs_only([]).build())
}

/// Whether this machine has CA certificates.
pub fn trusts_somebody() -> bool {
    Client::builder().build().is_ok()
}
