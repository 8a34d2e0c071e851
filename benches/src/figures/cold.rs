//! The first answer of a function that is scaled to zero, against a watchdog that is started by hand and called as soon as it listens.

use std::time::{Duration, Instant};

use anyhow::Result;
use hyper::{Method, body::Bytes};
use tokio::time::sleep;

use crate::{
    bench::Bench,
    http::with_requests,
    measure::{Row, Side, median, rows, tell},
    up::Up,
    watchdog,
};

/// Cold starts of one run; what counts is their median.
const STARTS: usize = 9;
/// The function's earlier replica has gone before, so that its end is not measured.
const QUIET: Duration = Duration::from_millis(100);

pub(super) async fn start(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let up = Up::start(bench).await?;
    let mut sides = [Side::new("skep up"), Side::new("watchdog")];
    for run in 1..=bench.runs {
        let [woken, by_hand] = &mut sides;
        let (mut of_skep, mut of_watchdog) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            of_skep.push(wake(&up).await?);
            of_watchdog.push(watchdog::cold_start_ms(bench, "cat").await?);
        }
        woken.values.push(median(&of_skep));
        by_hand.values.push(median(&of_watchdog));
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "ms", sides.into()))
}

/// Puts the function to sleep, and times the call that wakes it.
async fn wake(up: &Up) -> Result<f64> {
    up.put_to_sleep().await?;
    sleep(QUIET).await;
    let started = Instant::now();
    let body = Bytes::from_static(b"honey");
    with_requests(&up.function(), async |requests| requests.send(Method::POST, body).await).await?;
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}
