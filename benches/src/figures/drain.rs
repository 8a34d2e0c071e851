//! Queued calls until the result of each is stored, against raw JetStream publishes of as many results.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::jetstream::stream::Stream;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    bench::Bench,
    http::Target,
    load,
    measure::{Row, Side, rows, tell},
    platform::{Disk, Platform},
    publisher::Publisher,
    watchdog,
};

const CALLS: u64 = 10_000;
const WARM_UP: u64 = 1_000;
const CONNECTIONS: usize = 64;
const DRAINED_WITHIN: Duration = Duration::from_secs(60);
/// On a slow disk a run takes long; no further run begins after this much for each that was asked for.
const BUDGET_OF_A_RUN: Duration = Duration::from_secs(18);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A queue that is filled and drained.
pub(super) struct Drain<'bench> {
    bench: &'bench Bench,
    platform: &'bench Platform,
    target: Target,
    /// How many results a request has.
    results_each: u64,
    /// What is emptied before each run.
    queues: Vec<Stream>,
    results: Stream,
}

pub(super) async fn rate(bench: &Bench, name: &str, disk: Disk) -> Result<Vec<Row>> {
    let (_watchdog, function) = watchdog::http(bench, &[]).await?;
    let platform = Platform::start(bench, disk).await?;
    platform.register(Some(function.address)).await?;
    let drain = Drain::of(bench, &platform, platform.asynchronous()).await?;
    let publisher = Publisher::like(&platform.jetstream, &drain.results).await?;
    let mut sides = [Side::new("skep"), Side::new("publish")];
    let started = Instant::now();
    for run in 1..=bench.runs {
        let [skep, raw] = &mut sides;
        skep.values.push(drain.per_second().await?);
        raw.values.push(publisher.rate_of(CALLS).await?);
        publisher.stream.purge().await?;
        tell(name, run, bench.runs, &sides);
        if started.elapsed() > BUDGET_OF_A_RUN.saturating_mul(u32::try_from(bench.runs)?) {
            break;
        }
    }
    Ok(rows(name, "1/s", sides.into()))
}

impl<'bench> Drain<'bench> {
    /// Drains a few calls at first.
    pub(super) async fn of(bench: &'bench Bench, platform: &'bench Platform, target: Target) -> Result<Self> {
        let (queue, results) = (platform.stream("INVOKE").await?, platform.stream("CALLS").await?);
        let drain = Self { bench, platform, target, results_each: 1, queues: vec![queue], results };
        drain.run(WARM_UP).await?;
        Ok(drain)
    }

    /// The same of events with several routes each.
    pub(super) async fn of_events(
        bench: &'bench Bench,
        platform: &'bench Platform,
        target: Target,
        routes: u64,
    ) -> Result<Self> {
        let (queue, results) = (platform.stream("INVOKE").await?, platform.stream("CALLS").await?);
        let queues = vec![platform.stream("EVENTS").await?, queue];
        let drain = Self { bench, platform, target, results_each: routes, queues, results };
        drain.run(WARM_UP).await?;
        Ok(drain)
    }

    /// Calls that are finished in a second.
    pub(super) async fn per_second(&self) -> Result<f64> {
        self.run(CALLS).await
    }

    /// Queues calls while there is no queue-worker, or events that have as many, then starts one.
    async fn run(&self, calls: u64) -> Result<f64> {
        for queue in &self.queues {
            queue.purge().await?;
        }
        self.results.purge().await?;
        let requests = calls / self.results_each;
        let calls = requests * self.results_each;
        load::send(&self.target, CONNECTIONS, usize::try_from(requests)?).await?;
        let drained = self.drained(calls);
        let worker = self.platform.start_worker(self.bench);
        let (_worker, rate) = tokio::try_join!(worker, drained)?;
        Ok(rate)
    }

    /// From the first result that is seen to the last, so that the start of the worker does not count.
    async fn drained(&self, calls: u64) -> Result<f64> {
        let wait = async {
            let (first, began) = self.more_than(0).await?;
            let (last, ended) = self.more_than(calls - 1).await?;
            if last != calls {
                bail!("{last} results of {calls} calls");
            }
            Ok((last - first) as f64 / (ended - began).as_secs_f64())
        };
        timeout(DRAINED_WITHIN, wait)
            .await
            .with_context(|| format!("the queue was not drained within {DRAINED_WITHIN:?}"))?
    }

    /// Waits for more stored results than these; how many there were then, and when.
    async fn more_than(&self, number: u64) -> Result<(u64, Instant)> {
        loop {
            let stored = self.results.get_info().await?.state.messages;
            if stored > number {
                return Ok((stored, Instant::now()));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}
