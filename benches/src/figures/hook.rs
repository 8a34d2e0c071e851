//! Signed webhooks of 10 kB: until each is stored and answered, and until three calls of each are recorded; against calls with the same body, and what verifying one costs.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use hyper::Method;
use ring::hmac;
use skep_sources::{Request, Secret, Secrets};
use time::OffsetDateTime;

use super::drain::Drain;
use crate::{
    bench::Bench,
    http::Target,
    load,
    measure::{Reading, Row, Side, one_run, rows, tell},
    platform::{Disk, FUNCTION, Platform},
    push, watchdog,
};

const WINDOW: Duration = Duration::from_millis(1500);
/// Functions that an event goes to.
const ROUTES: usize = 3;
const VERIFICATIONS: usize = 5_000;

pub(super) async fn latency(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    accepted(bench, name, 1, Reading::P50Micros, "µs").await
}

pub(super) async fn rate(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    accepted(bench, name, 64, Reading::PerSecond, "1/s").await
}

/// There is no queue-worker, so nothing is routed or taken off the queue meanwhile.
async fn accepted(
    bench: &Bench,
    name: &str,
    connections: usize,
    reading: Reading,
    unit: &'static str,
) -> Result<Vec<Row>> {
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(None).await?;
    let hook = platform.declare(&[FUNCTION.to_owned()]).await?;
    let call = same(&hook, platform.asynchronous());
    let stored = [platform.stream("EVENTS").await?, platform.stream("INVOKE").await?];
    let targets = [("skep", hook), ("async-function", call)];
    for (_, target) in &targets {
        load::run(target, connections, WINDOW / 2).await?;
    }
    let mut sides = [Side::new("skep"), Side::new("async-function")];
    for run in 1..=bench.runs {
        for stream in &stored {
            stream.purge().await?;
        }
        one_run(&mut sides, &targets, (connections, WINDOW), reading).await?;
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, unit, sides.into()))
}

/// Events in a second until each has run three functions, against the same calls where they are queued.
pub(super) async fn fanout(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (_watchdog, function) = watchdog::http(bench, &[]).await?;
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(Some(function.address)).await?;
    let functions: Vec<_> = (1..=ROUTES).map(|number| format!("{FUNCTION}-{number}")).collect();
    platform.register_all(&functions, Some(function.address)).await?;
    let hook = platform.declare(&functions).await?;
    let call = same(&hook, platform.asynchronous());
    let events = Drain::of_events(bench, &platform, hook, ROUTES as u64).await?;
    let calls = Drain::of(bench, &platform, call).await?;
    let mut sides = [Side::new("skep"), Side::new("drain")];
    for run in 1..=bench.runs {
        let [skep, drain] = &mut sides;
        skep.values.push(events.per_second().await? / ROUTES as f64);
        drain.values.push(calls.per_second().await?);
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "1/s", sides.into()))
}

/// The same request to another target.
fn same(hook: &Target, target: Target) -> Target {
    Target { body: hook.body.clone(), headers: hook.headers.clone(), unique: hook.unique.clone(), ..target }
}

/// The gateway's check of a request, against an HMAC of its body.
pub(super) async fn verification(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let receiver = push::receiver(&[FUNCTION.to_owned()])?;
    let target = push::signed(&receiver, Target::new(([127, 0, 0, 1], 0).into(), "/"))?;
    let secrets = Secrets::new(vec![Secret::new("1", push::SECRET)]);
    let key = hmac::Key::new(hmac::HMAC_SHA256, push::SECRET.as_bytes());
    let request = Request {
        method: &Method::POST,
        path: "",
        query: None,
        headers: &target.headers,
        body: push::BODY,
        received_at: OffsetDateTime::now_utc(),
    };
    ensure!(receiver.verify(&request, &secrets).is_accepted(), "the request is not verified");
    let mut sides = [Side::new("skep"), Side::new("hmac")];
    // The first run is a warm-up.
    for run in 0..=bench.runs {
        let values = [
            p50_us(|| drop(black_box(receiver.verify(black_box(&request), &secrets))))?,
            p50_us(|| _ = black_box(hmac::sign(&key, black_box(push::BODY))))?,
        ];
        if run > 0 {
            sides.iter_mut().zip(values).for_each(|(side, value)| side.values.push(value));
            tell(name, run, bench.runs, &sides);
        }
    }
    Ok(rows(name, "µs", sides.into()))
}

fn p50_us(mut work: impl FnMut()) -> Result<f64> {
    let mut took = Histogram::<u64>::new(3)?;
    for _ in 0..VERIFICATIONS {
        let begun = Instant::now();
        work();
        took.record(u64::try_from(begun.elapsed().as_nanos())?)?;
    }
    Ok(took.value_at_quantile(0.5) as f64 / 1000.0)
}
