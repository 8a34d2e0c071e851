//! skep's own events: what goes wrong calls functions, each thing once, and never in a circle.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Function, Gateway, Platform, Roles, Site, answer_to, metrics_of, wait_for, wait_until};

const SOURCES: &str = "/system/sources";

/// Writes each event that it gets into the file `runs`.
fn alert() -> Function {
    // In one write, so that two of them do not mix.
    Function::new("alert", r#"sh -c 'printf "%s\n" "$(cat)" >> runs'"#)
}

/// Fails at once, and is not tried again.
fn dying(name: &str) -> Function {
    Function::new(name, "sh -c 'exit 3'").annotation("com.openfaas.retry.attempts", "1")
}

async fn declare(gateway: &Gateway, name: &str, mut spec: Value) {
    spec["name"] = name.into();
    let answer = gateway.send(Method::POST, SOURCES, &spec).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// The events that the function got, each as JSON.
fn alerts(site: &Site) -> Vec<Value> {
    site.runs().iter().map(|run| serde_json::from_str(run).unwrap()).collect()
}

/// The events that a source has.
async fn events(gateway: &Gateway, source: &str) -> Vec<Value> {
    let page = answer_to(gateway.get(&format!("{SOURCES}/{source}/events?limit=1000"))).await.json();
    let events = page.get("events").cloned().unwrap_or(page);
    events.as_array().unwrap().clone()
}

/// Waits until the calls of the platform that are not finished are none.
async fn all_quiet(gateway: &Gateway) {
    for state in ["queued", "running", "retrying"] {
        wait_until(&format!("no call is {state}"), async || {
            let calls = answer_to(gateway.get(&format!("/system/calls?state={state}"))).await;
            !calls.text().contains("callId")
        })
        .await;
    }
}

#[tokio::test]
async fn a_call_that_dies_calls_a_function_once_for_each_death() {
    let platform = Platform::start([alert(), dying("resize")]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    declare(gateway, "platform", json!({ "skep": ["dead"], "routes": [{ "to": "alert" }] })).await;
    declare(gateway, "others", json!({ "skep": ["disk"], "routes": [{ "to": "alert" }] })).await;
    assert_eq!(gateway.queue_as("order-17", "resize", "x").await.status, 202);
    site.wait_for_runs(1).await;
    let [first] = &alerts(site)[..] else { panic!("{:?}", alerts(site)) };
    assert_eq!(
        (&first["event"], &first["callId"], &first["function"]),
        (&json!("dead"), &json!("order-17"), &json!("resize"))
    );
    assert!(first["text"].as_str().unwrap().starts_with("call order-17 of resize died: "), "{first}");
    let stored = events(gateway, "platform").await;
    assert_eq!((stored.len(), &stored[0]["type"]), (1, &json!("dead")), "{stored:?}");
    assert!(stored[0]["id"].as_str().unwrap().starts_with("dead-order-17-"), "{stored:?}");
    // It dies again, which is another death.
    assert_eq!(gateway.send(Method::POST, "/system/dead/order-17/redrive", &json!({})).await.status, 202);
    site.wait_for_runs(2).await;
    assert_eq!(events(gateway, "platform").await.len(), 2);
    assert!(events(gateway, "others").await.is_empty());
    let counted = r#"queue_worker_own_events_total{event="dead",outcome="stored"} 2"#;
    wait_until(counted, async || metrics_of(site.admin).await.contains(counted)).await;
}

#[tokio::test]
async fn an_alert_that_dies_makes_no_alert_nor_does_its_callback_or_its_replay() {
    let functions = [alert(), dying("resize"), dying("broken"), Function::new("first", "cat")];
    let platform = Platform::start(functions).await;
    let gateway = &platform.gateway;
    let routes = json!([
        { "to": "broken" },
        { "to": "first", "name": "back", "callback": "skep://broken" },
        { "to": "broken", "name": "steps", "through": ["first"] },
    ]);
    declare(gateway, "platform", json!({ "skep": ["dead", "undelivered"], "routes": routes })).await;
    assert_eq!(gateway.queue_as("order-17", "resize", "x").await.status, 202);
    let letters = async || answer_to(gateway.get("/system/dead")).await.json().as_array().unwrap().len();
    // The call, the alert, the callback of the second, and the step of the third.
    wait_until("four calls have died", async || letters().await >= 4).await;
    all_quiet(gateway).await;
    let [only] = &events(gateway, "platform").await[..] else { panic!("{:?}", events(gateway, "platform").await) };
    let id = only["id"].as_str().unwrap();
    let replay = json!({ "ids": [id] });
    let answer = gateway.send(Method::POST, "/system/sources/platform/replay", &replay).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    wait_until("the replay has died", async || letters().await >= 7).await;
    all_quiet(gateway).await;
    assert_eq!(events(gateway, "platform").await.len(), 1);
    assert_eq!(letters().await, 7);
}

#[tokio::test]
async fn a_caller_cannot_say_that_its_call_is_an_alert() {
    let platform = Platform::start([alert(), dying("resize")]).await;
    declare(&platform.gateway, "platform", json!({ "skep": ["dead"], "routes": [{ "to": "alert" }] })).await;
    let forged = platform.gateway.post("/async-function/resize").header("X-Skep-Own-Event", "true").body("x");
    assert_eq!(answer_to(forged).await.status, 202);
    platform.site.wait_for_runs(1).await;
}

#[tokio::test]
async fn a_death_is_told_although_the_worker_is_killed_again_and_again() {
    let mut roles = Roles::start([alert(), dying("resize")]).await;
    declare(&roles.gateway, "platform", json!({ "skep": ["dead"], "routes": [{ "to": "alert" }] })).await;
    for call in 0..100 {
        assert_eq!(roles.gateway.queue_as(&format!("call-{call}"), "resize", "x").await.status, 202);
        if call % 25 == 24 {
            roles.worker.kill();
            roles.worker = roles.site.start_worker().await;
        }
    }
    let gateway = roles.gateway.clone();
    wait_until("all of them have died", async || {
        answer_to(gateway.get("/system/dead?limit=1000")).await.json().as_array().unwrap().len() >= 100
    })
    .await;
    wait_until("each death is an event", async || events(&gateway, "platform").await.len() >= 100).await;
    let stored = events(&gateway, "platform").await;
    assert_eq!(stored.len(), 100);
}

#[tokio::test]
async fn a_callback_that_is_given_up_calls_a_function() {
    let platform = Platform::start([alert(), Function::cat()]).await;
    declare(&platform.gateway, "platform", json!({ "skep": ["undelivered"], "routes": [{ "to": "alert" }] })).await;
    // No subject may be published to, so it is given up at once.
    let call = platform.gateway.post("/async-function/cat").header("X-Callback-Url", "nats://not.allowed").body("x");
    assert_eq!(answer_to(call.header("X-Call-Id", "order-17")).await.status, 202);
    platform.site.wait_for_runs(1).await;
    let [only] = &alerts(&platform.site)[..] else { panic!("one event") };
    assert_eq!((&only["event"], &only["callId"]), (&json!("undelivered"), &json!("order-17")));
}

#[tokio::test]
async fn refused_requests_are_told_with_their_number_once_a_minute() {
    let platform = Platform::start([alert(), Function::cat()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    gateway.declare("github", json!({ "preset": "github", "routes": [{ "to": "cat" }] })).await;
    declare(gateway, "platform", json!({ "skep": ["unverified"], "routes": [{ "to": "alert" }] })).await;
    for number in 0..5 {
        let request = gateway.unsigned_webhook("github", "push", &format!("forged-{number}"), "{}");
        assert_eq!(answer_to(request).await.status, 401);
    }
    site.wait_for_runs(1).await;
    let first = &alerts(site)[0];
    assert_eq!((&first["event"], &first["source"]), (&json!("unverified"), &json!("github")));
    assert!(first["count"].as_u64() >= Some(1) && first["reason"].as_str().is_some(), "{first}");
    assert!(events(gateway, "platform").await.len() <= 2, "one a minute");
}

#[tokio::test]
async fn silence_and_its_end_are_told_once() {
    let platform = Platform::start([alert(), Function::cat()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    declare(gateway, "platform", json!({ "skep": ["silent"], "expect_every": "1s", "routes": [{ "to": "alert" }] }))
        .await;
    declare(gateway, "shop", json!({ "verify": "none", "expect_every": "3s", "routes": [{ "to": "cat" }] })).await;
    site.wait_for_runs(1).await;
    assert_eq!((&alerts(site)[0]["source"], &alerts(site)[0]["over"]), (&json!("shop"), &json!(false)));
    wait_until("the source takes events", async || {
        answer_to(gateway.post("/hooks/shop").body("x")).await.status == 202
    })
    .await;
    let over = wait_for("the end of the silence is reported", async || {
        alerts(site).into_iter().find(|one| one["over"] == true)
    });
    assert_eq!(over.await["source"], "shop");
    // Of its own silence the source tells nothing, however long it lasts.
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(alerts(site).iter().all(|one| one["source"] == "shop"), "{:?}", alerts(site));
}

#[tokio::test]
async fn a_stream_that_is_nearly_full_is_reported() {
    let mut site = Site::new([alert()]);
    site.bus_arguments.extend(["--publish-bytes".to_owned(), "1MiB".to_owned()]);
    let mut roles = Roles::start_at(site).await;
    declare(&roles.gateway, "platform", json!({ "skep": ["disk"], "routes": [{ "to": "alert" }] })).await;
    roles.worker.kill();
    let nats = async_nats::connect(&roles.site.nats_url).await.unwrap();
    for _ in 0..9 {
        nats.publish("skep.publish.alert", vec![b'x'; 100_000].into()).await.unwrap();
    }
    nats.flush().await.unwrap();
    let gateway = roles.gateway.clone();
    let stored = wait_for("it is reported", async || events(&gateway, "platform").await.into_iter().next()).await;
    assert!(stored["id"].as_str().unwrap().contains("disk-SKEP_PUBLISH-80-"), "{stored}");
}

#[tokio::test]
async fn an_event_that_finds_the_stream_full_is_stored_when_there_is_room_and_holds_nothing_up() {
    let roles = Roles::start([alert(), dying("resize")]).await;
    let gateway = &roles.gateway;
    declare(gateway, "platform", json!({ "skep": ["dead"], "routes": [{ "to": "alert" }] })).await;
    let jetstream = async_nats::jetstream::new(roles.site.nats_client().await);
    let usual = crate::nats::stream(&roles.site, "SKEP_EVENTS").await.cached_info().config.clone();
    jetstream.update_stream(async_nats::jetstream::stream::Config { max_bytes: 1, ..usual.clone() }).await.unwrap();
    assert_eq!(gateway.queue_as("order-17", "resize", "x").await.status, 202);
    wait_until("the call has died", async || {
        answer_to(gateway.get("/system/dead")).await.json().as_array().unwrap().len() == 1
    })
    .await;
    assert_eq!(events(gateway, "platform").await.len(), 0);
    jetstream.update_stream(usual).await.unwrap();
    roles.site.wait_for_runs(1).await;
    assert_eq!(alerts(&roles.site)[0]["callId"], "order-17");
}
