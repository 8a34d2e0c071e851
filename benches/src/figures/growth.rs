//! How the cost of a synchronous call grows: with functions, replicas, connections, and the size of its body.

use std::time::Duration;

use anyhow::Result;

use super::many::names;
use crate::{
    bench::Bench,
    http::Target,
    measure::{Reading, Row, alternate, rows},
    platform::{Disk, Platform},
    upstream,
};

const FUNCTIONS: usize = 10_000;
/// So many of them are called: each has connections of its own.
const HOT: usize = 100;
const REPLICAS: usize = 16;
const WINDOW: Duration = Duration::from_millis(1500);
const KIB: usize = 1024;

pub(super) async fn rates(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (_upstream, direct) = upstream::start(bench).await?;
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(Some(direct.address)).await?;
    // One upstream in the place of all replicas: what they cost the gateway is to choose, and connections for each.
    platform.register_replicas("replicated", &[direct.address; REPLICAS]).await?;
    let names = names(FUNCTIONS);
    platform.register_all(&names, Some(direct.address)).await?;

    let one = platform.synchronous();
    let hot = platform.synchronous_of_all(names.get(..HOT).unwrap_or_default());
    let replicated = platform.synchronous_of("replicated");
    let mut all = compared(bench, name, 64, ("10,000", hot), ("1 function", one.clone())).await?;
    all.extend(compared(bench, "sync_16_replicas_rps", 64, ("16", replicated), ("1 replica", one.clone())).await?);
    all.extend(compared(bench, "sync_c1024_rps", 1024, ("skep", one.clone()), ("direct", direct.clone())).await?);
    for (name, size) in [("sync_64k_body_rps", 64 * KIB), ("sync_1m_body_rps", KIB * KIB)] {
        let (skep, direct) = (one.clone().with_body(size), direct.clone().with_body(size));
        all.extend(compared(bench, name, 16, ("skep", skep), ("direct", direct)).await?);
    }
    Ok(all)
}

async fn compared(
    bench: &Bench,
    name: &str,
    connections: usize,
    value: (&'static str, Target),
    baseline: (&'static str, Target),
) -> Result<Vec<Row>> {
    let sides = alternate(name, &[value, baseline], bench.runs, (connections, WINDOW), Reading::PerSecond).await?;
    Ok(rows(name, "1/s", sides))
}
