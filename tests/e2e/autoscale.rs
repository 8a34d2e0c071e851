//! Replicas that follow the use of their function.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join_all};
use http::Method;
use serde_json::{Value, from_slice, json};
use skep_scaling::{Record, State, decide};
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{Answer, Function, Gateway, Platform, Roles, Site, answer_to, metrics_of, wait_for, wait_until},
    nats,
};

const ON: [&str; 2] = ["--autoscale", "on"];
const WAKING: [&str; 3] = ["--autoscale", "on", "--scale-from-zero=true"];

/// It takes half a second and answers with the process of its replica. Two of its calls fill a replica.
pub(crate) fn nap() -> Function {
    let function = Function::new("nap", "sh -c 'sleep 0.5; echo $PPID'");
    let function = function.label("com.openfaas.scale.target", "2").label("com.openfaas.scale.max", "5");
    function.label("com.openfaas.scale.down.window", "2s")
}

/// Callers who call again as soon as they have their answer.
pub(crate) struct Load {
    pub(crate) ending: CancellationToken,
    callers: Vec<JoinHandle<Vec<Answer>>>,
}

impl Load {
    pub(crate) fn begin(gateway: &Gateway, function: &'static str, callers: usize) -> Self {
        let ending = CancellationToken::new();
        let caller = |_| {
            let (gateway, ending) = (gateway.clone(), ending.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !ending.is_cancelled() {
                    answers.push(gateway.call(function, "").await);
                }
                answers
            })
        };
        Self { callers: (0..callers).map(caller).collect(), ending }
    }

    pub(crate) async fn end(self) -> Vec<Answer> {
        self.ending.cancel();
        join_all(self.callers).await.into_iter().flat_map(Result::unwrap).collect()
    }
}

pub(crate) async fn replicas(gateway: &Gateway, function: &str) -> u64 {
    gateway.function(function).await.unwrap()["replicas"].as_u64().unwrap()
}

async fn scaling(gateway: &Gateway, function: &str) -> Value {
    gateway.function(function).await.unwrap()["scaling"].clone()
}

/// Repeats the decisions that were recorded, and returns how many there were.
fn repeat_decisions(file: &Path) -> usize {
    let text = fs::read_to_string(file).unwrap();
    let mut state = State::new();
    let records = text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok());
    let repeated = records.map(|record| {
        let decision = decide(&mut state, &record.seen, &record.policy, Duration::from_secs_f64(record.at));
        assert_eq!(decision.want, record.want, "{record:?}");
    });
    repeated.count()
}

#[tokio::test]
async fn replicas_follow_calls_up_and_down_and_no_call_fails_and_the_decisions_can_be_repeated() {
    let site = Site::new([nap()]);
    let record = site.path("decisions");
    let platform = {
        let up = site.up(&[ON[0], ON[1], "--record-scaling", record.to_str().unwrap()]).await;
        Platform { up, gateway: site.gateway.clone(), site }
    };
    let mut events = platform.gateway.get("/system/events?function=nap").send().await.unwrap();
    let load = Load::begin(&platform.gateway, "nap", 8);
    wait_until("there are more replicas", async || replicas(&platform.gateway, "nap").await >= 4).await;
    platform.site.wait_for_function("nap").await;
    // The change is reported in the second after it.
    let status = wait_for("the change is reported", async || {
        Some(scaling(&platform.gateway, "nap").await).filter(|status| status["since"].is_string())
    });
    let status = status.await;
    assert_eq!(status["type"], "auto");
    assert!(status["need"].as_u64().unwrap() > 1 && status["load"].as_f64().unwrap() > 2.0, "{status}");
    assert!(!status["reason"].as_str().unwrap().is_empty(), "{status}");
    let mut text = String::new();
    // The event may come in pieces.
    while !text.split_once("event: scaled").is_some_and(|(_, event)| event.contains("\n\n")) {
        text += &String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap());
    }
    assert!(text.contains("\"from\":1") && text.contains("\"reason\":\""), "{text}");
    // They may have become ready a moment ago.
    let mut took = BTreeSet::new();
    wait_until("further replicas take calls", async || {
        let answer = platform.gateway.call("nap", "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        took.insert(answer.text());
        took.len() >= 2
    })
    .await;
    let answers = load.end().await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    wait_until("there is one replica again", async || replicas(&platform.gateway, "nap").await == 1).await;
    drop(platform.up);
    assert!(repeat_decisions(&record) > 3);
}

#[tokio::test]
async fn queued_work_gets_replicas_and_all_of_it_succeeds() {
    let function = nap().env("max_inflight", "1");
    let platform = Platform::start_with(&ON, [function]).await;
    let ids = join_all((0..30).map(|_| platform.gateway.queue("nap", ""))).await;
    wait_until("there are more replicas", async || replicas(&platform.gateway, "nap").await >= 4).await;
    for id in ids {
        assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
    }
    wait_until("there is one replica again", async || replicas(&platform.gateway, "nap").await == 1).await;
}

