//! Limits the requests per second of an address, so that no single client takes all of a gateway.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, MonotonicClock},
    middleware::NoOpMiddleware,
    state::keyed::DashMapStateStore,
};
use http::HeaderMap;
use prometheus::{IntCounter, Registry};
use skep_http::{Peer, network_of};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{Error, Result, forwarded::TrustedProxies};

/// An address may save up the requests of this many seconds.
/// After about as long without a request it is like any other and is forgotten, so the map holds no more than the addresses of the last few seconds.
const BURST_SECONDS: u32 = 2;
const FORGET_INTERVAL: Duration = Duration::from_secs(1);
const WARN_INTERVAL: Duration = Duration::from_secs(60);

const REFUSED: (&str, &str) = (
    "gateway_rate_limited_requests_total",
    "Requests that were refused because their address made more than --max-requests-per-address permits.",
);

/// A token bucket for each address.
pub(crate) struct Rates<C: Clock = MonotonicClock> {
    buckets: RateLimiter<IpAddr, DashMapStateStore<IpAddr>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    rate: NonZeroU32,
    proxies: TrustedProxies,
    refused: IntCounter,
    warned_at: Mutex<Option<Instant>>,
}

impl Rates {
    /// `None` where the rate is 0, for no limit.
    pub(crate) fn register(
        rate: u32,
        proxies: &TrustedProxies,
        registry: &Registry,
    ) -> prometheus::Result<Option<Self>> {
        let Some(rate) = NonZeroU32::new(rate) else { return Ok(None) };
        let rates = Self::new(rate, proxies.clone(), MonotonicClock)?;
        registry.register(Box::new(rates.refused.clone()))?;
        Ok(Some(rates))
    }

    /// Forgets the addresses that make no requests any more, until shutdown.
    pub(crate) async fn follow(&self, shutdown: &CancellationToken) {
        while shutdown.run_until_cancelled(sleep(FORGET_INTERVAL)).await.is_some() {
            self.forget();
        }
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn new(rate: NonZeroU32, proxies: TrustedProxies, clock: C) -> prometheus::Result<Self> {
        let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
        let quota = Quota::per_second(rate).allow_burst(burst);
        Ok(Self {
            buckets: RateLimiter::dashmap_with_clock(quota, clock.clone()),
            clock,
            rate,
            proxies,
            refused: IntCounter::new(REFUSED.0, REFUSED.1)?,
            warned_at: Mutex::default(),
        })
    }

    /// Refuses a request whose address has made too many.
    pub(crate) fn admit(&self, peer: &Peer, headers: &HeaderMap) -> Result<()> {
        let Some(caller) = self.proxies.caller(peer, headers) else { return Ok(()) };
        let address = network_of(caller);
        let Err(until) = self.buckets.check_key(&address) else { return Ok(()) };
        self.refused.inc();
        self.warn(address);
        let wait = until.wait_time_from(self.clock.now());
        Err(Error::TooManyRequests { address: caller, limit: self.rate.get(), wait })
    }

    fn warn(&self, address: IpAddr) {
        let mut warned_at = self.warned_at.lock().unwrap_or_else(PoisonError::into_inner);
        if warned_at.is_none_or(|at| at.elapsed() >= WARN_INTERVAL) {
            *warned_at = Some(Instant::now());
            warn!(%address, limit = self.rate, "one address makes more requests than it may, so some are refused (--max-requests-per-address)");
        }
    }

    fn forget(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;
    use http::HeaderValue;
    use skep_protocol::headers::FORWARDED_FOR;

    use super::*;

    fn rates(rate: u32, proxies: &str) -> Rates<FakeRelativeClock> {
        Rates::new(rate.try_into().unwrap(), proxies.parse().unwrap(), FakeRelativeClock::default()).unwrap()
    }

    fn admit(rates: &Rates<FakeRelativeClock>, address: &str, forwarded: Option<&str>) -> Result<()> {
        let peer = Peer::new((address.parse::<IpAddr>().unwrap(), 4711).into(), false);
        let headers = forwarded.map(|list| (FORWARDED_FOR, HeaderValue::from_str(list).unwrap()));
        rates.admit(&peer, &headers.into_iter().collect())
    }

    /// How many of many requests are taken.
    fn taken(rates: &Rates<FakeRelativeClock>, address: &str, forwarded: Option<&str>) -> usize {
        (0..100).filter(|_| admit(rates, address, forwarded).is_ok()).count()
    }

    #[test]
    fn an_address_makes_as_many_requests_as_its_rate_and_may_save_some_up() {
        let rates = rates(10, "loopback");
        assert_eq!(taken(&rates, "192.0.2.1", None), 20);
        assert_eq!(taken(&rates, "192.0.2.2", None), 20, "another address has requests of its own");
        let Err(Error::TooManyRequests { limit: 10, wait, .. }) = admit(&rates, "192.0.2.1", None) else { panic!() };
        assert_eq!(wait, Duration::from_millis(100));
        rates.clock.advance(Duration::from_secs(1));
        assert_eq!(taken(&rates, "192.0.2.1", None), 10);
        rates.clock.advance(Duration::from_secs(60));
        assert_eq!(taken(&rates, "192.0.2.1", None), 20);
        assert_eq!(rates.refused.get(), 80 + 80 + 1 + 90 + 80);
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one() {
        let rates = rates(10, "loopback");
        assert_eq!(taken(&rates, "2001:db8::1", None), 20);
        assert_eq!(taken(&rates, "2001:db8::2", None), 0);
        assert_eq!(taken(&rates, "2001:db8:0:1::2", None), 20);
    }

    #[test]
    fn what_a_trusted_proxy_passes_on_counts_for_its_caller() {
        let rates = rates(10, "loopback,10.0.0.0/8");
        assert_eq!(taken(&rates, "127.0.0.1", None) + taken(&rates, "::1", None), 200);
        assert_eq!(taken(&rates, "10.0.0.1", None), 100);
        assert_eq!(taken(&rates, "10.0.0.1", Some("192.0.2.1")), 20);
        assert_eq!(taken(&rates, "127.0.0.1", Some("192.0.2.9, 192.0.2.1, 10.0.0.2")), 0);
        assert_eq!(taken(&rates, "192.0.2.1", None), 0);
        assert_eq!(taken(&rates, "192.0.2.3", Some("192.0.2.4")), 20, "nobody else is believed");
        assert_eq!(taken(&rates, "192.0.2.3", Some("192.0.2.5")), 0);
        let untrusting = super::tests::rates(10, "none");
        assert_eq!(taken(&untrusting, "127.0.0.1", Some("192.0.2.1")), 100, "this machine is never counted");
    }

    #[test]
    fn an_address_is_forgotten_when_it_has_been_silent_for_as_long_as_a_burst() {
        let rates = rates(10, "loopback");
        for last in 0..10_000_u32 {
            admit(&rates, &IpAddr::V4((0xc000_0000 + last).into()).to_string(), None).unwrap();
        }
        taken(&rates, "198.51.100.1", None);
        assert_eq!(rates.buckets.len(), 10_001);
        rates.clock.advance(Duration::from_millis(200));
        rates.forget();
        assert_eq!(rates.buckets.len(), 1);
        rates.clock.advance(Duration::from_secs(BURST_SECONDS.into()));
        rates.forget();
        assert!(rates.buckets.is_empty());
    }
}
