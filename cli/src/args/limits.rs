//! How much a gateway takes on.

use std::time::Duration;

use clap::Args;
use skep_gateway::Limits;
use skep_http::HttpLimits;
use skep_protocol::parse_size;

use super::values::{at_least_one, duration};

#[derive(Clone, Debug, Args)]
pub(crate) struct LimitArgs {
    /// Connections at once from one address (of IPv6: one /64 network); further ones are refused. By default a quarter of --max-connections; those from this machine and from --trusted-proxies are not counted
    #[arg(long, env = "SKEP_MAX_CONNECTIONS_PER_ADDRESS", value_parser = at_least_one)]
    pub(crate) max_connections_per_address: Option<usize>,
    /// Requests per second from one address (of IPv6: one /64 network), in bursts up to twice as many; further ones are refused with 429. 0 for no limit; those from this machine are not counted
    #[arg(long, env = "SKEP_MAX_REQUESTS_PER_ADDRESS", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) max_requests_per_address: u32,
    /// Synchronous calls of all functions at once; further ones are refused with 429
    #[arg(long, env = "SKEP_MAX_INFLIGHT", default_value_t = 8192, value_parser = at_least_one)]
    pub(crate) max_inflight: usize,
    /// Calls of one function at once, beyond which synchronous ones are refused with 429
    #[arg(long, env = "SKEP_MAX_INFLIGHT_PER_FUNCTION", default_value_t = 2048, value_parser = at_least_one)]
    pub(crate) max_inflight_per_function: usize,
    /// Callers that may wait at once for the end of a queued call (Prefer: wait, result?wait=)
    #[arg(long, env = "SKEP_MAX_WAITERS", default_value_t = 4096, value_parser = at_least_one)]
    pub(crate) max_waiters: usize,
    /// Callers that may follow calls or logs at once
    #[arg(long, env = "SKEP_MAX_FOLLOWERS", default_value_t = 128, value_parser = at_least_one)]
    pub(crate) max_followers: usize,
    /// Bytes that may wait in the queue, large bodies not counted; when there are more, calls are refused with 503
    #[arg(long, env = "SKEP_QUEUE_BYTES", default_value = "4GiB", value_parser = parse_size)]
    pub(crate) queue_bytes: u64,
    /// Bytes that may wait for one function, unless its annotation skep.queue.max-bytes sets another limit; when there are more, its calls are refused with 429. By default a quarter of --queue-bytes
    #[arg(long, env = "SKEP_QUEUE_BYTES_PER_FUNCTION", value_parser = parse_size)]
    pub(crate) queue_bytes_per_function: Option<u64>,
    /// A client that reads nothing of an answer for this long is disconnected
    #[arg(long, env = "SKEP_WRITE_TIMEOUT", default_value = "60s", value_parser = duration)]
    pub(crate) write_timeout: Duration,
}

impl LimitArgs {
    /// The limits of a server with this many connections.
    pub(crate) fn of_server(&self, max_connections: usize) -> HttpLimits {
        HttpLimits {
            max_connections,
            max_connections_per_address: self.max_connections_per_address.unwrap_or(max_connections / 4).max(1),
            write_timeout: self.write_timeout,
            ..HttpLimits::default()
        }
    }

    pub(crate) fn of_gateway(&self) -> Limits {
        Limits {
            inflight: self.max_inflight,
            inflight_per_function: self.max_inflight_per_function,
            requests_per_address: self.max_requests_per_address,
            waiters: self.max_waiters,
            followers: self.max_followers,
            queue_bytes: self.queue_bytes,
            queue_bytes_per_function: self.queue_bytes_per_function.unwrap_or(self.queue_bytes / 4).max(1),
        }
    }
}