#[tokio::test]
async fn calls_that_wake_a_function_together_do_not_all_go_to_its_first_replica() {
    let platform = Platform::start_with(&WAKING, [nap()]).await;
    platform.gateway.scale("nap", 0).await;
    platform.gateway.wait_for_replicas("nap", 0).await;
    let answers = join_all((0..30).map(|_| platform.gateway.call("nap", ""))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let took: BTreeSet<_> = answers.iter().map(Answer::text).collect();
    assert!(took.len() >= 2, "{took:?}");
}

/// Puts a function to sleep, without holding it there.
async fn put_to_sleep(gateway: &Gateway, function: &str) {
    let asleep = json!({ "serviceName": function, "replicas": 0, "hold": "0s" });
    assert_eq!(gateway.send(Method::POST, &format!("/system/scale-function/{function}"), &asleep).await.status, 202);
    gateway.wait_for_replicas(function, 0).await;
}

/// Queues calls that all come due in six seconds.
async fn queue_together(gateway: &Gateway, function: &str, calls: usize) -> Vec<String> {
    let run_at = (time::OffsetDateTime::now_utc() + Duration::from_secs(6)).format(&Rfc3339).unwrap();
    let queued = join_all((0..calls).map(|_| {
        let request = gateway.post(&format!("/async-function/{function}"));
        answer_to(request.header("X-Skep-Run-At", &run_at).body(""))
    }));
    let ids = queued.await.into_iter().map(|answer| {
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("x-call-id").to_owned()
    });
    ids.collect()
}

#[tokio::test]
async fn a_function_that_sleeps_has_replicas_before_its_delayed_calls_are_due() {
    let platform = Platform::start_with(&WAKING, [nap()]).await;
    let mut wakes = Vec::new();
    // A machine that stands still for two seconds makes it late.
    for _ in 0..5 {
        put_to_sleep(&platform.gateway, "nap").await;
        let ids = queue_together(&platform.gateway, "nap", 30).await;
        let woken = |function: &Value| function["scaled"]["from"] == 0;
        let wake = see(&platform.site, "it is woken", woken).await.pop().unwrap()["scaled"].clone();
        for id in ids {
            assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
        }
        if wake["reason"] == "30 calls are due soon" {
            assert_eq!(wake["to"], 5, "as many as it may have, and not one");
            return;
        }
        wakes.push(wake);
    }
    panic!("each time a call woke it: {wakes:?}");
}

#[tokio::test]
async fn a_delayed_call_that_was_cancelled_wakes_nobody() {
    let platform = Platform::start_with(&WAKING, [nap(), Function::cat()]).await;
    for function in ["nap", "cat"] {
        put_to_sleep(&platform.gateway, function).await;
    }
    let cancelled = join_all((0..2).map(|_| platform.gateway.queue_later("nap", "12s"))).await;
    let id = platform.gateway.queue_later("cat", "12s").await;
    for id in cancelled {
        assert_eq!(platform.gateway.cancel(&id).await.status, 202);
    }
    assert_eq!(platform.gateway.finished(&id).await["state"], "succeeded");
    assert_eq!(replicas(&platform.gateway, "nap").await, 0);
}

#[tokio::test]
async fn where_calls_wake_nobody_those_that_are_due_soon_do_not_either() {
    let platform = Platform::start_with(&ON, [nap()]).await;
    put_to_sleep(&platform.gateway, "nap").await;
    let is_due = |function: &Value| function["scaling"]["reason"].as_str().unwrap().contains("due soon");
    for _ in 0..5 {
        let ids = queue_together(&platform.gateway, "nap", 1).await;
        let waits = |function: &Value| function["scaling"]["reason"].as_str().unwrap().contains("calls wait");
        let seen = see(&platform.site, "it waits", waits).await;
        assert!(seen.iter().all(|function| function["replicas"] == 0), "{seen:?}");
        if seen.iter().any(is_due) {
            return;
        }
        assert_eq!(platform.gateway.cancel(&ids[0]).await.status, 202);
    }
    panic!("it was never seen to come due");
}

#[tokio::test]
async fn calls_that_come_due_are_shown_wherever_the_other_inputs_are() {
    let platform = Platform::start_with(&ON, [nap()]).await;
    // One after another, so that there are some for a while.
    for second in 3..43 {
        platform.gateway.queue_later("nap", &format!("{second}s")).await;
    }
    let is_due = async || scaling(&platform.gateway, "nap").await["due"].as_u64().is_some_and(|due| due > 0);
    wait_until("the API shows them", is_due).await;
    let describes = async || platform.site.client(&["describe", "nap"]).await.said().contains("; due soon: ");
    wait_until("skep describe shows them", describes).await;
    let metric = "skep_scaling_due{function_name=\"nap\"}";
    wait_until(metric, async || {
        let metrics = metrics_of(platform.site.admin).await;
        metrics.lines().any(|line| line.strip_prefix(metric).is_some_and(|due| due != " 0"))
    })
    .await;
}

#[tokio::test]
async fn a_number_that_a_person_sets_is_held_until_it_is_let_go() {
    let platform = Platform::start_with(&ON, [nap()]).await;
    platform.gateway.scale("nap", 3).await;
    wait_until("it says so", async || scaling(&platform.gateway, "nap").await["held_until"].is_string()).await;
    let description = platform.site.client(&["describe", "nap"]).await.said();
    assert!(description.contains("set by hand") && description.contains("held until"), "{description}");
    assert_eq!(replicas(&platform.gateway, "nap").await, 3);
    let path = "/system/scale-function/nap";
    let refused = platform.gateway.send(Method::POST, path, &json!({ "replicas": 3, "hold": "48h" })).await;
    refused.assert_refused(400);
    let let_go = json!({ "serviceName": "nap", "replicas": 3, "hold": "0s" });
    assert_eq!(platform.gateway.send(Method::POST, path, &let_go).await.status, 202);
    wait_until("it has what it needs", async || replicas(&platform.gateway, "nap").await == 1).await;
    let is_held = async || scaling(&platform.gateway, "nap").await.get("held_until").is_some();
    wait_until("it is held no longer", async || !is_held().await).await;
}

#[tokio::test]
async fn an_alert_raises_a_function_and_its_end_takes_that_back() {
    let platform = Platform::start_with(&ON, [Function::cat()]).await;
    let alert = async |status: &str| {
        let alert = json!({ "status": status, "labels": { "function_name": "cat" } });
        let answer = platform.gateway.send(Method::POST, "/system/alert", &json!({ "alerts": [alert] })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    alert("firing").await;
    wait_until("it is raised", async || replicas(&platform.gateway, "cat").await == 5).await;
    let says_so = async || {
        let status = scaling(&platform.gateway, "cat").await;
        status["reason"].as_str().unwrap().contains("alert")
    };
    wait_until("it says so", says_so).await;
    alert("resolved").await;
    wait_until("it is as before", async || replicas(&platform.gateway, "cat").await == 1).await;
}

#[tokio::test]
async fn a_type_that_is_unknown_is_refused_with_all_that_there_are() {
    let platform = Platform::start_with(&ON, []).await;
    let function = nap().label("com.openfaas.scale.type", "memory");
    let body = function.deployment(platform.site.folder());
    let refused = platform.gateway.send(Method::POST, "/system/functions", &body).await;
    refused.assert_refused(400);
    assert!(refused.text().contains("auto, rps, capacity, cpu, queue, alert"), "{refused:?}");
}

/// The function in each second that the controller publishes, until something holds.
pub(crate) async fn see(site: &Site, what: &str, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut seconds = nats::client(site).await.subscribe("skep.stats").await.unwrap();
    let mut seen = Vec::new();
    let found = tokio::time::timeout(Duration::from_secs(60), async {
        while let Some(second) = seconds.next().await {
            let second: Value = from_slice(&second.payload).unwrap();
            seen.extend(second["functions"].as_array().unwrap().first().cloned());
            if seen.last().is_some_and(&is_it) {
                return;
            }
        }
    });
    assert!(found.await.is_ok(), "{what}: {seen:?}");
    seen
}

#[tokio::test]
async fn nothing_is_scaled_down_because_a_gateway_is_silent() {
    let mut site = Site::new([nap()]);
    site.environment.push(("SKEP_AUTOSCALE", "on".to_owned()));
    let mut roles = Roles::start_at(site).await;
    let load = Load::begin(&roles.gateway, "nap", 6);
    let site = Arc::new(roles.site);
    see(&site, "it is scaled", |function| function["ready"].as_u64().unwrap() >= 3).await;
    load.ending.cancel();
    roles.role_gateway.kill();
    let seen = see(&site, "the silence is noticed", |function| function["complete"] == false).await;
    let wanted = |function: &Value| function["replicas"].as_u64().unwrap();
    let before = wanted(&seen[0]);
    let later = see(&site, "the reason is shown", |function| {
        function["scaling"]["reason"].as_str().unwrap().contains("does not report")
    });
    let later = later.await;
    assert!(seen.iter().chain(&later).all(|function| wanted(function) >= before), "{seen:?} {later:?}");
}
