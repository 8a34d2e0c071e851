//! A queued call until its function starts, and until the caller has the result; against one publish that is stored and a process that is started for the same bytes.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use tokio::task::spawn_blocking;

use crate::{
    bench::Bench,
    clock, load,
    load::BODY,
    measure::{Row, Side, rows, tell},
    paced::{Connection, request},
    platform::{Disk, FUNCTION, Platform},
    publisher::Publisher,
    spawn::Raw,
    watchdog,
};

/// The sides take turns: so many calls of each, and so many turns in a run.
const CALLS: usize = 60;
const TURNS: usize = 5;
/// Between two calls: another process is started beforehand meanwhile.
const PAUSE: Duration = Duration::from_millis(10);
const NAMES: [&str; 4] = ["async_started_p50_us", "async_started_p99_us", "async_result_p50_us", "async_result_p99_us"];

/// How long calls took, in nanoseconds.
struct Took {
    to_start: Histogram<u64>,
    to_result: Histogram<u64>,
}

/// What one caller needs.
struct Caller {
    connection: Connection,
    /// Calls that were made.
    made: usize,
}

pub(super) async fn latency(bench: &Bench) -> Result<Vec<Row>> {
    let (_watchdog, function) = watchdog::prefork_clock(bench).await?;
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(Some(function.address)).await?;
    let target = platform.asynchronous();
    load::send(&target, 1, 1).await?;
    let queue = platform.stream("INVOKE").await?;
    let publisher = Publisher::like(&platform.jetstream, &queue).await?;
    queue.purge().await?;
    let _worker = platform.start_worker(bench).await?;
    let raw = Raw::new(&bench.programs.own, vec!["clock".into()]);
    let mut caller = Caller { connection: Connection::open(target.address)?, made: 0 };
    let mut sides = NAMES.map(|_| [Side::new("skep"), Side::new("publish, spawn")]);
    // The first run is a warm-up.
    for run in 0..=bench.runs {
        let (mut of_skep, mut of_raw) = (Took::nothing()?, Took::nothing()?);
        for _ in 0..TURNS {
            (caller, of_skep) = spawn_blocking(move || caller.calls(of_skep)).await??;
            for _ in 0..CALLS {
                publish_and_spawn(&publisher, &raw, &mut of_raw).await?;
            }
        }
        if run == 0 {
            continue;
        }
        let readings = of_skep.readings().into_iter().zip(of_raw.readings());
        for ((name, [skep, raw]), (of_skep, of_raw)) in NAMES.iter().zip(&mut sides).zip(readings) {
            skep.values.push(of_skep);
            raw.values.push(of_raw);
            tell(name, run, bench.runs, [&*skep, &*raw]);
        }
    }
    Ok(NAMES.into_iter().zip(sides).flat_map(|(name, sides)| rows(name, "µs", sides.into())).collect())
}

impl Caller {
    /// Some calls, one after the other.
    fn calls(mut self, mut took: Took) -> Result<(Self, Took)> {
        for _ in 0..CALLS {
            self.call(&mut took)?;
            thread::sleep(PAUSE);
        }
        Ok((self, took))
    }

    /// Queues a call, and asks for its result at once.
    fn call(&mut self, took: &mut Took) -> Result<()> {
        self.made += 1;
        let id = format!("bench-{}", self.made);
        let call = request("POST", &format!("/async-function/{FUNCTION}"), &format!("X-Call-Id: {id}\r\n"), &BODY);
        let ask = request("GET", &format!("/system/calls/{id}/result?wait=30s"), "", b"");
        let sent = clock::now_ns()?;
        self.connection.exchange(&call, "202")?;
        let answer = self.connection.exchange(&ask, "200")?;
        let answered = clock::now_ns()?;
        took.add(sent, clock::reported(&answer)?, answered)
    }
}

/// Stores a message, and then starts the program for the same bytes.
async fn publish_and_spawn(publisher: &Publisher, raw: &Raw, took: &mut Took) -> Result<()> {
    let sent = publisher.publish_one().await?;
    let stored = u64::try_from(sent.elapsed().as_nanos())?;
    let raw = raw.clone();
    let (begun, started, ended) = spawn_blocking(move || {
        let begun = clock::now_ns()?;
        let answer = raw.answer()?;
        let ended = clock::now_ns()?;
        let started = clock::reported(&answer)?;
        thread::sleep(PAUSE);
        anyhow::Ok((begun, started, ended))
    })
    .await??;
    took.add(begun.saturating_sub(stored), started, ended)
}

impl Took {
    fn nothing() -> Result<Self> {
        Ok(Self { to_start: Histogram::new(3)?, to_result: Histogram::new(3)? })
    }

    fn add(&mut self, sent: u64, started: u64, ended: u64) -> Result<()> {
        ensure!(sent < started && started < ended, "the function's clock is not this one: {sent} {started} {ended}");
        self.to_start.record(started - sent)?;
        self.to_result.record(ended - sent)?;
        Ok(())
    }

    /// In the order of [`NAMES`], in microseconds.
    fn readings(&self) -> [f64; 4] {
        let us = |took: &Histogram<u64>, quantile| took.value_at_quantile(quantile) as f64 / 1000.0;
        [us(&self.to_start, 0.5), us(&self.to_start, 0.99), us(&self.to_result, 0.5), us(&self.to_result, 0.99)]
    }
}
