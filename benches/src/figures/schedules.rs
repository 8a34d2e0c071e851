//! Many schedules: those whose occurrences are in the same second until all their calls have run, and what planning takes while none is due.

use std::time::Duration;

use anyhow::{Result, ensure};
use hyper::{Method, StatusCode, body::Bytes};
use time::OffsetDateTime;
use tokio::time::sleep;

use crate::{
    bench::Bench,
    http::{Target, with_requests},
    measure::{Row, Side, tell},
    tree::{self, Member},
    up::Up,
};

const SCHEDULES: usize = 10_000;
/// All are declared and planned before it is over.
const LEAD: i64 = 300;
const IN_TIME: Duration = Duration::from_secs(300);
/// Nothing is due while it is measured what planning takes.
const FAR_AWAY: i64 = 1800;
const IDLE_WINDOW: Duration = Duration::from_secs(60);
const SETTLES_WITHIN: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// What the gateway and the queue-worker say of calls that have ended.
const ENDED: &str = "queue_worker_messages_processed_total{function_name=\"noop\",state=\"succeeded\"} ";

const PLANNED: &str = "controller_schedule_planned_total{";

pub(super) async fn start(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let mut sides = [Side::new("skep up")];
    for run in 1..=bench.runs {
        let up = Up::start(bench).await?;
        let planned_at = OffsetDateTime::now_utc().unix_timestamp() + LEAD;
        declare(&up, planned_at % 3600).await?;
        ensure!(OffsetDateTime::now_utc().unix_timestamp() < planned_at, "declaring them took too long");
        let took = all_ran(&up, planned_at).await?;
        sides[0].values.push(took);
        tell(name, run, bench.runs, &sides);
    }
    let [side] = sides;
    Ok(vec![Row { name: name.to_owned(), unit: "s", values: side.values, baseline: None }])
}

/// What 10,000 schedules, none of which is due, take of a core, beside what skep and NATS take without them.
pub(super) async fn idle(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let (mut sides, mut values) = ([Side::new("with schedules"), Side::new("without")], Vec::new());
    for run in 1..=bench.runs {
        let up = Up::start(bench).await?;
        sleep(SETTLES_WITHIN).await;
        let without = percent_of_a_core(&up).await?;
        declare(&up, (OffsetDateTime::now_utc().unix_timestamp() + FAR_AWAY) % 3600).await?;
        all_planned(&up).await?;
        sleep(SETTLES_WITHIN).await;
        let with = percent_of_a_core(&up).await?;
        sides[0].values.push(with);
        sides[1].values.push(without);
        values.push(with - without);
        tell(name, run, bench.runs, &sides);
    }
    Ok(vec![Row { name: name.to_owned(), unit: "%", values, baseline: None }])
}

async fn percent_of_a_core(up: &Up) -> Result<f64> {
    let seconds = || Ok::<f64, anyhow::Error>(tree::of(up.process.id())?.into_iter().map(Member::own_seconds).sum());
    let before = seconds()?;
    sleep(IDLE_WINDOW).await;
    Ok((seconds()? - before) / IDLE_WINDOW.as_secs_f64() * 100.0)
}

/// Waits until the next two occurrences of each are planned.
async fn all_planned(up: &Up) -> Result<()> {
    let (metrics, give_up) = (Target::new(up.admin, "/metrics"), OffsetDateTime::now_utc() + IN_TIME);
    loop {
        let text = metrics.read().await?;
        let planned = text.lines().filter(|line| line.starts_with(PLANNED));
        let planned: f64 = planned.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        if planned >= 2.0 * SCHEDULES as f64 {
            return Ok(());
        }
        ensure!(OffsetDateTime::now_utc() < give_up, "{planned} calls are planned");
        sleep(Duration::from_secs(1)).await;
    }
}

async fn declare(up: &Up, offset: i64) -> Result<()> {
    let sources = Target { expected: StatusCode::CREATED, ..Target::new(up.gateway, "/system/sources") };
    with_requests(&sources, async |requests| {
        for number in 0..SCHEDULES {
            let spec = format!(
                r#"{{"name":"s{number}","every":"1h","offset":"{}s","routes":[{{"to":"noop"}}]}}"#,
                offset.max(1)
            );
            requests.send(Method::POST, Bytes::from(spec)).await?;
        }
        Ok(())
    })
    .await
}

/// Seconds from the second of the occurrences until all their calls have ended.
async fn all_ran(up: &Up, planned_at: i64) -> Result<f64> {
    let metrics = Target::new(up.admin, "/metrics");
    let give_up = OffsetDateTime::from_unix_timestamp(planned_at)? + IN_TIME;
    let planned_at = OffsetDateTime::from_unix_timestamp(planned_at)?;
    loop {
        let text = metrics.read().await?;
        let ended = text.lines().find_map(|line| line.strip_prefix(ENDED)?.parse().ok()).unwrap_or(0.0);
        let now = OffsetDateTime::now_utc();
        // The call that Up makes at its start is a synchronous one, and not counted here.
        if ended >= SCHEDULES as f64 {
            return Ok((now - planned_at).as_seconds_f64());
        }
        ensure!(now < give_up, "{ended} of {SCHEDULES} calls have ended");
        sleep(LOOK_AGAIN).await;
    }
}
