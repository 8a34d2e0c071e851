//! The gateway's settings, as the program's command line fills them.

use std::time::Duration;

use skep_daemon::{Drain, HttpLimits, ServeConfig};

use crate::auth::AuthConfig;

#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// With it `/system` and `/ui` are closed.
    pub auth: Option<AuthConfig>,
    /// The largest body of an asynchronous call, in bytes.
    pub async_body_limit: u64,
    /// `--alexa-routing`, `SKEP_ALEXA_ROUTING`: an Alexa request that is posted to `/` goes to its intent's function.
    pub alexa_routing: bool,
    /// A caller that sends nothing of its body for this long is given up.
    pub body_idle_timeout: Duration,
    /// How often all calls are counted; never if it is zero.
    pub audit_every: Duration,
    /// Whether `/metrics` is also on the gateway's own port.
    pub serve_metrics: bool,
    pub serve: ServeConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            auth: None,
            async_body_limit: 1 << 30,
            alexa_routing: false,
            body_idle_timeout: Duration::from_secs(30),
            audit_every: Duration::ZERO,
            serve_metrics: true,
            serve: ServeConfig {
                limits: HttpLimits::default(),
                tls: None,
                drain: Drain { linger: Duration::ZERO, grace: Duration::from_secs(30) },
            },
        }
    }
}
