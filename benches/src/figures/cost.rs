//! What a queued call costs in CPU time, of all parts together: what a million of them cost is extrapolated from some thousands.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::stream::Stream;
use skep_protocol::FunctionDeployment;
use tokio::time::{sleep, timeout};

use crate::{
    bench::Bench,
    deploy::deploy,
    http::Target,
    load,
    measure::{Row, Side, median, tell},
    platform::{Disk, FUNCTION, Platform},
    process::Process,
    tree,
};

/// The rows say how many: `…_of_10k`.
const CALLS: usize = 10_000;
const WARM_UP: usize = 1_000;
const MILLION: f64 = 1e6;
const CONNECTIONS: usize = 64;
const DONE_WITHIN: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// What is done after the last result is stored, like acknowledging, is over in this time.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);
const PARTS: [&str; 6] = ["gateway", "queue-worker", "controller", "NATS", "watchdog", "function"];

/// All parts, each in a process of its own.
struct Parts {
    platform: Platform,
    worker: Process,
    controller: Process,
    results: Stream,
}

/// A process per call.
pub(super) async fn forked(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let cat = FunctionDeployment {
        service: FUNCTION.to_owned(),
        env_process: "cat".to_owned(),
        ..FunctionDeployment::default()
    };
    per_million(bench, name, cat).await
}

/// One long-lived program: the trivial upstream.
pub(super) async fn http(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let upstream = FunctionDeployment {
        service: FUNCTION.to_owned(),
        env_process: format!("'{}' upstream", bench.programs.own.display()),
        env_vars: [("mode".to_owned(), "http".to_owned())].into(),
        ..FunctionDeployment::default()
    };
    per_million(bench, name, upstream).await
}

async fn per_million(bench: &Bench, name: &str, function: FunctionDeployment) -> Result<Vec<Row>> {
    let parts = Parts::start(bench, function).await?;
    parts.run(WARM_UP).await?;
    let mut total = Vec::new();
    let mut sides = PARTS.map(Side::new);
    for run in 1..=bench.runs {
        let spent = parts.run(CALLS).await?.map(|seconds| seconds * MILLION / CALLS as f64);
        total.push(spent.iter().sum());
        for (side, seconds) in sides.iter_mut().zip(spent) {
            side.values.push(seconds);
        }
        tell(name, run, bench.runs, &sides);
    }
    let each: Vec<String> = sides.iter().map(|side| format!("{} {:.0}", side.what, median(&side.values))).collect();
    bench.note(format!("{name}: {}", each.join(", ")));
    Ok(vec![Row { name: name.to_owned(), unit: "CPU s", values: total, baseline: None }])
}

impl Parts {
    async fn start(bench: &Bench, function: FunctionDeployment) -> Result<Self> {
        let platform = Platform::start(bench, Disk::Synced).await?;
        let controller = platform.start_controller(bench).await?;
        let worker = platform.start_worker(bench).await?;
        let target = platform.synchronous();
        deploy(target.address, vec![function]).await?;
        timeout(DONE_WITHIN, until_answers(&target)).await.context("the function does not answer")?;
        let results = platform.stream("CALLS").await?;
        Ok(Self { platform, worker, controller, results })
    }

    /// CPU seconds of each part for a number of calls, from the first request to the last result.
    async fn run(&self, calls: usize) -> Result<[f64; PARTS.len()]> {
        self.results.purge().await?;
        let before = self.seconds()?;
        load::send(&self.platform.asynchronous(), CONNECTIONS, calls).await?;
        let wanted = u64::try_from(calls)?;
        let done = async {
            loop {
                let stored = self.results.get_info().await?.state.messages;
                if stored >= wanted {
                    return anyhow::Ok(stored);
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        let stored = timeout(DONE_WITHIN, done).await.context("not all calls have ended")??;
        ensure!(stored == wanted, "{stored} results of {wanted} calls");
        sleep(SETTLES_WITHIN).await;
        let after = self.seconds()?;
        Ok(std::array::from_fn(|part| after[part] - before[part]))
    }

    /// What each part has used since its start.
    fn seconds(&self) -> Result<[f64; PARTS.len()]> {
        let of = |process: &Process| {
            let found = tree::of(process.id())?;
            Ok::<_, anyhow::Error>(found.iter().map(|member| member.own_seconds()).sum::<f64>())
        };
        let (mut controller, mut watchdog, mut function) = (0.0, 0.0, 0.0);
        for member in tree::of(self.controller.id())? {
            let own = member.own_seconds();
            if member.id == self.controller.id() {
                controller += own;
                continue;
            }
            if member.parent == self.controller.id() {
                watchdog += own;
            } else {
                function += own;
            }
            // A watchdog waits for the program of each call.
            function += member.seconds_of_ended_children();
        }
        let (gateway, nats) = (self.platform.gateway_process(), self.platform.nats_process());
        Ok([of(gateway)?, of(&self.worker)?, controller, of(nats)?, watchdog, function])
    }
}

async fn until_answers(target: &Target) {
    while !target.answers().await {
        sleep(LOOK_AGAIN).await;
    }
}
