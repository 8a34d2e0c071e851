//! Events that were answered 2xx are routed once each, whatever is killed.

use std::collections::HashMap;

use futures_util::StreamExt;
use serde_json::json;

use crate::harness::{Function, Roles, Site, answer_to, payload, wait_until};

const EVENTS: usize = 120;

fn roles(functions: [Function; 2]) -> Site {
    Site::new(functions).with_seal_key()
}

/// The calls that events have made, by their ids, with how often each has run.
fn runs(site: &Site) -> HashMap<String, usize> {
    let mut runs = HashMap::new();
    for run in site.runs() {
        *runs.entry(run).or_default() += 1;
    }
    runs
}

async fn records(site: &Site) -> usize {
    let calls = crate::nats::stream(site, "SKEP_CALLS").await;
    let mut info = calls.info_with_subjects("skep.calls.*.*").await.unwrap();
    let mut count = 0;
    while let Some(subject) = info.next().await {
        let (subject, messages) = subject.unwrap();
        assert_eq!(messages, 1, "{subject}");
        count += usize::from(subject.rsplit('.').next().unwrap().starts_with("ev-github-"));
    }
    count
}

fn counted(name: &str) -> Function {
    Function::new(name, r#"sh -c 'echo "$Http_X_Call_Id" >> runs; cat'"#)
}

#[tokio::test]
async fn each_event_is_routed_once_although_gateway_and_worker_are_killed() {
    let mut roles = Roles::start_at(roles([counted("deploy"), counted("audit")])).await;
    let gateway = roles.gateway.clone();
    let filter = json!({ "type": "push" });
    let routes = json!([{ "to": "deploy", "filter": filter }, { "to": "audit", "filter": filter }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    // Like GitHub, but it tries again until it has a 2xx.
    let sender = tokio::spawn(async move {
        for number in 0..EVENTS {
            let (delivery, body) = (format!("delivery-{number}"), payload("push"));
            loop {
                let sent = gateway.webhook("github", "push", &delivery, &body).send().await;
                if sent.is_ok_and(|answer| answer.status() == 202) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    });
    for round in 1..=3 {
        roles.site.wait_for_runs(EVENTS * 2 * round / 5).await;
        roles.worker.kill();
        roles.role_gateway.kill();
        roles.role_gateway = roles.site.start_gateway(&[]).await;
        roles.worker = roles.site.start_worker().await;
    }
    sender.await.unwrap();
    wait_until("each route of each event has its record", async || records(&roles.site).await == 2 * EVENTS).await;
    let runs = runs(&roles.site);
    assert_eq!(runs.len(), 2 * EVENTS, "no event is routed twice, and none is lost");
    let mut events = crate::nats::stream(&roles.site, "SKEP_EVENTS").await;
    // The ping of the beginning is one, too.
    assert_eq!(events.info().await.unwrap().state.messages, EVENTS as u64 + 1);
    eprintln!("{} of {} calls ran twice", runs.values().filter(|runs| **runs > 1).count(), 2 * EVENTS);
}

#[tokio::test]
async fn an_event_waits_for_a_worker_and_outlives_its_gateway_and_nats() {
    let mut roles = Roles::start_at(roles([counted("deploy"), counted("audit")])).await;
    roles
        .gateway
        .declare("github", json!({ "preset": "github", "routes": [{ "to": "deploy", "filter": { "type": "push" } }] }))
        .await;
    roles.worker.kill();
    roles.gateway.push("github", "delivery-1").await;
    roles.role_gateway.kill();
    roles.nats.kill();
    roles.nats = roles.site.start_nats().await;
    roles.role_gateway = roles.site.start_gateway(&[]).await;
    wait_until("the event is there", async || {
        answer_to(roles.gateway.get("/system/sources/github/events/delivery-1")).await.status == 200
    })
    .await;
    assert!(roles.site.runs().is_empty());
    roles.worker = roles.site.start_worker().await;
    roles.site.wait_for_runs(1).await;
    let event = roles.gateway.routed_event("github", "delivery-1").await;
    let call = event["calls"][0]["callId"].as_str().unwrap().to_owned();
    assert_eq!(roles.gateway.finished(&call).await["state"], "succeeded");
    assert_eq!(roles.site.runs(), [call]);
    wait_until("the same event is a duplicate", async || {
        let sent = answer_to(roles.gateway.webhook("github", "push", "delivery-1", &payload("push"))).await;
        (sent.status, sent.header("x-skep-duplicate")) == (202, "true")
    })
    .await;
}
