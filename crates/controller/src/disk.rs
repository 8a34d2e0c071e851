//! Tells when a stream, or what the NATS server may store, is nearly full.

use std::{collections::HashMap, sync::Arc, time::Duration};

use skep_bus::{Fullness, Housekeeping};
use skep_own_events::OwnEvents;
use skep_sources::{Fact, OwnEvent};
use tokio::time::sleep;
use tracing::{debug, warn};

const INTERVAL: Duration = Duration::from_secs(30);
/// In percent, the highest first.
const THRESHOLDS: [u64; 2] = [95, 80];
/// Below this share it counts as emptied, and an event is made when it passes a threshold again.
const EMPTIED: u64 = 70;

/// Looks again and again, until it is dropped.
pub(crate) async fn run(bus: Housekeeping, own_events: Arc<OwnEvents>) {
    let mut reported = HashMap::new();
    loop {
        if own_events.are_wanted(OwnEvent::Disk) {
            match bus.fullness().await {
                Ok(found) => report(&own_events, &found, &mut reported).await,
                Err(error) => debug!(error = error.chain(), "it is not known how full the streams are"),
            }
        }
        sleep(INTERVAL).await;
    }
}

async fn report(own_events: &OwnEvents, found: &[Fullness], reported: &mut HashMap<String, u64>) {
    for Fullness { what, bytes, limit } in found {
        let Some(percent) = passed(*bytes, *limit, reported.get(what).copied()) else { continue };
        if percent == 0 {
            reported.remove(what);
            continue;
        }
        let day = skep_bus::now().unix_timestamp() / 86_400;
        let fact = Fact::Disk { what: what.clone(), bytes: *bytes, limit: *limit, percent, day };
        warn!(what, bytes, limit, percent, "a stream or the storage of NATS is nearly full");
        if own_events.publish(&fact).await.is_ok() {
            reported.insert(what.clone(), percent);
        }
    }
}

/// The threshold to report now; 0 if it has emptied.
fn passed(bytes: u64, limit: u64, reported: Option<u64>) -> Option<u64> {
    let percent = bytes.saturating_mul(100).checked_div(limit)?;
    let threshold = THRESHOLDS.into_iter().find(|threshold| percent >= *threshold);
    match (threshold, reported) {
        (Some(threshold), reported) if reported.is_none_or(|reported| reported < threshold) => Some(threshold),
        (None, Some(_)) if percent < EMPTIED => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::passed;

    #[test]
    fn each_threshold_is_told_once_until_it_has_emptied() {
        for (bytes, reported, expected) in [
            (79, None, None),
            (80, None, Some(80)),
            (94, Some(80), None),
            (96, Some(80), Some(95)),
            (96, None, Some(95)),
            (85, Some(95), None),
            (75, Some(80), None),
            (69, Some(80), Some(0)),
            (69, None, None),
        ] {
            assert_eq!(passed(bytes, 100, reported), expected, "{bytes} {reported:?}");
        }
        assert_eq!(passed(1, 0, None), None);
    }
}
