//! The gateway's settings, as the program's command line fills them.

use std::{fmt, sync::Arc, time::Duration};

use skep_http::{Drain, HttpLimits, ServeConfig};
use skep_sources::SealKey;
use skep_trace::Tracer;
use url::Url;

use crate::{UiMode, auth::AuthConfig, forwarded::TrustedProxies};

#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// With it `/system` and `/ui` are closed.
    pub auth: Option<AuthConfig>,
    /// Host names by which `/system` and `/ui` may be reached; see docs/security.md.
    pub allowed_hosts: Vec<String>,
    /// `--ui`, `SKEP_UI`.
    pub ui: UiMode,
    /// Where traces can be seen; `{traceId}` stands for the id.
    pub trace_url: Option<String>,
    /// Who is believed about where a call came from.
    pub trusted_proxies: TrustedProxies,
    /// Whose traces are gone on with, and where spans go.
    pub tracer: Tracer,
    /// The largest body of an asynchronous call, in bytes.
    pub async_body_limit: u64,
    /// `--alexa-routing`, `SKEP_ALEXA_ROUTING`: an Alexa request that is posted to `/` goes to its intent's function.
    pub alexa_routing: bool,
    /// A caller that sends nothing of its body for this long is given up.
    pub body_idle_timeout: Duration,
    /// How much is taken on at once.
    pub limits: Limits,
    /// What secrets of sources are opened with; without it none of them counts.
    pub seal_key: Option<Arc<SealKey>>,
    /// Where senders reach the gateways, for sources without a `url`.
    pub public_url: Option<Url>,
    /// Whether `/metrics` is also on the gateway's own port.
    pub serve_metrics: bool,
    pub serve: ServeConfig,
}

/// Images of functions that are kept on the bus.
#[derive(Clone)]
pub struct ImagesConfig {
    /// Where the engine of each node pulls them, such as `127.0.0.1:5757`.
    pub address: String,
    /// What all of them may take, in bytes.
    pub limit: u64,
    /// What an engine shows as its login: `USER:PASSWORD`.
    pub login: String,
}

impl fmt::Debug for ImagesConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ImagesConfig").field("address", &self.address).finish_non_exhaustive()
    }
}

/// How much one gateway takes on at once; beyond it callers are refused.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Synchronous calls of all functions.
    pub inflight: usize,
    /// Calls of one function.
    pub inflight_per_function: usize,
    /// Requests of one address in a second; as many as it makes if it is 0.
    pub requests_per_address: u32,
    /// Callers that wait for the end of a queued call.
    pub waiters: usize,
    /// Callers that follow calls or logs.
    pub followers: usize,
    /// What may wait in the queue, in bytes, bodies that are stored apart not counted.
    pub queue_bytes: u64,
    /// What of it may wait for one function that says nothing of its own.
    pub queue_bytes_per_function: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inflight: 8192,
            inflight_per_function: 2048,
            requests_per_address: 2000,
            waiters: 4096,
            followers: 128,
            queue_bytes: 4 << 30,
            queue_bytes_per_function: 1 << 30,
        }
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            auth: None,
            allowed_hosts: Vec::new(),
            ui: UiMode::default(),
            trace_url: None,
            trusted_proxies: TrustedProxies::default(),
            tracer: Tracer::default(),
            async_body_limit: 1 << 30,
            alexa_routing: false,
            body_idle_timeout: Duration::from_secs(30),
            limits: Limits::default(),
            seal_key: None,
            public_url: None,
            serve_metrics: false,
            serve: ServeConfig {
                limits: HttpLimits::default(),
                proxies: Vec::new(),
                tls: None,
                drain: Drain { linger: Duration::ZERO, grace: Duration::from_secs(30) },
                readiness: None,
            },
        }
    }
}
