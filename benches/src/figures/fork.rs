//! A watchdog that starts `cat` for each request, against this program starting `cat` for the same bytes.

use std::{
    io::{Error, Read, Write},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use tokio::task::spawn_blocking;

use crate::{
    bench::Bench,
    load::{self, BODY},
    measure::{Row, Side, rows, tell},
    watchdog,
};

const PROGRAM: &str = "cat";
const WINDOW: Duration = Duration::from_millis(1500);
const CONNECTIONS: usize = 16;
/// So many threads are tried; the baseline takes the best.
const THREADS: [usize; 3] = [2, 4, 8];

pub(super) async fn latency(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (_watchdog, target) = watchdog::fork(bench, PROGRAM).await?;
    load::run(&target, 1, WINDOW / 2).await?;
    spawn(1, WINDOW / 2).await?;
    let mut sides = [Side::new("watchdog"), Side::new("spawn")];
    for run in 1..=bench.runs {
        let [watchdog, raw] = &mut sides;
        watchdog.values.push(load::run(&target, 1, WINDOW).await?.p50_us());
        raw.values.push(spawn(1, WINDOW).await?.value_at_quantile(0.5) as f64 / 1000.0);
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "µs", sides.into()))
}

pub(super) async fn rate(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (_watchdog, target) = watchdog::fork(bench, PROGRAM).await?;
    load::run(&target, CONNECTIONS, WINDOW / 2).await?;
    let mut best = (0, 1);
    for threads in THREADS {
        best = best.max((spawn(threads, WINDOW / 2).await?.len(), threads));
    }
    let mut sides = [Side::new("watchdog"), Side::new("spawn")];
    for run in 1..=bench.runs {
        let [watchdog, raw] = &mut sides;
        watchdog.values.push(load::run(&target, CONNECTIONS, WINDOW).await?.per_second());
        raw.values.push(spawn(best.1, WINDOW).await?.len() as f64 / WINDOW.as_secs_f64());
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "1/s", sides.into()))
}

/// Starts one process after the other on some threads for a while; how long each took, in nanoseconds.
async fn spawn(threads: usize, window: Duration) -> Result<Histogram<u64>> {
    spawn_blocking(move || {
        let end = Instant::now() + window;
        let threads: Vec<_> = (0..threads).map(|_| thread::spawn(move || spawn_until(end))).collect();
        let mut all = Histogram::new(3)?;
        for thread in threads {
            all.add(thread.join().map_err(|_| anyhow!("a thread panicked"))??)?;
        }
        Ok(all)
    })
    .await?
}

fn spawn_until(end: Instant) -> Result<Histogram<u64>> {
    let mut took = Histogram::new(3)?;
    loop {
        let started = Instant::now();
        spawn_one()?;
        let ended = Instant::now();
        if ended >= end {
            return Ok(took);
        }
        took.record(u64::try_from((ended - started).as_nanos())?)?;
    }
}

/// What the watchdog does for a request, and nothing else.
fn spawn_one() -> Result<()> {
    let mut child = Command::new(PROGRAM).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let missing = || Error::other("a pipe is missing");
    let mut stdin = child.stdin.take().ok_or_else(missing)?;
    stdin.write_all(&BODY)?;
    drop(stdin);
    let mut answer = Vec::with_capacity(BODY.len());
    child.stdout.take().ok_or_else(missing)?.read_to_end(&mut answer)?;
    let status = child.wait()?;
    if status.success() && answer == BODY {
        return Ok(());
    }
    Err(anyhow!("{PROGRAM} ended with {status} and {} bytes", answer.len()))
}
