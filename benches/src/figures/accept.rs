//! Calls that are stored and answered 202, against raw JetStream publishes of the same messages to an equal stream of the same server.

use std::time::Duration;

use anyhow::Result;

use crate::{
    bench::Bench,
    load,
    measure::{Row, Side, rows, tell},
    platform::{Disk, Platform},
    publisher::Publisher,
};

const CONNECTIONS: usize = 64;
const WINDOW: Duration = Duration::from_millis(1500);

/// There is no queue-worker and no replica, so nothing is taken off the queue meanwhile.
pub(super) async fn rate(bench: &Bench, name: &str, disk: Disk) -> Result<Vec<Row>> {
    let platform = Platform::start(bench, disk).await?;
    platform.register(None).await?;
    let target = platform.asynchronous();
    load::run(&target, CONNECTIONS, WINDOW / 2).await?;
    let queue = platform.stream("INVOKE").await?;
    let publisher = Publisher::like(&platform.jetstream, &queue).await?;
    publisher.per_second(WINDOW / 2).await?;
    publisher.batched_per_second(WINDOW / 2).await?;
    let mut sides = [Side::new("skep"), Side::new("publish"), Side::new("batch")];
    for run in 1..=bench.runs {
        let [skep, raw, batch] = &mut sides;
        queue.purge().await?;
        skep.values.push(load::run(&target, CONNECTIONS, WINDOW).await?.per_second());
        queue.purge().await?;
        raw.values.push(publisher.per_second(WINDOW).await?);
        publisher.stream.purge().await?;
        batch.values.push(publisher.batched_per_second(WINDOW).await?);
        publisher.stream.purge().await?;
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "1/s", sides.into()))
}

/// One call after the other.
pub(super) async fn latency(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(None).await?;
    let target = platform.asynchronous();
    load::run(&target, 1, WINDOW / 2).await?;
    let queue = platform.stream("INVOKE").await?;
    let publisher = Publisher::like(&platform.jetstream, &queue).await?;
    publisher.p50_us(WINDOW / 2).await?;
    let mut sides = [Side::new("skep"), Side::new("publish")];
    for run in 1..=bench.runs {
        let [skep, raw] = &mut sides;
        skep.values.push(load::run(&target, 1, WINDOW).await?.quantile_us(0.5));
        raw.values.push(publisher.p50_us(WINDOW).await?);
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "µs", sides.into()))
}
