//! Calls that are to run later.

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::{Function, Gateway, Platform, Roles, answer_to, wait_until};

fn time(text: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap()
}

async fn listed(gateway: &Gateway, query: &str) -> Vec<String> {
    let answer = answer_to(gateway.get(&format!("/system/calls?{query}"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let calls = answer.json();
    calls.as_array().unwrap().iter().map(|call| call["callId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_delayed_call_waits_for_its_time_and_runs_then() {
    let platform = Platform::start([Function::counted(), Function::cat()]).await;
    let gateway = &platform.gateway;
    let id = gateway.queue_later("counted", "6s").await;
    let waiting = gateway.call_status(&id).await.unwrap();
    assert_eq!((&waiting["state"], &waiting["attempts"]), (&"scheduled".into(), &0.into()));
    let far = gateway.queue_later("cat", "24h").await;
    assert_eq!(listed(gateway, "state=scheduled").await, [id.clone(), far.clone()]);
    assert_eq!(listed(gateway, "state=scheduled&function=cat").await, [far]);
    assert!(listed(gateway, "state=retrying").await.is_empty());

    let ended = gateway.finished(&id).await;
    assert_eq!(ended["state"], "succeeded");
    assert!(time(&ended["startedAt"]) >= time(&waiting["nextAttemptAt"]), "{ended} {waiting}");
    assert_eq!(gateway.result(&id).await.text(), "later");
    assert_eq!(platform.site.runs(), [id]);
}

#[tokio::test]
async fn a_call_may_name_its_time_and_one_that_is_over_is_now() {
    let platform = Platform::start([Function::cat()]).await;
    let queue = async |at: OffsetDateTime| {
        let at = at.format(&Rfc3339).unwrap();
        let answer = answer_to(platform.gateway.post("/async-function/cat").header("X-Skep-Run-At", at)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("x-call-id").to_owned()
    };
    let at = OffsetDateTime::now_utc() + time::Duration::SECOND;
    let (soon, now) = (queue(at).await, queue(at - time::Duration::DAY).await);
    assert!(time(&platform.gateway.finished(&soon).await["startedAt"]) >= at);
    assert_eq!(platform.gateway.finished(&now).await["state"], "succeeded");
}

#[tokio::test]
async fn a_bad_delay_is_refused_and_named() {
    let platform = Platform::start([Function::cat()]).await;
    for (name, value) in [("X-Skep-Delay", "soon"), ("X-Skep-Delay", "9000h"), ("X-Skep-Run-At", "tomorrow")] {
        let answer = answer_to(platform.gateway.post("/async-function/cat").header(name, value).body("x")).await;
        answer.assert_refused(400);
        assert!(answer.text().contains(name), "{answer:?}");
    }
    let both = platform.gateway.post("/async-function/cat").header("X-Skep-Delay", "1s");
    answer_to(both.header("X-Skep-Run-At", "2030-01-01T00:00:00Z")).await.assert_refused(400);
}

#[tokio::test]
async fn a_delayed_call_survives_worker_gateway_and_bus() {
    let mut roles = Roles::start([Function::counted()]).await;
    let id = roles.gateway.queue_later("counted", "4s").await;
    roles.worker.kill();
    roles.role_gateway.kill();
    roles.nats.kill();
    roles.nats = roles.site.start_nats().await;
    roles.role_gateway = roles.site.start_gateway(&[]).await;
    roles.worker = roles.site.start_worker().await;
    let status = async || roles.gateway.call_status(&id).await.is_some_and(|status| status["state"] == "succeeded");
    wait_until("it has run", status).await;
    assert_eq!(roles.site.runs(), [id]);
}

#[tokio::test]
async fn a_delayed_call_of_the_same_id_waits_once() {
    let platform = Platform::start([Function::counted()]).await;
    let queue = async |delay: &str| {
        let request = platform.gateway.post("/async-function/counted").header("X-Call-Id", "once");
        let answer = answer_to(request.header("X-Skep-Delay", delay).body("x")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("x-skep-duplicate").to_owned()
    };
    assert_eq!([queue("2s").await, queue("1h").await, queue("0").await], ["", "true", "true"]);
    assert_eq!(platform.gateway.finished("once").await["state"], "succeeded");
    assert_eq!(queue("1h").await, "true");
    assert_eq!(platform.site.runs(), ["once"]);
}

#[tokio::test]
async fn published_work_may_wait_too() {
    let platform = Platform::start([Function::counted()]).await;
    let jetstream = async_nats::jetstream::new(crate::nats::client(&platform.site).await);
    let publish = async |id: &str, delay: &str| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("X-Call-Id", id);
        headers.insert("X-Skep-Delay", delay);
        jetstream.publish_with_headers("skep.publish.counted", headers, "x".into()).await.unwrap().await.unwrap();
    };
    publish("waits", "1h").await;
    publish("wrong", "soon").await;
    let known = async || platform.gateway.call_status("waits").await.is_some();
    wait_until("it is taken up", known).await;
    assert_eq!(platform.gateway.call_status("waits").await.unwrap()["state"], "scheduled");
    let known = async || platform.gateway.call_status("wrong").await.is_some();
    wait_until("it is refused", known).await;
    let status = platform.gateway.finished("wrong").await;
    assert!(status["reason"].as_str().unwrap().contains("X-Skep-Delay"), "{status}");
}
