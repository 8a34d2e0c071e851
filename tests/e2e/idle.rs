//! What sources and calls that wait ask of NATS while nothing happens.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt;
use http::Method;
use serde_json::json;
use skep_bus::DelayedCalls;
use tokio::task::JoinHandle;

use crate::{
    bus::{invocation, start},
    harness::{Function, Roles, Site, wait_until},
    nats,
};

const SOURCES: usize = 40;
/// How often roles look at the bucket of sources while some time passes; each does every five seconds.
const LOOKS: usize = 30;

/// Counts the requests to JetStream's API from now on.
struct Requests {
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    task: JoinHandle<()>,
}

impl Requests {
    async fn begin(site: &Site) -> Self {
        let client = nats::client(site).await;
        let mut requests = client.subscribe("$JS.API.>").await.unwrap();
        client.flush().await.unwrap();
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let counted = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                *counted.lock().unwrap().entry(request.subject.to_string()).or_default() += 1;
            }
        });
        Self { counts, task }
    }

    /// How many there were whose subject begins with this.
    fn of(&self, beginning: &str) -> usize {
        let counts = self.counts.lock().unwrap();
        counts
            .iter()
            .filter(|(subject, _)| subject.starts_with(&format!("$JS.API.{beginning}")))
            .map(|(_, count)| count)
            .sum()
    }

    async fn wait_for_looks(&self) {
        let looks = || self.of("STREAM.INFO.KV_SKEP_SOURCES");
        let before = looks();
        wait_until("some time has passed", async || looks() >= before + LOOKS).await;
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn sources_ask_nothing_of_nats_while_there_are_no_events() {
    let roles = Roles::start([Function::counted()]).await;
    for number in 0..SOURCES {
        let routes = [json!({ "to": "counted" })];
        let source = json!({ "name": format!("yearly-{number}"), "cron": "0 3 1 1 *", "routes": routes });
        let answer = roles.gateway.send(Method::POST, "/system/sources", &source).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let mut delayed = nats::stream(&roles.site, "SKEP_DELAYED").await;
    wait_until("two calls of each are planned", async || {
        delayed.info().await.unwrap().state.messages == 2 * SOURCES as u64
    })
    .await;
    let requests = Requests::begin(&roles.site).await;
    requests.wait_for_looks().await;
    let questions = || requests.of("CONSUMER.CREATE.SKEP_EVENTS");
    assert_eq!((questions(), requests.of("CONSUMER.CREATE.KV_SKEP_SOURCES")), (0, 0));

    let fired = roles.gateway.send(Method::POST, "/system/sources/yearly-7/fire", &json!({})).await;
    assert_eq!(fired.status, 200, "{fired:?}");
    wait_until("it is asked about each source", async || questions() >= SOURCES).await;
    let before = questions();
    requests.wait_for_looks().await;
    assert!(questions() - before < SOURCES / 2, "{before} questions, and then {}", questions());
}

#[tokio::test]
async fn delayed_calls_are_read_once_however_often_it_is_looked_for_overdue_ones() {
    let (site, _server, bus) = start().await;
    for number in 0..SOURCES {
        let run_at = Some(time::OffsetDateTime::now_utc() + time::Duration::HOUR);
        bus.calls.submit(&skep_protocol::Call { run_at, ..invocation("f", &number.to_string()) }).await.unwrap();
    }
    let mut calls = DelayedCalls::default();
    assert_eq!(bus.housekeeping.send_on_overdue(&mut calls, 2 * SOURCES, Duration::ZERO).await.unwrap(), 0);
    let requests = Requests::begin(&site).await;
    for _ in 0..2 {
        assert_eq!(bus.housekeeping.send_on_overdue(&mut calls, 2 * SOURCES, Duration::ZERO).await.unwrap(), 0);
    }
    nats::stream(&site, "SKEP_INVOKE").await;
    wait_until("the requests have been counted", async || requests.of("STREAM.INFO.SKEP_INVOKE") > 0).await;
    assert!(requests.of("") < SOURCES / 2, "{:?}", requests.counts.lock().unwrap());
}

#[tokio::test]
async fn calls_that_come_due_are_read_once_and_then_only_those_that_were_stored_since() {
    let (_site, _server, bus) = start().await;
    let submit = async |number: usize, wait: time::Duration| {
        let run_at = Some(time::OffsetDateTime::now_utc() + wait);
        bus.calls.submit(&skep_protocol::Call { run_at, ..invocation("f", &number.to_string()) }).await.unwrap();
    };
    assert_eq!(bus.queue_depth.upcoming(0).await.unwrap(), None);
    for number in 0..SOURCES {
        submit(number, time::Duration::HOUR).await;
    }
    let (calls, read_to) = bus.queue_depth.upcoming(0).await.unwrap().unwrap();
    let keys: Vec<_> = calls.iter().map(|call| call.key.parse::<usize>().unwrap()).collect();
    assert_eq!(keys, (0..SOURCES).collect::<Vec<_>>());
    assert!(calls.iter().all(|call| call.function.as_str() == "f" && call.due_at > time::OffsetDateTime::now_utc()));
    assert_eq!(bus.queue_depth.upcoming(read_to).await.unwrap(), None, "nothing was stored since");
    submit(SOURCES, time::Duration::MINUTE).await;
    let (calls, _) = bus.queue_depth.upcoming(read_to).await.unwrap().unwrap();
    assert_eq!(calls.iter().map(|call| call.key.parse::<usize>().unwrap()).collect::<Vec<_>>(), [SOURCES]);
}
