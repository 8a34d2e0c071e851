//! Memory of `skep up` while nothing happens: gateway, queue-worker and controller in one process, without NATS and watchdogs.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::{
    bench::Bench,
    measure::{Row, Side, tell},
    up::Up,
};

/// What the start took is given back in this time.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn memory(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let mut sides = [Side::new("skep up")];
    for run in 1..=bench.runs {
        let up = Up::start(bench).await?;
        sleep(SETTLES_WITHIN).await;
        sides[0].values.push(up.process.memory_mb("VmRSS")?);
        tell(name, run, bench.runs, &sides);
    }
    let [side] = sides;
    Ok(vec![Row { name: name.to_owned(), unit: "MB", values: side.values, baseline: None }])
}
