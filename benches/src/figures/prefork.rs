//! A watchdog whose processes were started beforehand, with a pause after each request, against starting the same program for each.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    bench::Bench,
    load,
    measure::{Row, Side, rows, tell},
    spawn::Raw,
    watchdog,
};

const WINDOW: Duration = Duration::from_millis(2500);
/// Long enough for the next process to be ready.
const CAT_PAUSE: Duration = Duration::from_millis(10);
const PYTHON_PAUSE: Duration = Duration::from_millis(60);
const SCRIPT: &str = "import json, sys; print(json.dumps({'length': len(sys.stdin.read())}))";

pub(super) async fn cat(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    latency(bench, name, Raw { program: "cat".into(), arguments: vec![] }, "cat", CAT_PAUSE).await
}

pub(super) async fn python(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let program = interpreter(bench)?;
    let fprocess = format!("{program} -c \"{SCRIPT}\"");
    let raw = Raw { program: program.into(), arguments: vec!["-c".into(), SCRIPT.into()] };
    latency(bench, name, raw, &fprocess, PYTHON_PAUSE).await
}

async fn latency(bench: &Bench, name: &str, raw: Raw, fprocess: &str, pause: Duration) -> Result<Vec<Row>> {
    let (_watchdog, target) = watchdog::prefork(bench, fprocess).await?;
    load::paced(&target, pause, WINDOW / 5).await?;
    raw.repeat(1, WINDOW / 5).await?;
    let mut sides = [Side::new("watchdog"), Side::new("spawn")];
    for run in 1..=bench.runs {
        let [watchdog, spawn] = &mut sides;
        watchdog.values.push(load::paced(&target, pause, WINDOW).await?.p50_us());
        spawn.values.push(raw.repeat(1, WINDOW).await?.value_at_quantile(0.5) as f64 / 1000.0);
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "µs", sides.into()))
}

/// The interpreter itself: what is on PATH may be a script that finds it first.
fn interpreter(bench: &Bench) -> Result<String> {
    let mut command = Command::new("python3");
    command.args(["-c", "import sys; print(sys.executable, end='')"]).env("PATH", &bench.programs.path);
    let output = command.output().context("python3 is not on PATH")?;
    let program = String::from_utf8(output.stdout)?;
    if program.is_empty() {
        bail!("python3 does not tell where it is");
    }
    Ok(program)
}
