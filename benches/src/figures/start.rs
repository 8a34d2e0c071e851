//! `skep up` from its start to the first answer of a function, against a NATS server from its start until it takes connections.

use std::time::Instant;

use anyhow::Result;

use crate::{
    bench::Bench,
    measure::{Row, Side, rows, tell},
    platform::{self, Disk},
    up::Up,
};

pub(super) async fn first_call(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let mut sides = [Side::new("skep up"), Side::new("NATS alone")];
    for run in 1..=bench.runs {
        let [of_skep, of_nats] = &mut sides;
        let started = Instant::now();
        let up = Up::start(bench).await?;
        of_skep.values.push(started.elapsed().as_secs_f64() * 1000.0);
        drop(up);
        let started = Instant::now();
        let nats = platform::start_nats(bench, Disk::Synced).await?;
        of_nats.values.push(started.elapsed().as_secs_f64() * 1000.0);
        drop(nats);
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "ms", sides.into()))
}
