//! Signed webhooks in the storm: each event that was answered 2xx makes one call per route, and one of a burst on the debounced route.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use crate::harness::Gateway;

const SENDERS: usize = 2;
const SOURCE: &str = "github";
const ROUTES: usize = 3;

/// Declares a source with three routes to a function; the last one is debounced.
pub(crate) async fn declare(gateway: &Gateway, function: &str) {
    let route = |name: &str| json!({ "to": function, "name": name, "filter": { "type": "push" } });
    let mut debounced = route("latest");
    debounced["debounce"] = json!({ "wait": "1s", "at_most": "5s" });
    let routes = [route("one"), route("two"), debounced];
    gateway.declare(SOURCE, json!({ "preset": "github", "routes": routes })).await;
}

/// Senders that send each event until they see a 2xx.
pub(crate) struct Senders {
    accepted: Arc<Mutex<BTreeSet<String>>>,
    is_over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// How the calls of events have ended.
pub(crate) struct CallsOfEvents {
    pub(crate) events: usize,
    pub(crate) calls: usize,
    pub(crate) replaced: usize,
}

impl Senders {
    pub(crate) fn start(gateway: &Gateway, seed: u64) -> Self {
        let accepted: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let is_over: Arc<AtomicBool> = Arc::default();
        let next = Arc::new(AtomicU64::new(1));
        let send = |_| {
            let (gateway, accepted) = (gateway.clone(), Arc::clone(&accepted));
            let (is_over, next) = (Arc::clone(&is_over), Arc::clone(&next));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let delivery = format!("storm-{seed}-{}", next.fetch_add(1, Ordering::Relaxed));
                    while !is_accepted(&gateway, &delivery).await {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    accepted.lock().unwrap().insert(delivery);
                    tokio::time::sleep(Duration::from_millis(60)).await;
                }
            })
        };
        let tasks = (0..SENDERS).map(send).collect();
        Self { accepted, is_over, tasks }
    }

    /// Lets each send its last event.
    pub(crate) async fn end(self) -> BTreeSet<String> {
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        Arc::try_unwrap(self.accepted).unwrap().into_inner().unwrap()
    }
}

async fn is_accepted(gateway: &Gateway, delivery: &str) -> bool {
    let request = gateway.webhook(SOURCE, "push", delivery, &json!({ "delivery": delivery }).to_string());
    let Ok(answer) = request.timeout(Duration::from_secs(10)).send().await else { return false };
    let status = answer.status().as_u16();
    // A gateway that has just started may not know the source, or its secret.
    assert!([202, 401, 404, 429, 503].contains(&status), "{status}");
    status == 202
}

/// Checks that each event was routed once to each of its routes.
pub(crate) async fn check(gateway: &Gateway, accepted: &BTreeSet<String>) -> CallsOfEvents {
    assert!(!accepted.is_empty(), "events came through");
    let mut ids = BTreeSet::new();
    let (mut replaced, mut ran) = (0, 0);
    for delivery in accepted {
        let event = gateway.routed_event(SOURCE, delivery).await;
        let calls = event["calls"].as_array().unwrap();
        assert_eq!((&event["outcome"], calls.len()), (&json!("routed"), ROUTES), "{event}");
        for call in calls {
            let id = call["callId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "each call is of one event and one route");
            let status = gateway.finished(id).await;
            if call["route"] == "latest" && status["state"] == "cancelled" {
                replaced += 1;
                assert!(status["reason"].as_str().unwrap().contains("replaced by ev-github-"), "{status}");
                continue;
            }
            ran += usize::from(call["route"] == "latest");
            assert_eq!(status["state"], "succeeded", "{status}");
            assert_eq!(gateway.result(id).await.text(), json!({ "delivery": delivery }).to_string());
        }
    }
    assert!(ran > 0, "the latest event of a burst has run");
    CallsOfEvents { events: accepted.len(), calls: ids.len(), replaced }
}
