//! Who has sent what could not be verified, so that nobody tries signatures without end.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use skep_http::network_of;
use tokio::time::Instant;

/// Refused requests of one address in a minute; beyond them, requests of that address are not looked at until the minute is over.
const MAX_REFUSED: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond, the oldest are forgotten.
const MAX_REMEMBERED: usize = 10_000;

#[derive(Default)]
pub(super) struct Refusals {
    /// How many addresses are remembered: nobody waits for the lock while there is none.
    remembered: AtomicUsize,
    addresses: Mutex<HashMap<IpAddr, Refused>>,
}

#[derive(Clone, Copy)]
struct Refused {
    since: Instant,
    count: u32,
}

impl Refusals {
    /// How long nothing of an address is looked at.
    pub(super) fn pause(&self, address: IpAddr) -> Option<Duration> {
        if self.remembered.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = addresses.get(&network_of(address)).filter(|refused| refused.count >= MAX_REFUSED)?;
        (refused.since + WINDOW).checked_duration_since(Instant::now()).filter(|pause| !pause.is_zero())
    }

    /// Something of an address could not be verified.
    pub(super) fn note(&self, address: IpAddr) {
        let now = Instant::now();
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut addresses, now);
        let refused = addresses.entry(network_of(address)).or_insert(Refused { since: now, count: 0 });
        if now.duration_since(refused.since) >= WINDOW {
            *refused = Refused { since: now, count: 0 };
        }
        refused.count = refused.count.saturating_add(1);
        self.remembered.store(addresses.len(), Ordering::Relaxed);
    }
}

/// Forgets what is old, and if that is not enough the oldest.
fn make_room(addresses: &mut HashMap<IpAddr, Refused>, now: Instant) {
    if addresses.len() < MAX_REMEMBERED {
        return;
    }
    addresses.retain(|_, refused| now.duration_since(refused.since) < WINDOW);
    if addresses.len() >= MAX_REMEMBERED
        && let Some(oldest) = addresses.iter().min_by_key(|(_, refused)| refused.since).map(|(address, _)| *address)
    {
        addresses.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn address(last: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + last).into())
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_refused_too_often_is_not_looked_at_for_the_rest_of_the_minute() {
        let refusals = Refusals::default();
        for _ in 0..MAX_REFUSED {
            assert_eq!(refusals.pause(address(1)), None);
            refusals.note(address(1));
        }
        assert_eq!(refusals.pause(address(1)), Some(WINDOW));
        assert_eq!(refusals.pause(address(2)), None);
        advance(WINDOW).await;
        assert_eq!(refusals.pause(address(1)), None);
        refusals.note(address(1));
        assert_eq!(refusals.pause(address(1)), None, "it begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_a_bound() {
        let refusals = Refusals::default();
        for last in 0..u32::try_from(MAX_REMEMBERED).unwrap() + 10 {
            refusals.note(address(last));
        }
        assert_eq!(refusals.remembered.load(Ordering::Relaxed), MAX_REMEMBERED);
    }
}
