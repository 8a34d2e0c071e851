//! What is remembered of addresses whose senders have failed to prove who they are. It has a bound, because anybody can send.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use skep_http::network_of;
use tokio::time::Instant;

/// What is remembered of one address.
pub(crate) trait Past {
    /// It is forgotten this long after its time.
    const TTL: Duration;
    /// Addresses that are remembered; beyond, those with the oldest times are forgotten first.
    const MAX_REMEMBERED: usize;

    /// The time from which it counts.
    fn since(&self) -> Instant;
}

/// Addresses of one network are one.
pub(crate) struct Addresses<P> {
    /// How many are remembered: nobody waits for the lock while there is none.
    remembered: AtomicUsize,
    known: Mutex<HashMap<IpAddr, P>>,
}

impl<P> Default for Addresses<P> {
    fn default() -> Self {
        Self { remembered: AtomicUsize::new(0), known: Mutex::default() }
    }
}

impl<P: Past> Addresses<P> {
    /// What is remembered of an address, if it is.
    pub(crate) fn look<T>(&self, address: IpAddr, look: impl FnOnce(&P) -> T) -> Option<T> {
        if self.remembered() == 0 {
            return None;
        }
        self.known().get(&network_of(address)).map(look)
    }

    /// Changes what is remembered of an address, which begins with `new`; what is too old begins anew.
    pub(crate) fn note<T>(&self, address: IpAddr, new: P, change: impl FnOnce(&mut P) -> T) -> T {
        let now = Instant::now();
        let mut known = self.known();
        make_room(&mut known, now);
        let changed = match known.entry(network_of(address)) {
            Entry::Occupied(past) if !is_old(past.get(), now) => change(past.into_mut()),
            entry => change(entry.insert_entry(new).into_mut()),
        };
        self.remembered.store(known.len(), Ordering::Relaxed);
        changed
    }

    pub(crate) fn forget(&self, address: IpAddr) {
        if self.remembered() == 0 {
            return;
        }
        let mut known = self.known();
        known.remove(&network_of(address));
        self.remembered.store(known.len(), Ordering::Relaxed);
    }

    fn remembered(&self) -> usize {
        self.remembered.load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<IpAddr, P>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_old<P: Past>(past: &P, now: Instant) -> bool {
    now.duration_since(past.since()) >= P::TTL
}

/// Forgets what is old, and if that is not enough the oldest.
fn make_room<P: Past>(known: &mut HashMap<IpAddr, P>, now: Instant) {
    if known.len() < P::MAX_REMEMBERED {
        return;
    }
    known.retain(|_, past| !is_old(past, now));
    if known.len() >= P::MAX_REMEMBERED
        && let Some(oldest) = known.iter().min_by_key(|(_, past)| past.since()).map(|(address, _)| *address)
    {
        known.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Seen(Instant);

    impl Past for Seen {
        const TTL: Duration = Duration::from_secs(60);
        const MAX_REMEMBERED: usize = 100;

        fn since(&self) -> Instant {
            self.0
        }
    }

    fn address(last: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + last).into())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_a_bound_and_ends() {
        let addresses = Addresses::default();
        for last in 0..110 {
            addresses.note(address(last), Seen(Instant::now()), |_| ());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(addresses.remembered(), Seen::MAX_REMEMBERED);
        assert!(addresses.look(address(0), |_| ()).is_none() && addresses.look(address(109), |_| ()).is_some());
        addresses.forget(address(109));
        assert!(addresses.look(address(109), |_| ()).is_none());
        let began = addresses.look(address(108), |seen| seen.0).unwrap();
        tokio::time::advance(Seen::TTL).await;
        addresses.note(address(108), Seen(Instant::now()), |seen| assert_ne!(seen.0, began));
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
