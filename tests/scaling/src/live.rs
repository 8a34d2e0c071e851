//! A load on a real `skep up`, and the replicas that the simulator gives the same calls.

use std::{
    fmt::Write,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    run::{float, watch},
    scaler::{Limits, Skep},
    workload::{self, Workload},
};

const FUNCTION: &str = "nap";
/// What one call takes, in seconds.
const LASTS: f64 = 0.2;
const LIMITS: Limits = Limits { slots: 4, min: 1, max: 16 };
const START_DEADLINE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long the curve goes on after the last call: until the down windows are over.
const AFTER: f64 = 60.0;
/// The live controller and the simulator do not decide at the same moment, so each second is compared with its neighbours too.
const SHIFT: usize = 1;

/// What comes in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Load {
    /// 2 calls a second, 60 from the 20th second to the 60th, and 2 again
    Step,
    /// 60 calls a second in every second 20 seconds, and one every other second between them
    OnOff,
}

impl Load {
    fn rate(self, at: f64) -> f64 {
        match self {
            Self::Step if (20.0..60.0).contains(&at) => 60.0,
            Self::Step => 2.0,
            #[expect(clippy::cast_possible_truncation)]
            Self::OnOff if (at / 20.0) as i64 % 2 == 1 => 60.0,
            Self::OnOff => 0.5,
        }
    }

    /// When calls come in, in seconds.
    fn calls(self) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(7);
        workload::calls(&mut random, &|at| self.rate(at), self.end(), LASTS).into_iter().map(|(at, _)| at).collect()
    }

    const fn end(self) -> f64 {
        match self {
            Self::Step => 90.0,
            Self::OnOff => 120.0,
        }
    }

    /// When the load rises for the first time.
    const fn rises(self) -> f64 {
        20.0
    }
}

/// `skep up`, which ends with this.
struct Up {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// Starts it, and a function without calls.
async fn start(programs: &Path, nats_server: &Path, client: &Client) -> anyhow::Result<Up> {
    let folder = tempfile::tempdir()?;
    let free = || anyhow::Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string());
    let (listen, admin, nats) = (free()?, free()?, free()?);
    let mut command = Command::new(programs.join("skep"));
    command.args(["up", "--listen", &listen, "--admin-listen", &admin, "--nats-listen", &nats, "--allow-root"]);
    command.args(["--basic-auth", "false", "--max-requests-per-address", "1000000"]);
    command.arg("--nats-server").arg(nats_server).arg("--data-dir").arg(folder.path().join("data"));
    let log = std::fs::File::create(folder.path().join("log"))?;
    let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).current_dir(folder.path()).spawn()?;
    let up = Up { process, url: format!("http://{listen}"), _folder: folder };
    let slots = LIMITS.slots.to_string();
    let labels = json!({ "com.openfaas.scale.target": slots, "com.openfaas.scale.max": LIMITS.max.to_string() });
    let function = json!({ "service": FUNCTION, "envProcess": format!("sleep {LASTS}"), "labels": labels });
    let give_up = Instant::now() + START_DEADLINE;
    while client.post(format!("{}/system/functions", up.url)).json(&function).send().await.is_err() {
        ensure!(Instant::now() < give_up, "skep up does not answer");
        sleep(LOOK_INTERVAL).await;
    }
    while replicas(client, &up.url).await.is_none_or(|(_, ready)| ready == 0) {
        ensure!(Instant::now() < give_up, "{FUNCTION} has no replica");
        sleep(LOOK_INTERVAL).await;
    }
    Ok(up)
}

/// Replicas that are wanted, and that answer.
async fn replicas(client: &Client, url: &str) -> Option<(u64, u64)> {
    let status = client.get(format!("{url}/system/function/{FUNCTION}")).send().await.ok()?;
    let status: Value = status.json().await.ok()?;
    Some((status["replicas"].as_u64()?, status["availableReplicas"].as_u64().unwrap_or(0)))
}

/// What was seen, by seconds since the load began.
#[derive(Default)]
struct Seen {
    /// When each call came in and how long it took.
    calls: Vec<(f64, f64)>,
    failed: usize,
    /// When the wanted replicas changed, and to how many.
    changes: Vec<(f64, u64)>,
    /// How long the first further replica took to answer.
    start: Option<f64>,
}

