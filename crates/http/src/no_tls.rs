//! What stands in for TLS in a build without the feature `tls`: there is no value of it.

use std::convert::Infallible;

#[derive(Clone, Copy, Debug)]
pub struct Tls(Infallible);

#[cfg(feature = "tracing")]
impl Tls {
    pub(crate) async fn follow(self, _end: tokio_util::sync::CancellationToken) {
        match self.0 {}
    }
}
