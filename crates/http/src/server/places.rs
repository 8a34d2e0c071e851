//! Places for connections.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use crate::{HttpLimits, Readiness, RoleReadiness};

use super::event::{Event, Observer};

/// How often the log says that none is free.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// When none was free for this long, this process should get no more work.
const UNREADY_DELAY: Duration = Duration::from_secs(30);

/// Connections that find none wait until they are accepted, and one address gets no more than its share.
pub(super) struct Places {
    free: Arc<Semaphore>,
    logged_at: Option<Instant>,
    readiness: Option<RoleReadiness>,
    share: usize,
    /// Their connections are not counted.
    proxies: Vec<IpNet>,
    shares: Arc<Shares>,
    share_logged_at: Option<Instant>,
    observe: Observer,
}

/// What a connection holds for as long as it is there.
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    _share: Option<Share>,
}

impl Places {
    pub(super) fn new(
        limits: &HttpLimits,
        proxies: Vec<IpNet>,
        readiness: Option<&Readiness>,
        observe: Observer,
    ) -> Self {
        let readiness = readiness.map(|readiness| readiness.role("connections"));
        readiness.as_ref().inspect(|readiness| readiness.ready());
        let free = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
        let share = limits.max_connections_per_address;
        Self {
            free,
            logged_at: None,
            readiness,
            share,
            proxies,
            shares: Arc::default(),
            share_logged_at: None,
            observe,
        }
    }

    pub(super) fn take_now(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Waits for one.
    pub(super) async fn take(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Some(place) = self.take_now() {
            return Some(place);
        }
        if is_due(&mut self.logged_at) {
            (self.observe)(&Event::ConnectionLimitReached);
        }
        let mut next = std::pin::pin!(Arc::clone(&self.free).acquire_owned());
        if let Ok(place) = timeout(UNREADY_DELAY, next.as_mut()).await {
            return place.ok();
        }
        self.readiness.as_ref().inspect(|readiness| readiness.not_ready());
        let place = next.await.ok();
        self.readiness.as_ref().inspect(|readiness| readiness.ready());
        place
    }

    /// Gives a place to a connection from this address, unless it has its share already.
    ///
    /// A proxy speaks for many callers, so its connections are not counted. Neither are those from this machine: a proxy may run here, and a program that runs here needs no connections to do harm.
    pub(super) fn give(&mut self, place: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        if address.is_loopback() || self.proxies.iter().any(|network| network.contains(&address)) {
            return Some(Place { _place: place, _share: None });
        }
        let address = network_of(address);
        let share = self.shares.take(address, self.share);
        if share.is_none() && is_due(&mut self.share_logged_at) {
            (self.observe)(&Event::AddressLimitReached(address));
        }
        Some(Place { _place: place, _share: Some(share?) })
    }
}

fn is_due(logged_at: &mut Option<Instant>) -> bool {
    let is_due = logged_at.is_none_or(|logged_at| logged_at.elapsed() >= LOG_INTERVAL);
    if is_due {
        *logged_at = Some(Instant::now());
    }
    is_due
}

/// What counts as one address. A host has many addresses of IPv6, so those of one network (/64) are taken together.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        other => other,
    }
}

/// How many connections each address has.
#[derive(Default)]
struct Shares(Mutex<HashMap<IpAddr, usize>>);

struct Share(Arc<Shares>, IpAddr);

impl Shares {
    fn take(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Share> {
        let mut shares = self.lock();
        let taken = shares.get(&address).copied().unwrap_or_default();
        if taken >= most {
            return None;
        }
        shares.insert(address, taken + 1);
        Some(Share(Arc::clone(self), address))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.0.lock();
        if let Some(taken) = shares.get_mut(&self.1) {
            *taken -= 1;
            if *taken == 0 {
                shares.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Readiness;

    fn places(number: usize, share: usize, proxies: &[&str], readiness: Option<&Readiness>) -> Places {
        let limits =
            HttpLimits { max_connections: number, max_connections_per_address: share, ..HttpLimits::default() };
        Places::new(
            &limits,
            proxies.iter().map(|network| network.parse().unwrap()).collect(),
            readiness,
            Arc::new(|_| {}),
        )
    }

    fn given(places: &mut Places, address: &str) -> Option<Place> {
        let place = places.take_now().unwrap();
        places.give(place, address.parse().unwrap())
    }

    #[test]
    fn one_address_gets_its_share_and_no_more_and_neither_this_machine_nor_a_proxy_is_counted() {
        let mut places = places(100, 2, &["192.0.2.128/25", "2001:db8:1::/48"], None);
        let mut held: Vec<_> = (0..2).map(|_| given(&mut places, "192.0.2.1").unwrap()).collect();
        assert!(given(&mut places, "192.0.2.1").is_none() && given(&mut places, "::ffff:192.0.2.1").is_none());
        held.extend(given(&mut places, "192.0.2.2"));
        held.pop();
        held.pop();
        held.push(given(&mut places, "192.0.2.1").expect("one was given back"));
        held.extend(["2001:db8::1", "2001:db8::2"].map(|address| given(&mut places, address).unwrap()));
        assert!(given(&mut places, "2001:db8::3").is_none(), "one host has a whole network");
        held.extend((0..10).map(|_| given(&mut places, "127.0.0.1").unwrap()));
        held.extend((0..10).map(|_| given(&mut places, "::1").unwrap()));
        for proxy in ["192.0.2.200", "::ffff:192.0.2.200", "2001:db8:1::1"] {
            held.extend((0..5).map(|_| given(&mut places, proxy).unwrap()));
        }
        drop(held);
        assert!(places.shares.lock().is_empty());
        assert_eq!(places.free.available_permits(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn when_no_place_has_been_free_for_a_while_the_process_is_not_ready() {
        let readiness = Readiness::default();
        let mut places = places(1, 1, &[], Some(&readiness));
        let only = places.take().await.unwrap();
        assert!(readiness.is_ready());
        assert!(timeout(UNREADY_DELAY - Duration::from_secs(1), places.take()).await.is_err());
        assert!(readiness.is_ready());
        assert!(timeout(UNREADY_DELAY + Duration::from_secs(1), places.take()).await.is_err());
        assert_eq!(readiness.waiting_for(), ["connections"]);
        let free = async {
            tokio::time::sleep(2 * UNREADY_DELAY).await;
            drop(only);
        };
        let (place, ()) = tokio::join!(places.take(), free);
        assert!(place.is_some() && readiness.is_ready());
    }
}
