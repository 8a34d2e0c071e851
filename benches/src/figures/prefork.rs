//! A watchdog whose processes were started beforehand, against starting the same program for each request; with the same pauses.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    bench::Bench,
    measure::{Row, Side, rows, tell},
    paced::{self, Pace, p50_us},
    spawn::Raw,
    watchdog,
};

const WINDOW: Duration = Duration::from_millis(2500);
/// As many as wait, then long enough for others to take their place.
const CAT: Pace = Pace { group: 4, pause: Duration::from_millis(20) };
const PYTHON: Pace = Pace { group: 1, pause: Duration::from_millis(60) };
const SCRIPT: &str = "import json, sys; print(json.dumps({'length': len(sys.stdin.read())}))";
/// Leaves out the interpreter's cleaning up, which takes longer than the call.
const QUICK_END: &str = "; import os; sys.stdout.flush(); os._exit(0)";

pub(super) async fn cat(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    latency(bench, name, Raw::new("cat", vec![]), "cat", CAT).await
}

pub(super) async fn python(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let program = interpreter(bench)?;
    let mut all = Vec::new();
    for (name, end) in [(name, QUICK_END), ("prefork_python_plain_p50_us", "")] {
        let script = format!("{SCRIPT}{end}");
        let fprocess = format!("{program} -c \"{script}\"");
        let raw = Raw::new(&program, vec!["-c".into(), script.into()]);
        all.extend(latency(bench, name, raw, &fprocess, PYTHON).await?);
    }
    Ok(all)
}

async fn latency(bench: &Bench, name: &str, raw: Raw, fprocess: &str, pace: Pace) -> Result<Vec<Row>> {
    let (_watchdog, target) = watchdog::prefork(bench, fprocess).await?;
    paced::run(&target, pace, WINDOW / 5).await?;
    raw.repeat(1, pace, WINDOW / 5).await?;
    let mut sides = [Side::new("watchdog"), Side::new("spawn")];
    for run in 1..=bench.runs {
        let [watchdog, spawn] = &mut sides;
        watchdog.values.push(p50_us(&paced::run(&target, pace, WINDOW).await?));
        spawn.values.push(p50_us(&raw.repeat(1, pace, WINDOW).await?));
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