async fn run(load: Load, client: &Client, url: &str) -> Seen {
    let began = Instant::now();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let looks = async {
        let (mut last, mut asked) = (0, None);
        while began.elapsed().as_secs_f64() < load.end() + AFTER {
            if let Some((wanted, ready)) = replicas(client, url).await {
                let at = began.elapsed().as_secs_f64();
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                if wanted != last {
                    seen.changes.push((at, wanted));
                }
                asked = asked.or_else(|| (wanted > last && last > 0).then_some((at, ready)));
                if let Some((since, _)) = asked.filter(|(_, before)| ready > *before) {
                    seen.start.get_or_insert((at - since).max(0.05));
                }
                last = wanted;
            }
            sleep(LOOK_INTERVAL).await;
        }
    };
    let calls = async {
        for at in load.calls() {
            sleep_until(began + Duration::from_secs_f64(at)).await;
            let (client, url, seen) = (client.clone(), format!("{url}/function/{FUNCTION}"), Arc::clone(&seen));
            tokio::spawn(async move {
                let begun = began.elapsed().as_secs_f64();
                let answer = client.post(url).send().await;
                let lasts = began.elapsed().as_secs_f64() - begun;
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.calls.push((begun, lasts));
                seen.failed += usize::from(!answer.is_ok_and(|answer| answer.status().is_success()));
            });
        }
    };
    tokio::join!(looks, calls);
    std::mem::take(&mut seen.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The replicas in each second: those of the last change before it.
fn curve(changes: &[(f64, u64)], seconds: usize) -> Vec<u64> {
    let at = |second: usize| changes.iter().rev().find(|(at, _)| *at <= float(second)).map_or(1, |(_, wanted)| *wanted);
    (0..seconds).map(at).collect()
}

/// How far the live replicas are from the simulated ones in each second, or in one beside it, whichever is less.
fn deviations(live: &[u64], simulated: &[u64]) -> Vec<u64> {
    let near = |second: usize| second.saturating_sub(SHIFT)..(second + SHIFT + 1).min(simulated.len());
    let least = |(second, live): (usize, &u64)| {
        near(second).filter_map(|other| simulated.get(other)).map(|other| live.abs_diff(*other)).min().unwrap_or(*live)
    };
    live.iter().enumerate().map(least).collect()
}

/// The replicas in each second, if the first decision is made `phase` seconds before the first second has passed.
fn simulate(seen: &Seen, end: f64, phase: f64) -> Vec<u64> {
    let mut calls: Vec<_> = seen.calls.iter().map(|(at, lasts)| (at + phase, *lasts)).collect();
    calls.sort_by(|a, b| a.0.total_cmp(&b.0));
    let start = seen.start.unwrap_or(0.1);
    // As on the real one, a replica takes any number of calls: its slots are what it should have.
    let limits = Limits { slots: u32::MAX, ..LIMITS };
    let workload = Workload { name: "recorded".to_owned(), calls, limits, start, end: end + AFTER };
    let mut wanted = vec![u64::from(LIMITS.min)];
    watch(&workload, &mut Skep::new(LIMITS), |_, want, _| wanted.push(want.into()));
    wanted
}

/// The simulated replicas that are nearest to the live ones, and how far these are from them.
///
/// When in a second calls in flight are counted is not known, so the simulator counts them at each tenth in turn.
fn nearest(live: &[u64], seen: &Seen, end: f64) -> (Vec<u64>, Vec<u64>) {
    let simulated = (0..10).map(|tenth| simulate(seen, end, f64::from(tenth) / 10.0));
    let compared = simulated.map(|simulated| (deviations(live, &simulated), simulated));
    let far = |deviations: &[u64]| (deviations.iter().filter(|far| **far > 1).count(), deviations.iter().sum::<u64>());
    let (deviations, simulated) = compared.min_by_key(|(deviations, _)| far(deviations)).unwrap_or_default();
    (simulated, deviations)
}

/// Puts a load on a `skep up` of its own, and reports how its replicas follow, beside those of the simulator.
///
/// # Errors
/// The programs cannot be started.
pub async fn report(load: Load, programs: &Path, nats_server: &Path) -> anyhow::Result<String> {
    // Another may be there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().build().context("making an HTTP client")?;
    let up = start(programs, nats_server, &client).await?;
    let seen = run(load, &client, &up.url).await;
    drop(up);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let seconds = (load.end() + AFTER) as usize;
    let live = curve(&seen.changes, seconds);
    let (simulated, deviations) = nearest(&live, &seen, load.end());
    let mut text = String::new();
    for (second, deviation) in deviations.iter().enumerate() {
        let simulated = simulated.get(second).copied().unwrap_or(0);
        let mark = if *deviation > 1 { "  !" } else { "" };
        _ = writeln!(text, "{second:4} s  live {:3}  simulated {simulated:3}{mark}", live[second]);
    }
    let first = seen.changes.iter().find(|(at, wanted)| *at >= load.rises() && *wanted > 1);
    let first = first.map_or("never".to_owned(), |(at, _)| format!("after {:.1} s", at - load.rises()));
    let far = deviations.iter().filter(|deviation| **deviation > 1).count();
    let (most, calls) = (deviations.iter().max().copied().unwrap_or(0), seen.calls.len());
    _ = writeln!(text, "first further replica {first}; {calls} calls, {} failed", seen.failed);
    _ = writeln!(text, "at most {most} replicas from the simulator's; {far} of {seconds} s more than one");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_has_the_last_change_of_each_second_and_is_compared_with_its_neighbours() {
        let live = curve(&[(0.0, 1), (1.5, 4), (2.0, 5), (3.2, 2)], 5);
        assert_eq!(live, [1, 1, 5, 5, 2]);
        assert_eq!(deviations(&live, &[1, 5, 5, 2, 2]), [0; 5]);
        assert_eq!(deviations(&live, &[1, 1, 1, 9, 9]), [0, 0, 4, 4, 7]);
    }
}
