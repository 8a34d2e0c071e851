//! Messages of a stream until each is an event with its call stored, against calls that are accepted over HTTP.

use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::jetstream::stream::Config;
use futures_util::{TryStreamExt, future::try_join_all};
use serde_json::json;
use skep_protocol::{SourceRecord, Subjects};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    bench::Bench,
    load::{self, BODY},
    measure::{Row, Side, rows, tell},
    platform::{Disk, FUNCTION, Platform},
};

const CONNECTIONS: usize = 64;
const WINDOW: Duration = Duration::from_millis(1500);
/// Messages of a run.
const MESSAGES: usize = 10_000;
/// Messages that are published together.
const TOGETHER: usize = 500;
const DEADLINE: Duration = Duration::from_secs(120);

/// No call runs: the function has no replica, and the worker takes none.
pub(super) async fn rate(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let platform = Platform::start(bench, Disk::Synced).await?;
    platform.register(None).await?;
    let target = platform.asynchronous();
    load::run(&target, CONNECTIONS, WINDOW / 2).await?;
    let mut sides = [Side::new("skep"), Side::new("accept")];
    for run in 1..=bench.runs {
        let [skep, accept] = &mut sides;
        platform.stream("INVOKE").await?.purge().await?;
        accept.values.push(load::run(&target, CONNECTIONS, WINDOW).await?.per_second());
        platform.stream("INVOKE").await?.purge().await?;
        skep.values.push(per_second(bench, &platform, run).await?);
        tell(name, run, bench.runs, &sides);
    }
    Ok(rows(name, "1/s", sides.into()))
}

async fn per_second(bench: &Bench, platform: &Platform, run: usize) -> Result<f64> {
    let (jetstream, source) = (&platform.jetstream, format!("topic-{run}"));
    let config = Config { name: "TOPIC".to_owned(), subjects: vec!["topic".to_owned()], ..Config::default() };
    jetstream.create_stream(config).await?;
    for _ in 0..MESSAGES / TOGETHER {
        let sent = try_join_all((0..TOGETHER).map(|_| jetstream.publish("topic", BODY.to_vec().into()))).await?;
        try_join_all(sent.into_iter().map(IntoFuture::into_future)).await?;
    }
    let worker = platform.start_worker(bench).await?;
    pause_calls(platform).await?;
    let now = OffsetDateTime::now_utc();
    let spec = json!({ "nats": { "stream": "TOPIC", "start": "all" }, "routes": [{ "to": FUNCTION }] });
    let record = SourceRecord {
        name: source.parse()?,
        spec,
        created_at: now,
        updated_at: now,
        paused: false,
        paused_at: None,
        function: None,
    };
    let bucket = jetstream.get_key_value(Subjects::default().stream("SOURCES")).await?;
    let routed = routed(platform).await?;
    let begun = Instant::now();
    bucket.put(format!("spec.{source}"), serde_json::to_vec(&record)?.into()).await?;
    let all = async {
        while self::routed(platform).await? < routed + MESSAGES as u64 {
            sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    timeout(DEADLINE, all).await.context("the messages do not become calls")??;
    let took = begun.elapsed();
    bucket.purge(format!("spec.{source}")).await?;
    drop(worker);
    jetstream.delete_stream("TOPIC").await?;
    Ok(MESSAGES as f64 / took.as_secs_f64())
}

/// Keeps the worker from taking calls, as there is no worker while calls are accepted. It goes on taking events.
async fn pause_calls(platform: &Platform) -> Result<()> {
    let queue = platform.stream("INVOKE").await?;
    let lanes: Vec<String> = queue.consumer_names().try_collect().await?;
    anyhow::ensure!(!lanes.is_empty(), "the worker has no consumers yet");
    for lane in lanes {
        queue.pause_consumer(&lane, OffsetDateTime::now_utc() + DEADLINE).await?;
    }
    Ok(())
}

/// How many events have become calls.
async fn routed(platform: &Platform) -> Result<u64> {
    let events = platform.stream("EVENTS").await?;
    Ok(events.consumer_info("route").await.map_or(0, |info| info.ack_floor.consumer_sequence))
}
