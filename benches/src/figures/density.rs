//! Many functions that all sleep: the memory of everything, the first call of one of them, and the memory of one that is awake.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hyper::{Method, body::Bytes};
use skep_protocol::FunctionDeployment;
use tokio::time::sleep;

use super::many::names;
use crate::{
    bench::Bench,
    deploy::deploy,
    http::{Target, with_requests},
    measure::{Baseline, Row, Side, median, rows, tell},
    tree,
    up::Up,
    watchdog,
};

/// Functions that are woken in one run, each once.
const WOKEN: usize = 20;
/// What the last step took is given back in this time.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);
const PROGRAM: &str = "cat";

pub(super) async fn figures(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let up = Up::start(bench).await?;
    up.put_to_sleep().await?;
    let before = settled_mb(&up).await?;
    let names = names(bench.functions);
    let took = deploy(up.gateway, names.iter().map(|name| deployment(name)).collect()).await?;
    let sleeping = settled_mb(&up).await?;
    let each_kb = |(before, after): (f64, f64)| (after - before) * 1000.0 / names.len() as f64;
    bench.note(format!(
        "density_…: {} functions, deployed in {:.1} s ({:.0}/s); each takes {:.1} kB in skep and {:.1} kB in NATS",
        names.len(),
        took.as_secs_f64(),
        names.len() as f64 / took.as_secs_f64(),
        each_kb((before.0, sleeping.0)),
        each_kb((before.1, sleeping.1)),
    ));
    let mut sides = [Side::new("skep up"), Side::new("watchdog")];
    let mut awake = Side::new("awake");
    let mut last_mb = sum(sleeping);
    let at_once = (names.len() / bench.runs).clamp(1, WOKEN);
    for (run, woken) in (1..=bench.runs).zip(names.chunks(at_once)) {
        let (mut of_skep, mut of_watchdog) = (Vec::new(), Vec::new());
        for name in woken {
            of_skep.push(first_call_ms(&up, name).await?);
            of_watchdog.push(watchdog::cold_start_ms(bench, PROGRAM).await?);
        }
        sides[0].values.push(median(&of_skep));
        sides[1].values.push(median(&of_watchdog));
        let now_mb = sum(settled_mb(&up).await?);
        awake.values.push((now_mb - last_mb) / woken.len() as f64);
        last_mb = now_mb;
        tell("density_wake", run, bench.runs, sides.iter().chain([&awake]));
    }
    let baseline = Baseline { what: "no function".to_owned(), values: vec![sum(before)] };
    let mut all =
        vec![Row { name: name.to_owned(), unit: "MB", values: vec![sum(sleeping)], baseline: Some(baseline) }];
    all.extend(rows("density_wake_p50_ms", "ms", sides.into()));
    all.push(Row { name: "awake_function_mb".to_owned(), unit: "MB", values: awake.values, baseline: None });
    Ok(all)
}

/// A function that has no replica before its first call.
fn deployment(name: &str) -> FunctionDeployment {
    FunctionDeployment {
        service: name.to_owned(),
        env_process: PROGRAM.to_owned(),
        labels: [("com.openfaas.scale.min".to_owned(), "0".to_owned())].into(),
        ..FunctionDeployment::default()
    }
}

async fn first_call_ms(up: &Up, name: &str) -> Result<f64> {
    let target = Target::new(up.gateway, format!("/function/{name}"));
    let begun = Instant::now();
    let body = Bytes::from_static(b"honey");
    let called = with_requests(&target, async |requests| requests.send(Method::POST, body).await);
    called.await.with_context(|| format!("the first call of {name} failed"))?;
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

/// Memory of skep, and of NATS and all watchdogs.
async fn settled_mb(up: &Up) -> Result<(f64, f64)> {
    sleep(SETTLES_WITHIN).await;
    tree::memory_mb(up.process.id())
}

fn sum((skep, others): (f64, f64)) -> f64 {
    skep + others
}
