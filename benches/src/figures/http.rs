//! A watchdog in http mode before the trivial upstream, against the upstream itself and against nginx before it.

use std::time::Duration;

use anyhow::Result;

use crate::{
    bench::Bench,
    measure::{Reading, Row, alternate, rows},
    nginx, upstream, watchdog,
};

const CONNECTIONS: usize = 16;
const WINDOW: Duration = Duration::from_millis(1500);

pub(super) async fn rate(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (_upstream, direct) = upstream::start(bench).await?;
    let nginx = nginx::start(bench, direct.address).await?;
    let (_watchdog, target) = watchdog::http(bench, &[]).await?;
    let mut targets = vec![("watchdog", target), ("direct", direct)];
    targets.extend(nginx.iter().map(|(_, target)| ("nginx", target.clone())));
    let sides = alternate(name, &targets, bench.runs, (CONNECTIONS, WINDOW), Reading::PerSecond).await?;
    Ok(rows(name, "1/s", sides))
}
