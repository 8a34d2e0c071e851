//! A disk that takes no more: nothing is accepted that it does not have, and when it is well again all goes on.

use std::{collections::BTreeSet, time::Instant};

use futures_util::future::join_all;

use crate::harness::{Disk, Function, Program, Site, wait_until};

/// `skep up` with all its data on a disk.
async fn start() -> (Disk, Site, Program) {
    let disk = Disk::mount();
    let mut site = Site::new([Function::cat()]);
    site.data = disk.folder().join("data");
    let up = site.up(&[]).await;
    (disk, site, up)
}

/// Queues calls until one is refused; the ids of those that were not.
async fn queue_until_refused(site: &Site, name: &str) -> BTreeSet<String> {
    let mut accepted = BTreeSet::new();
    wait_until("a call is refused", async || {
        let id = format!("{name}-{}", accepted.len());
        let answer = site.gateway.queue_as(&id, "cat", "x".repeat(1000)).await;
        if answer.status == 202 {
            accepted.insert(id);
            return false;
        }
        answer.assert_refused(503);
        assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        true
    })
    .await;
    accepted
}

async fn all_goes_on(site: &Site, accepted: &BTreeSet<String>) {
    wait_until("calls are accepted again", async || site.gateway.queue_as("after", "cat", "x").await.status == 202)
        .await;
    for id in accepted.iter().map(String::as_str).chain(["after"]) {
        assert_eq!(site.gateway.finished(id).await["state"], "succeeded");
    }
}

#[tokio::test]
async fn a_full_disk_is_refused_at_the_door_and_all_goes_on_when_there_is_space() {
    let (disk, site, up) = start().await;
    let early = site.gateway.queue("cat", "x").await;
    assert_eq!(site.gateway.finished(&early).await["state"], "succeeded");
    disk.fill();
    let accepted = queue_until_refused(&site, "full").await;
    assert_eq!(site.gateway.call("cat", "still").await.text(), "still", "synchronous calls need no disk");
    // One caller tries; the others do not wait for a timeout each.
    let began = Instant::now();
    let gateway = &site.gateway;
    let refused = join_all((0..20).map(|number| {
        let id = format!("refused-{number}");
        async move { (gateway.queue_as(&id, "cat", "x".repeat(1000)).await.status, began.elapsed()) }
    }));
    let (statuses, times): (Vec<_>, Vec<_>) = refused.await.into_iter().unzip();
    assert_eq!(statuses, [503; 20]);
    let waited = times.iter().filter(|time| time.as_secs() >= 1).count();
    eprintln!("of twenty refused calls {waited} had to wait");
    disk.free();
    all_goes_on(&site, &accepted).await;
    assert!(up.stderr().contains("nats-server is started again"), "{}", up.stderr());
}

#[tokio::test]
async fn a_disk_that_does_not_sync_is_refused_at_the_door() {
    let (disk, site, _up) = start().await;
    disk.fail_syncs(true);
    let accepted = queue_until_refused(&site, "unsynced").await;
    assert!(accepted.is_empty(), "what was not synced is not acknowledged: {accepted:?}");
    disk.fail_syncs(false);
    all_goes_on(&site, &accepted).await;
}
