//! Looks after the images that skep keeps, while this controller leads: removes those that no function and no version of one needs.

use std::{collections::HashSet, time::Duration};

use skep_bus::{ControllerBus, Result};
use skep_protocol::Digest;
use tokio::time::sleep;
use tracing::{info, warn};

const MAX_INTERVAL: Duration = Duration::from_secs(600);
const DIGEST: &str = "sha256:";
const DIGEST_LENGTH: usize = DIGEST.len() + 64;

/// Looks again and again, until it is dropped.
pub(crate) async fn run(bus: ControllerBus, keep: Duration) {
    loop {
        sleep((keep / 4).min(MAX_INTERVAL)).await;
        match sweep(&bus, keep).await {
            Ok(()) => {}
            Err(error) => warn!(error = error.chain(), "images cannot be swept; trying again"),
        }
    }
}

async fn sweep(bus: &ControllerBus, keep: Duration) -> Result<()> {
    let mut needed = HashSet::new();
    for (name, record) in bus.registry.functions().await? {
        note(&mut needed, &record);
        for version in bus.versions.of(&name).await? {
            note(&mut needed, &version);
        }
    }
    let swept = bus.images.sweep(&needed, keep).await?;
    if swept != skep_bus::Swept::default() {
        info!(images = swept.manifests, blobs = swept.blobs, "images that nothing needs were removed");
    }
    Ok(())
}

/// Notes each digest that a record has anywhere: what is kept too long does less harm than what is removed too early.
fn note(needed: &mut HashSet<Digest>, record: &impl serde::Serialize) {
    let text = serde_json::to_string(record).unwrap_or_default();
    let found = text.match_indices(DIGEST).filter_map(|(at, _)| text.get(at..at + DIGEST_LENGTH)?.parse().ok());
    needed.extend(found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_digest_of_a_record_is_needed() {
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        let mut needed = HashSet::new();
        let image = format!("127.0.0.1:5757/f@{}", digest("a"));
        note(&mut needed, &serde_json::json!({ "image": image, "canary": { "image": digest("b") }, "x": "sha256:a" }));
        let expected = ["a", "b"].map(|letter| digest(letter).parse().unwrap());
        assert_eq!(needed, HashSet::from(expected));
    }
}
