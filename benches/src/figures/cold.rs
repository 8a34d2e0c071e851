//! The first answer of a function that is scaled to zero, against a watchdog that is started by hand and called as soon as it listens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hyper::{Method, StatusCode, body::Bytes};
use tokio::time::{sleep, timeout};

use crate::{
    bench::Bench,
    http::{Target, with_requests},
    measure::{Row, Side, median, rows, tell},
    up::Up,
    watchdog,
};

/// Cold starts of one run; what counts is their median.
const STARTS: usize = 9;
const ASLEEP_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// The function's replica of before is gone by then, so that its end is not measured.
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
    let scale = Target { expected: StatusCode::ACCEPTED, ..Target::new(up.gateway, "/system/scale-function/noop") };
    send(&scale, r#"{"serviceName":"noop","replicas":0}"#).await?;
    let status = Target::new(up.gateway, "/system/function/noop");
    let asleep = timeout(ASLEEP_WITHIN, async {
        while !status.read().await.is_ok_and(|text| text.contains(r#""availableReplicas":0"#)) {
            sleep(LOOK_AGAIN).await;
        }
    });
    asleep.await.context("the function was not scaled to zero")?;
    sleep(QUIET).await;
    let started = Instant::now();
    send(&up.function(), "honey").await?;
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

async fn send(target: &Target, body: &'static str) -> Result<()> {
    with_requests(target, async |requests| requests.send(Method::POST, Bytes::from_static(body.as_bytes())).await).await
}
