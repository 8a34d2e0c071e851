//! What happened to calls: lists of them, one call's steps, and steps as they come.

use http::StatusCode;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    harness::{Answer, Function, Gateway, Platform, Receiver, Roles, answer_to, wait_for, wait_until},
    nats,
};

async fn listed(gateway: &Gateway, query: &str) -> Vec<String> {
    let answer = answer_to(gateway.get(&format!("/system/calls{query}"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().unwrap().iter().map(|call| call["callId"].as_str().unwrap().to_owned()).collect()
}

fn steps(timeline: &Value) -> Vec<&str> {
    timeline.as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// The steps that a stream of events reported.
fn reported(answer: &Answer) -> Vec<Value> {
    assert!(answer.header("content-type").starts_with("text/event-stream"), "{answer:?}");
    let text = answer.text();
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn a_call_tells_its_attempts_and_the_tries_of_its_callback() {
    let platform = Platform::start([Function::failing().attempts(3)]).await;
    let receiver = Receiver::refusing(1, StatusCode::SERVICE_UNAVAILABLE).await;
    let request = platform.gateway.post("/async-function/failing").header("X-Callback-Url", &receiver.url);
    let id = answer_to(request.body("x")).await.header("x-call-id").to_owned();
    let timeline = wait_for("the callback", async || {
        let call = platform.gateway.call_status(&id).await?;
        Some(call["timeline"].clone()).filter(|timeline| steps(timeline).contains(&"delivered"))
    });
    let timeline = timeline.await;
    let expected =
        ["accepted", "started", "retrying", "started", "retrying", "started", "dead", "undelivered", "delivered"];
    assert_eq!(steps(&timeline), expected, "{timeline}");
    let (first, after) = (&timeline[1], &timeline[2]);
    assert_eq!((&first["attempt"], &first["replica"]), (&1.into(), &"failing-1".into()), "{timeline}");
    assert_eq!((&after["status"], &after["reason"]), (&500.into(), &"the function answered 500".into()));
    assert!(after["durationSeconds"].as_f64() > Some(0.0) && after["until"].is_string(), "{timeline}");
    assert_eq!((&timeline[5]["attempt"], &timeline[6]["status"]), (&3.into(), &500.into()), "{timeline}");
    assert!(timeline[7]["reason"].as_str().unwrap().contains("503"), "{timeline}");
    let times: Vec<&str> = timeline.as_array().unwrap().iter().map(|event| event["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{timeline}");
}

#[tokio::test]
async fn a_call_that_goes_well_costs_two_messages() {
    let platform = Platform::start([Function::cat()]).await;
    let receiver = Receiver::start().await;
    let request = platform.gateway.post("/async-function/cat").header("X-Callback-Url", &receiver.url);
    let id = answer_to(request.body("x")).await.header("x-call-id").to_owned();
    receiver.wait_for(1).await;
    let records = nats::stream(&platform.site, "SKEP_CALLS").await;
    let callback_is_done = async || {
        let consumer = records.consumer_info("callbacks").await.unwrap();
        consumer.num_pending == 0 && consumer.num_ack_pending == 0
    };
    wait_until("the callback is done", callback_is_done).await;
    let mut written = Vec::new();
    for name in ["INVOKE", "CALLS", "DELAYED", "TRIES", "DEAD"] {
        let stream = nats::stream(&platform.site, &format!("SKEP_{name}")).await;
        written.push(stream.get_info().await.unwrap().state.last_sequence);
    }
    assert_eq!(written, [1, 1, 0, 0, 0]);
    let call = platform.gateway.call_status(&id).await.unwrap();
    assert_eq!(steps(&call["timeline"]), ["accepted", "started", "succeeded"]);
}

#[tokio::test]
async fn a_call_that_waits_or_was_sent_again_says_so() {
    let platform = Platform::start([Function::failing().attempts(1)]).await;
    let gateway = &platform.gateway;
    let later = gateway.queue_later("failing", "1h").await;
    let status = gateway.call_status(&later).await.unwrap();
    assert_eq!(steps(&status["timeline"]), ["accepted", "scheduled"]);
    assert_eq!(status["timeline"][1]["until"], status["runAt"]);

    let id = gateway.queue("failing", "x").await;
    gateway.state(&id, "dead").await;
    platform.site.open_gate();
    let redrive = gateway.post(&format!("/system/dead/{id}/redrive"));
    assert_eq!(answer_to(redrive).await.status, 202);
    let status = gateway.state(&id, "succeeded").await;
    assert_eq!(steps(&status["timeline"]), ["accepted", "dead", "redriven", "started", "succeeded"], "{status}");
}

#[tokio::test]
async fn calls_are_listed_in_every_state_and_by_function_and_time() {
    let functions = [Function::cat(), Function::gated(), Function::failing().answers_once()];
    let platform = Platform::start(functions).await;
    let gateway = &platform.gateway;
    let good = gateway.queue("cat", "x").await;
    gateway.finished(&good).await;
    let bad = gateway.queue("failing", "x").await;
    let between = gateway.finished(&bad).await["acceptedAt"].as_str().unwrap().to_owned();
    let later = gateway.queue_later("cat", "1h").await;
    let taken_back = gateway.queue_later("cat", "1h").await;
    assert_eq!(gateway.cancel(&taken_back).await.status, 202);
    let runs = gateway.queue("gated", "x").await;
    gateway.state(&runs, "running").await;
    gateway.scale("failing", 0).await;
    gateway.wait_for_replicas("failing", 0).await;
    let waits = gateway.queue("failing", "x").await;

    for (query, expected) in [
        ("?state=succeeded", vec![&good]),
        ("?state=failed", vec![&bad]),
        ("?state=scheduled", vec![&later]),
        ("?state=cancelled", vec![&taken_back]),
        ("?state=running", vec![&runs]),
        ("?state=queued", vec![&waits]),
        ("?state=dead", vec![]),
        ("?state=queued,failed&function=failing", vec![&waits, &bad]),
        ("?function=cat", vec![&later, &taken_back, &good]),
        (&format!("?until={between}"), vec![&good]),
        (&format!("?since={between}&state=failed,succeeded"), vec![&bad]),
        ("?since=1h", vec![&later, &runs, &waits, &taken_back, &bad, &good]),
        ("?until=1h", vec![]),
    ] {
        let mut found = listed(gateway, query).await;
        if query == "?since=1h" {
            // What runs and what is queued are in one queue.
            found[1..3].sort_by_key(|id| *id != runs);
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    for bad in ["?state=lost", "?since=soon", "?until=-1s", "?after=7", "?limit=x", "?function=A%20B"] {
        answer_to(gateway.get(&format!("/system/calls{bad}"))).await.assert_refused(400);
    }
}

#[tokio::test]
async fn a_list_goes_on_where_it_has_ended() {
    let platform = Platform::start([Function::cat()]).await;
    let gateway = &platform.gateway;
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(gateway.queue("cat", "x").await);
        gateway.finished(expected.last().unwrap()).await;
        expected.push(gateway.queue_later("cat", "1h").await);
    }
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let answer = answer_to(gateway.get(&format!("/system/calls?limit=3&after={after}"))).await;
        let page = answer.json();
        assert!(page.as_array().unwrap().len() <= 3, "{page}");
        found.extend(page.as_array().unwrap().iter().map(|call| call["callId"].as_str().unwrap().to_owned()));
        after = answer.header("x-skep-next").to_owned();
        if after.is_empty() {
            break;
        }
    }
    assert!(found[..5].is_sorted() && found[5..].iter().rev().is_sorted(), "{found:?}");
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn the_steps_of_a_call_come_as_they_happen_and_end_with_it() {
    let platform = Platform::start([Function::gated()]).await;
    let gateway = &platform.gateway;
    let id = gateway.queue("gated", "x").await;
    let path = format!("/system/calls/{id}/events");
    let (followed, ()) = tokio::join!(answer_to(gateway.get(&path)), async {
        gateway.state(&id, "running").await;
        platform.site.open_gate();
    });
    let events: Value = reported(&followed).into();
    assert_eq!(steps(&events), ["accepted", "started", "succeeded"], "{events}");
    assert!(followed.text().contains("event: succeeded\n"), "{followed:?}");
    let again: Value = reported(&answer_to(gateway.get(&path)).await).into();
    assert_eq!(steps(&again), ["accepted", "started", "succeeded"], "the steps of a call that has ended");
    answer_to(gateway.get("/system/calls/nobody/events")).await.assert_refused(404);
}

#[tokio::test]
async fn the_steps_of_all_calls_come_until_the_gateway_stops() {
    let mut roles = Roles::start([Function::cat(), Function::counted()]).await;
    let gateway = roles.gateway.clone();
    let mut stream = gateway.get("/system/events?function=counted").send().await.unwrap();
    gateway.queue_as("other", "cat", "x").await;
    gateway.queue_as("mine", "counted", "x").await;
    let mut seen = String::new();
    while !seen.contains("succeeded") {
        seen.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().expect("it goes on")).unwrap());
    }
    assert!(seen.contains(r#""callId":"mine","function":"counted""#) && seen.contains("event: accepted"), "{seen}");
    assert!(!seen.contains("other"), "{seen}");
    roles.role_gateway.signal(Signal::TERM);
    let mut rest = Vec::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        rest.extend_from_slice(&chunk);
    }
    assert_eq!(roles.role_gateway.ended().await.code(), Some(0), "{}", String::from_utf8_lossy(&rest));
}
