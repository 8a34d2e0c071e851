//! How long a quiet function's calls wait for their start while another function of the same lane has a deep queue, against the same while nothing else is queued.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use hyper::{Method, body::Bytes};
use skep_protocol::{FunctionName, lane_of};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::{
    bench::Bench,
    http::with_requests,
    load,
    measure::{Row, Side, rows, tell},
    platform::{Disk, FUNCTION, Platform},
    program::Program,
};

/// Calls that the other function has queued.
const QUEUED: usize = 100_000;
const CONNECTIONS: usize = 64;
/// How long one call of the other function takes: its queue lasts for longer than what is measured.
const SLOW: Duration = Duration::from_millis(100);
/// A quiet function is called this often.
const EVERY: Duration = Duration::from_millis(10);
const WINDOW: Duration = Duration::from_secs(5);
const STARTED_WITHIN: Duration = Duration::from_secs(60);

/// When calls were sent and when the function saw them.
#[derive(Clone)]
struct Starts {
    epoch: Instant,
    seen: Arc<Mutex<Vec<Duration>>>,
}

pub(super) async fn victim(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let starts = Starts { epoch: Instant::now(), seen: Arc::default() };
    let quiet = {
        let starts = starts.clone();
        Program::start(move |body| starts.saw(body)).await?
    };
    let slow = Program::slow(SLOW).await?;
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(Some(quiet.address)).await?;
    let neighbour = neighbour()?;
    platform.register_as(&neighbour, Some(slow.address)).await?;
    let _worker = platform.start_worker(bench).await?;
    let mut sides = [Side::new("skep"), Side::new("idle")];
    p99_ms(&platform, &starts).await?;
    for _ in 0..bench.runs {
        sides[1].values.push(p99_ms(&platform, &starts).await?);
    }
    load::send(&platform.asynchronous_of(&neighbour), CONNECTIONS, QUEUED).await?;
    for run in 1..=bench.runs {
        sides[0].values.push(p99_ms(&platform, &starts).await?);
        tell(name, run, bench.runs, &sides);
    }
    let mut left = 0;
    for stream in ["INVOKE", "BACKLOG"] {
        left += platform.stream(stream).await?.get_info().await?.state.messages;
    }
    ensure!(left > QUEUED as u64 / 2, "only {left} calls of the other function were left at the end");
    Ok(rows(name, "ms", sides.into()))
}

/// A name whose calls stand in the same lane as those of the quiet function.
fn neighbour() -> Result<String> {
    let lane = lane_of(&FUNCTION.parse()?);
    let mut names = (0..1000).map(|number| format!("neighbour-{number}"));
    let is_near = |name: &String| name.parse::<FunctionName>().is_ok_and(|name| lane_of(&name) == lane);
    names.find(is_near).context("no name has the same lane")
}

/// Calls the quiet function again and again, and waits until all its calls have begun.
async fn p99_ms(platform: &Platform, starts: &Starts) -> Result<f64> {
    starts.seen().clear();
    let target = platform.asynchronous();
    let mut sent = 0;
    with_requests(&target, async |requests| {
        let (mut next, end) = (interval(EVERY), Instant::now() + WINDOW);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < end {
            next.tick().await;
            let now = starts.epoch.elapsed().as_nanos().to_string();
            requests.send(Method::POST, Bytes::from(now)).await?;
            sent += 1;
        }
        Ok(())
    })
    .await?;
    let all = async {
        while starts.seen().len() < sent {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(STARTED_WITHIN, all).await.context("calls of the quiet function did not begin")?;
    ensure!(starts.seen().len() == sent, "a call began twice");
    let mut waits = Histogram::<u64>::new(3)?;
    for wait in starts.seen().iter() {
        waits.record(u64::try_from(wait.as_micros())?)?;
    }
    Ok(waits.value_at_quantile(0.99) as f64 / 1000.0)
}

impl Starts {
    fn saw(&self, body: &[u8]) {
        let sent = std::str::from_utf8(body).ok().and_then(|text| text.parse().ok()).map(Duration::from_nanos);
        let waited = self.epoch.elapsed().saturating_sub(sent.unwrap_or_default());
        self.seen().push(waited);
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Vec<Duration>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
