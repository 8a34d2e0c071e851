//! The rate of synchronous calls of a gateway that sends spans, against one that sends none.

use std::time::Duration;

use anyhow::Result;

use crate::{
    bench::Bench,
    measure::{Reading, Row, alternate, rows},
    platform::{Disk, Platform},
    upstream,
};

const WINDOW: Duration = Duration::from_millis(1500);

/// As skep samples by itself: one trace in a hundred.
pub(super) async fn usual(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    measure(bench, name, "parentbased_traceidratio").await
}

/// Every call.
pub(super) async fn all(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    measure(bench, name, "always_on").await
}

async fn measure(bench: &Bench, name: &str, sampler: &str) -> Result<Vec<Row>> {
    let (_upstream, direct) = upstream::start(bench).await?;
    // It reads each batch and answers 200, so that the measured work is skep's.
    let (_collector, collector) = upstream::start(bench).await?;
    let endpoint = format!("http://{}", collector.address);
    let settings = ["--otlp-endpoint", &endpoint, "--trace-sampler", sampler].map(str::to_owned);
    let traced = Platform::start_with(bench, Disk::Synced, &settings).await?;
    let untraced = Platform::start(bench, Disk::Synced).await?;
    for platform in [&traced, &untraced] {
        platform.register(Some(direct.address)).await?;
    }
    let targets = [("traced", traced.synchronous()), ("untraced", untraced.synchronous())];
    let sides = alternate(name, &targets, bench.runs, (64, WINDOW), Reading::PerSecond).await?;
    Ok(rows(name, "1/s", sides))
}
