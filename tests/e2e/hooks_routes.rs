//! What a route says of its calls: how they are retried, and through which functions they go.

use serde_json::json;

use crate::harness::{Function, Platform, answer_to, wait_for, wait_until};

/// Adds a word to its input.
fn adding(name: &str) -> Function {
    Function::new(name, &format!("sh -c 'cat; printf \" {name}\"'"))
}

#[tokio::test]
async fn a_route_has_its_own_retries() {
    let failing = |name: &str| {
        let script = r#"echo "$Http_X_Skep_Route $Http_X_Skep_Attempt/$Http_X_Skep_Attempts" >> runs; exit 3"#;
        Function::new(name, &format!("sh -c '{script}'")).attempts(3)
    };
    let platform = Platform::start([failing("failing")]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let filter = json!({ "type": "push" });
    let routes = json!([
        { "to": "failing", "name": "own", "filter": filter, "retry": { "attempts": 2, "min_wait": "100ms", "backoff": "fixed" } },
        { "to": "failing", "name": "once", "filter": filter, "retry": { "codes": "503" } },
        { "to": "failing", "name": "as-the-function", "filter": filter },
    ]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    gateway.push("github", "delivery-1").await;
    let calls = gateway.routed_event("github", "delivery-1").await["calls"].clone();
    let mut ends = Vec::new();
    for call in calls.as_array().unwrap() {
        let status = gateway.finished(call["callId"].as_str().unwrap()).await;
        ends.push(format!("{} {} {}", call["route"], status["state"], status["attempts"]).replace('"', ""));
    }
    assert_eq!(ends, ["own dead 2", "once failed 1", "as-the-function dead 3"]);
    let mut runs = site.runs();
    runs.sort();
    let expected =
        ["as-the-function 1/3", "as-the-function 2/3", "as-the-function 3/3", "once 1/3", "own 1/2", "own 2/2"];
    assert_eq!(runs, expected);
    // A dead letter that is redriven keeps what its route says.
    let own = calls[0]["callId"].as_str().unwrap();
    assert_eq!(answer_to(gateway.post(&format!("/system/dead/{own}/redrive"))).await.status, 202);
    wait_until("it was tried twice more", async || {
        site.runs().iter().filter(|run| run.starts_with("own ")).count() == 4
    })
    .await;
}

#[tokio::test]
async fn the_retries_of_a_route_are_those_of_its_own_function_and_not_of_those_in_front() {
    let failing = |name: &str| Function::new(name, "sh -c 'exit 3'").attempts(3);
    let platform = Platform::start([failing("failing"), adding("one"), adding("two")]).await;
    let gateway = &platform.gateway;
    let route = |name: &str, to: &str, through: &[&str]| {
        let retry = json!({ "attempts": 2, "min_wait": "100ms", "backoff": "fixed" });
        json!({ "to": to, "name": name, "filter": { "type": "push" }, "through": through, "retry": retry })
    };
    let routes = [route("last", "failing", &["one", "two"]), route("front", "one", &["failing"])];
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    gateway.push("github", "delivery-1").await;
    let calls = gateway.routed_event("github", "delivery-1").await["calls"].clone();
    let [last, front] = [0, 1].map(|number| calls[number]["callId"].as_str().unwrap().to_owned());
    let of_last = format!("{last}-callback-callback");
    wait_until("the last step has come", async || {
        answer_to(gateway.get(&format!("/system/calls/{of_last}"))).await.status == 200
    })
    .await;
    for (id, attempts) in [(of_last.as_str(), 2), (front.as_str(), 3)] {
        let status = gateway.finished(id).await;
        assert_eq!((&status["state"], &status["attempts"]), (&json!("dead"), &json!(attempts)), "{id}: {status}");
        assert!(status.get("retry").is_none(), "{status}");
    }
}

#[tokio::test]
async fn an_event_goes_through_functions_in_front_one_after_the_other() {
    let last = Function::new("last", r#"sh -c 'cat; printf " last" | tee -a runs'"#);
    let refusing = Function::new("refusing", "sh -c 'exit 3'").answers_once();
    let platform = Platform::start([adding("one"), adding("two"), last, refusing]).await;
    let gateway = &platform.gateway;
    let filter = json!({ "type": "push" });
    let routes = json!([
        { "to": "last", "name": "good", "filter": filter, "through": ["one", "two"] },
        { "to": "last", "name": "bad", "filter": filter, "through": ["one", "refusing", "two"] },
    ]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    assert_eq!(answer_to(gateway.webhook("github", "push", "delivery-1", "{}")).await.status, 202);
    let calls = gateway.event("github", "delivery-1").await["calls"].clone();
    let [good, bad] = [0, 1].map(|number| calls[number]["callId"].as_str().unwrap().to_owned());
    let known = async |id: &str| {
        let answer = answer_to(gateway.get(&format!("/system/calls/{id}"))).await;
        (answer.status == 200).then(|| answer.json())
    };
    wait_for("the last call of the good route", async || known(&format!("{good}-callback-callback")).await).await;
    assert_eq!(gateway.finished(&format!("{good}-callback-callback")).await["state"], "succeeded");
    assert_eq!(gateway.result(&format!("{good}-callback-callback")).await.text(), "{} one two last");
    wait_for("the second call of the bad route", async || known(&format!("{bad}-callback")).await).await;
    assert_eq!(gateway.finished(&format!("{bad}-callback")).await["state"], "failed");
    // What was delivered of its record leaves no trace, so the callbacks are waited for.
    let mut callbacks = crate::nats::stream(&platform.site, "SKEP_CALLS").await;
    wait_until("no callback is open", async || {
        let consumer = callbacks.get_consumer::<async_nats::jetstream::consumer::pull::Config>("callbacks").await;
        let info = consumer.unwrap().cached_info().clone();
        let last = callbacks.info().await.unwrap().state.last_sequence;
        info.num_pending == 0 && info.num_ack_pending == 0 && info.delivered.stream_sequence <= last
    })
    .await;
    assert_eq!(known(&format!("{bad}-callback-callback")).await, None, "a step that failed ends the way");
    assert_eq!(platform.site.runs(), [" last"]);
}
