//! Three times as many calls as can be taken: what is answered well then, against what is when no more come than are taken.
//!
//! Once the function is what cannot take more, and refuses with 429; once it is the gateway itself, and callers wait.

use std::time::Duration;

use anyhow::Result;

use crate::{
    bench::Bench,
    load,
    measure::{Row, Side, rows, tell},
    platform::{Disk, Platform},
    upstream, watchdog,
};

/// Calls that the function takes at once, and how long each takes it.
const AT_ONCE: usize = 16;
const EACH_MS: &str = "20";
const WINDOW: Duration = Duration::from_millis(1500);
/// The callers of the gateway's best rate.
const CALLERS: usize = 64;
const TIMES: usize = 3;

pub(super) async fn goodput(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let at_once = AT_ONCE.to_string();
    let (_watchdog, function) = watchdog::http(bench, &[("max_inflight", &at_once), ("DELAY_MS", EACH_MS)]).await?;
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(Some(function.address)).await?;
    let target = platform.synchronous();
    let mut sides = [Side::new("overloaded"), Side::new("peak")];
    let mut refused_after = Vec::new();
    for run in 1..=bench.runs {
        let peak = load::run(&target, AT_ONCE, WINDOW).await?.per_second();
        let (good, refused) = load::offer(&target, TIMES as f64 * peak, TIMES * CALLERS, WINDOW).await?;
        let [overloaded, at_peak] = &mut sides;
        overloaded.values.push(good.per_second());
        at_peak.values.push(peak);
        refused_after.push(refused.quantile_us(0.99) / 1000.0);
        tell(name, run, bench.runs, &sides);
    }
    let mut all = rows(name, "1/s", sides.into());
    all.push(Row { name: "overload_refused_p99_ms".to_owned(), unit: "ms", values: refused_after, baseline: None });
    all.extend(many_callers(bench).await?);
    Ok(all)
}

async fn many_callers(bench: &Bench) -> Result<Vec<Row>> {
    let name = "overload_callers_rps";
    let (_upstream, direct) = upstream::start(bench).await?;
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(Some(direct.address)).await?;
    let target = platform.synchronous();
    load::run(&target, CALLERS, WINDOW / 2).await?;
    let mut sides = [Side::new("192 callers"), Side::new("64 callers")];
    for run in 1..=bench.runs {
        for (side, callers) in sides.iter_mut().zip([TIMES * CALLERS, CALLERS]) {
            side.values.push(load::run(&target, callers, WINDOW).await?.per_second());
        }
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "1/s", sides.into()))
}
