//! A watchdog that starts `cat` for each request, against this program starting `cat` for the same bytes.

use std::time::Duration;

use anyhow::Result;

use crate::{
    bench::Bench,
    load,
    measure::{Row, Side, rows, tell},
    paced::{self, Pace, p50_us},
    spawn::Raw,
    watchdog,
};

const PROGRAM: &str = "cat";
const WINDOW: Duration = Duration::from_millis(1500);
const CONNECTIONS: usize = 16;
/// So many threads are tried; the baseline takes the best.
const THREADS: [usize; 3] = [2, 4, 8];

pub(super) async fn latency(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (_watchdog, target) = watchdog::fork(bench, PROGRAM).await?;
    let cat = Raw::new(PROGRAM, vec![]);
    paced::run(&target, Pace::NONE, WINDOW / 2).await?;
    cat.repeat(1, Pace::NONE, WINDOW / 2).await?;
    let mut sides = [Side::new("watchdog"), Side::new("spawn")];
    for run in 1..=bench.runs {
        let [watchdog, raw] = &mut sides;
        watchdog.values.push(p50_us(&paced::run(&target, Pace::NONE, WINDOW).await?));
        raw.values.push(p50_us(&cat.repeat(1, Pace::NONE, WINDOW).await?));
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "µs", sides.into()))
}

/// What the sandbox costs a call: the same watchdog with it and without.
pub(super) async fn sandboxed(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (_inside, inside) = watchdog::sandboxed(bench, PROGRAM).await?;
    let (_outside, outside) = watchdog::fork(bench, PROGRAM).await?;
    for target in [&inside, &outside] {
        paced::run(target, Pace::NONE, WINDOW / 2).await?;
    }
    let mut sides = [Side::new("sandboxed"), Side::new("without")];
    for run in 1..=bench.runs {
        for (side, target) in sides.iter_mut().zip([&inside, &outside]) {
            side.values.push(p50_us(&paced::run(target, Pace::NONE, WINDOW).await?));
        }
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "µs", sides.into()))
}

pub(super) async fn rate(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (_watchdog, target) = watchdog::fork(bench, PROGRAM).await?;
    let cat = Raw::new(PROGRAM, vec![]);
    load::run(&target, CONNECTIONS, WINDOW / 2).await?;
    let mut best = (0, 1);
    for threads in THREADS {
        best = best.max((cat.repeat(threads, Pace::NONE, WINDOW / 2).await?.len(), threads));
    }
    let mut sides = [Side::new("watchdog"), Side::new("spawn")];
    for run in 1..=bench.runs {
        let [watchdog, raw] = &mut sides;
        watchdog.values.push(load::run(&target, CONNECTIONS, WINDOW).await?.per_second());
        raw.values.push(cat.repeat(best.1, Pace::NONE, WINDOW).await?.len() as f64 / WINDOW.as_secs_f64());
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "1/s", sides.into()))
}
