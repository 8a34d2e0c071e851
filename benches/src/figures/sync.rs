//! A synchronous call through the gateway to the trivial upstream, against the upstream itself, and against nginx and a relay before it; and the whole way, with a watchdog between.

use std::time::Duration;

use anyhow::Result;

use crate::{
    bench::Bench,
    measure::{Reading, Row, alternate, rows},
    nginx,
    platform::{Disk, Platform},
    relay, upstream, watchdog,
};

const WINDOW: Duration = Duration::from_millis(1500);

pub(super) async fn latency(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    measure(bench, name, "µs", 1, Reading::P50Micros).await
}

pub(super) async fn rate(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    measure(bench, name, "1/s", 64, Reading::PerSecond).await
}

pub(super) async fn tail(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    measure(bench, name, "µs", 64, Reading::P99Micros).await
}

/// Gateway, watchdog in http mode and upstream, against nginx twice in a row.
pub(super) async fn end_to_end(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (_upstream, direct) = upstream::start(bench).await?;
    let (_watchdog, function) = watchdog::http(bench, &[]).await?;
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(Some(function.address)).await?;
    let inner = nginx::start(bench, direct.address).await?;
    let outer = match &inner {
        Some((_, inner)) => nginx::start(bench, inner.address).await?,
        None => None,
    };
    let mut targets = vec![("skep", platform.synchronous()), ("direct", direct)];
    targets.extend(outer.iter().map(|(_, target)| ("nginx", target.clone())));
    let sides = alternate(name, &targets, bench.runs, (16, WINDOW), Reading::PerSecond).await?;
    Ok(rows(name, "1/s", sides))
}

async fn measure(
    bench: &Bench,
    name: &str,
    unit: &'static str,
    connections: usize,
    reading: Reading,
) -> Result<Vec<Row>> {
    let (_upstream, direct) = upstream::start(bench).await?;
    let nginx = nginx::start(bench, direct.address).await?;
    // Its threads, two for each connection, would be in each other's way.
    let relay = if connections == 1 { Some(relay::start(bench, direct.address).await?) } else { None };
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(Some(direct.address)).await?;
    let mut targets = vec![("skep", platform.synchronous()), ("direct", direct)];
    targets.extend(nginx.iter().map(|(_, target)| ("nginx", target.clone())));
    targets.extend(relay.iter().map(|(_, target)| ("relay", target.clone())));
    let sides = alternate(name, &targets, bench.runs, (connections, WINDOW), reading).await?;
    Ok(rows(name, unit, sides))
}
