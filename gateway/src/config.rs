//! The gateway's settings, as the program's command line fills them.

use std::time::Duration;

use anyhow::bail;
use skep_daemon::{Drain, HttpLimits, ServeConfig};

use crate::auth::Credentials;

#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// With credentials `/system` and `/ui` are closed.
    pub credentials: Option<Credentials>,
    /// The largest body of an asynchronous call, in bytes, as [`async_body_limit`] gives it.
    pub async_body_limit: usize,
    /// `--alexa-routing`, `SKEP_ALEXA_ROUTING`: an Alexa request that is posted to `/` goes to its intent's function.
    pub alexa_routing: bool,
    /// A caller that sends nothing of its body for this long is given up.
    pub body_idle_timeout: Duration,
    /// Whether `/metrics` is also on the gateway's own port.
    pub serve_metrics: bool,
    pub serve: ServeConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            credentials: None,
            async_body_limit: 1024 * 1024,
            alexa_routing: false,
            body_idle_timeout: Duration::from_secs(30),
            serve_metrics: true,
            serve: ServeConfig {
                limits: HttpLimits::default(),
                tls: None,
                drain: Drain { linger: Duration::ZERO, grace: Duration::from_secs(30) },
            },
        }
    }
}

/// What is kept free of the server's `max_payload` for headers: 1 MiB, or an eighth where that is less.
const HEADER_RESERVE: usize = 1024 * 1024;

/// The largest body of an asynchronous call, given the largest message of the bus; without a wish, the most that is possible.
pub fn async_body_limit(wanted: Option<usize>, largest_message: usize) -> anyhow::Result<usize> {
    let most = largest_message - HEADER_RESERVE.min(largest_message / 8);
    match wanted {
        None => Ok(most),
        Some(0) => bail!("must be at least 1 byte"),
        Some(wanted) if wanted > most => {
            bail!("{wanted} bytes are too many: NATS takes at most {most} and headers; raise its max_payload first")
        }
        Some(wanted) => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn the_async_body_limit_leaves_room_for_headers() {
        assert_eq!(async_body_limit(None, 8 * MIB).unwrap(), 7 * MIB);
        assert_eq!(async_body_limit(None, 16 * MIB).unwrap(), 15 * MIB);
        assert_eq!(async_body_limit(None, MIB).unwrap(), MIB / 8 * 7);
        assert_eq!(async_body_limit(Some(100), MIB).unwrap(), 100);
        for bad in [0, 8 * MIB] {
            assert!(async_body_limit(Some(bad), 8 * MIB).is_err(), "{bad}");
        }
    }
}
