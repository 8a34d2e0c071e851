//! The audit of events: each event that was routed has a call of each of its routes, or is named.

use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Function, Roles, Site, wait_until};

async fn audit(site: &Site) -> (Option<i32>, Value) {
    let ran = site.client(&["audit", "--json"]).await;
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    (ran.code, report)
}

/// Kills the worker and returns the queue of events, once the server knows that no one pulls from it.
async fn route_without_worker(roles: &mut Roles) -> PullConsumer {
    let events = crate::nats::stream(&roles.site, "SKEP_EVENTS").await;
    let mut route: PullConsumer = events.get_consumer("route").await.unwrap();
    roles.worker.kill();
    wait_until("nobody asks for events", async || route.info().await.unwrap().num_waiting == 0).await;
    route
}

#[tokio::test]
async fn an_event_whose_calls_were_never_made_is_named() {
    let mut roles = Roles::start_at(Site::new([Function::counted()]).with_seal_key()).await;
    let gateway = roles.gateway.clone();
    let routes = ["one", "two"].map(|name| json!({ "to": "counted", "name": name, "filter": { "type": "push" } }));
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    gateway.push("github", "delivery-1").await;
    roles.site.wait_for_runs(2).await;
    // The ping is ignored.
    let expected = |routed: u64, missing: u64| {
        json!([{
            "source": "github", "events": routed + 1, "routed": routed, "ignored": 1, "paused": 0, "waiting": 0,
            "calls": 2 * routed, "missing": missing,
        }])
    };
    wait_until("all is routed, and adds up", async || {
        let (code, report) = audit(&roles.site).await;
        code == Some(0) && report["sources"] == expected(1, 0)
    })
    .await;

    let route = route_without_worker(&mut roles).await;
    gateway.push("github", "delivery-2").await;
    let (code, report) = audit(&roles.site).await;
    assert_eq!(
        (code, &report["sources"][0]["waiting"]),
        (Some(0), &json!(1)),
        "an event that waits is not missed: {report}"
    );
    // A worker that acknowledges an event and forgets it.
    let mut taken = route.fetch().max_messages(1).messages().await.unwrap();
    let event = taken.next().await.unwrap().unwrap();
    assert!(event.subject.ends_with(".delivery-2"), "{}", event.subject);
    event.double_ack().await.unwrap();
    roles.worker = roles.site.start_worker().await;
    gateway.push("github", "delivery-3").await;
    roles.site.wait_for_runs(4).await;

    wait_until("the third event is routed", async || audit(&roles.site).await.1["sources"] == expected(3, 2)).await;
    let (code, report) = audit(&roles.site).await;
    assert_eq!(code, Some(1), "{report}");
    let findings = report["findings"].as_array().unwrap();
    let named = |route: &str| json!({ "source": "github", "id": "delivery-2", "route": route });
    let mut events: Vec<_> = findings.iter().map(|finding| (&finding["kind"], &finding["event"])).collect();
    events.sort_by_key(|(_, event)| event["route"].to_string());
    let kind = json!("not_routed");
    assert_eq!(events, [(&kind, &named("one")), (&kind, &named("two"))]);
    let said = roles.site.client(&["audit"]).await.stdout;
    assert!(said.contains("there is no call of this route: event delivery-2 of github, route one"), "{said}");
    assert!(!said.contains("delivery-1") && !said.contains("delivery-3"), "{said}");
}
