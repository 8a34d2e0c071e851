//! Who has sent what could not be verified, so that nobody tries signatures without end.

use std::{net::IpAddr, time::Duration};

use tokio::time::Instant;

use crate::addresses::{Addresses, Past};

/// Refused requests of one address in a minute; beyond them, requests of that address are not looked at until the minute is over.
const MAX_REFUSED: u32 = 60;

#[derive(Default)]
pub(super) struct Refusals(Addresses<Refused>);

#[derive(Clone, Copy)]
struct Refused {
    since: Instant,
    count: u32,
}

impl Past for Refused {
    const TTL: Duration = Duration::from_secs(60);
    const MAX_REMEMBERED: usize = 10_000;

    fn since(&self) -> Instant {
        self.since
    }
}

impl Refusals {
    /// How long nothing of an address is looked at.
    pub(super) fn pause(&self, address: IpAddr) -> Option<Duration> {
        let refused = self.0.look(address, |refused| *refused).filter(|refused| refused.count >= MAX_REFUSED)?;
        (refused.since + Refused::TTL).checked_duration_since(Instant::now()).filter(|pause| !pause.is_zero())
    }

    /// Something of an address could not be verified.
    pub(super) fn note(&self, address: IpAddr) {
        let new = Refused { since: Instant::now(), count: 0 };
        self.0.note(address, new, |refused| refused.count = refused.count.saturating_add(1));
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
        assert_eq!(refusals.pause(address(1)), Some(Refused::TTL));
        assert_eq!(refusals.pause(address(2)), None);
        advance(Refused::TTL).await;
        assert_eq!(refusals.pause(address(1)), None);
        refusals.note(address(1));
        assert_eq!(refusals.pause(address(1)), None, "it begins anew");
    }
}
