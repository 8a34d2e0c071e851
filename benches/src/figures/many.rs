//! Accepting and draining with 10,000 functions, of which 1,000 are called, against the same with 10.

use std::time::Duration;

use anyhow::Result;

use super::drain::Drain;
use crate::{
    bench::Bench,
    http::Target,
    load,
    measure::{Row, Side, rows, tell},
    platform::{Disk, Platform},
    watchdog,
};

const MANY: usize = 10_000;
const HOT_OF_MANY: usize = 1_000;
const FEW: usize = 10;
const CONNECTIONS: usize = 64;
const WINDOW: Duration = Duration::from_millis(1500);

/// Two platforms; the one that is not measured is idle meanwhile.
pub(super) async fn functions(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (_watchdog, function) = watchdog::http(bench, &[]).await?;
    let many = start(bench, &function, MANY).await?;
    let few = start(bench, &function, FEW).await?;
    let (of_many, of_few) = (targets(&many, HOT_OF_MANY), targets(&few, FEW));
    let mut accepted = [Side::new("10,000"), Side::new("10 functions")];
    for target in [&of_many, &of_few] {
        load::run(target, CONNECTIONS, WINDOW / 2).await?;
    }
    for run in 1..=bench.runs {
        for (side, (platform, target)) in accepted.iter_mut().zip([(&many, &of_many), (&few, &of_few)]) {
            platform.stream("INVOKE").await?.purge().await?;
            side.values.push(load::run(target, CONNECTIONS, WINDOW).await?.per_second());
        }
        tell(name, run, bench.runs, &accepted);
    }
    let mut drained = [Side::new("10,000"), Side::new("10 functions")];
    let (many, few) = (Drain::of(bench, &many, of_many).await?, Drain::of(bench, &few, of_few).await?);
    for run in 1..=bench.runs {
        for (side, drain) in drained.iter_mut().zip([&many, &few]) {
            side.values.push(drain.per_second().await?);
        }
        tell("and drained", run, bench.runs, &drained);
    }
    let mut all = rows(name, "1/s", accepted.into());
    all.extend(rows("drain_10k_functions_rps", "1/s", drained.into()));
    Ok(all)
}

async fn start(bench: &Bench, function: &Target, count: usize) -> Result<Platform> {
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(None).await?;
    platform.register_all(&names(count), Some(function.address)).await?;
    Ok(platform)
}

pub(super) fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("function-{number}")).collect()
}

/// Calls of the first so many functions in turn.
fn targets(platform: &Platform, count: usize) -> Target {
    platform.asynchronous_of_all(&names(count))
}
