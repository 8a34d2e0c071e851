//! Webhooks that become events: verified, stored once, and one call for each route.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Function, Gateway, Platform, answer_to, metrics_of, payload, signature, wait_for, wait_until};

/// Writes down the headers of the event, and then answers.
fn route(name: &str) -> Function {
    let line = "$Http_X_Skep_Route $Http_X_Skep_Event_Id $Http_X_Skep_Event_Type $Http_X_Skep_Verified $Http_X_Topic";
    Function::new(name, &format!(r#"sh -c 'echo "{line}" >> runs; cat'"#))
}

async fn succeeded(gateway: &Gateway, count: usize) {
    wait_until(&format!("{count} calls of events have succeeded"), async || {
        let calls = answer_to(gateway.get("/system/calls?state=succeeded&limit=1000")).await;
        calls.text().matches(r#""callId":"ev-"#).count() == count
    })
    .await;
}

fn pushes(to: &[&str]) -> Value {
    let routes: Vec<_> = to.iter().map(|to| json!({ "to": to, "filter": { "type": "push" } })).collect();
    json!({ "preset": "github", "routes": routes })
}

#[tokio::test]
async fn a_signed_push_runs_both_of_its_functions_once() {
    let platform = Platform::start([route("deploy"), route("audit")]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    gateway.declare("github", pushes(&["deploy", "audit"])).await;
    let answer = gateway.push("github", "delivery-1").await;
    assert_eq!((answer.header("x-skep-duplicate"), answer.body.len()), ("", 0));
    assert!(!answer.header("x-skep-durability").is_empty());
    site.wait_for_runs(2).await;
    assert_eq!(gateway.push("github", "delivery-1").await.header("x-skep-duplicate"), "true");
    gateway.push("github", "delivery-2").await;
    succeeded(gateway, 4).await;
    let runs = site.runs();
    let expected = ["deploy", "audit"]
        .into_iter()
        .flat_map(|to| ["1", "2"].map(|number| format!("{to} delivery-{number} push signature github.push")));
    assert_eq!(runs.iter().cloned().collect::<HashSet<_>>(), expected.collect());
    assert_eq!(runs.len(), 4);
    let body = answer_to(gateway.get("/system/sources/github/events/delivery-1/body")).await;
    assert_eq!((body.status, body.text()), (200, payload("push")));
    let event = gateway.event("github", "delivery-1").await;
    assert_eq!(event["outcome"], "routed", "{event}");
    assert_eq!(event["verified"], "signature;key=1");
    gateway.wait_for_duplicates("github", 1).await;
    for line in [
        r#"gateway_source_events_total{outcome="accepted",source="github"} 2"#,
        r#"gateway_source_events_total{outcome="duplicate",source="github"} 1"#,
        // An event is counted as routed after its calls have begun.
        r#"queue_worker_routed_total{route="audit",source="github"} 2"#,
        r#"gateway_source_last_event_timestamp_seconds{source="github"} "#,
    ] {
        wait_until(line, async || metrics_of(site.admin).await.contains(line)).await;
    }
    let calls: Vec<_> = event["calls"].as_array().unwrap().iter().map(|call| call["state"].clone()).collect();
    assert_eq!(calls, [json!("succeeded"), json!("succeeded")]);
}

#[tokio::test]
async fn what_is_not_signed_is_refused_without_a_hint_and_kept_with_its_reason() {
    let platform = Platform::start([route("deploy")]).await;
    let gateway = &platform.gateway;
    gateway.declare("github", pushes(&["deploy"])).await;
    let body = payload("push");
    let unsigned = || gateway.unsigned_webhook("github", "push", "forged", &body);
    let wrong = signature("another secret", body.as_bytes());
    let changed = gateway.webhook("github", "push", "forged", &body).body(format!("{body} "));
    let mut reported = HashSet::new();
    for request in [unsigned(), unsigned().header("X-Hub-Signature-256", wrong), changed] {
        let answer = answer_to(request).await;
        answer.assert_refused(401);
        assert_eq!((answer.header("x-skep-error"), answer.header("www-authenticate")), ("unverified_event", ""));
        reported.insert(answer.text());
    }
    assert_eq!(reported.len(), 1, "{reported:?}");
    // A sender that is refused does not wait long until its copy is stored.
    let reasons = wait_for("a copy of each", async || {
        let held = answer_to(gateway.get("/system/sources/github/held")).await.json();
        let of_push = held.as_array().unwrap().iter().filter(|held| held["bytes"].as_u64() > Some(1000));
        let reasons: Vec<_> = of_push.map(|held| held["reason"].as_str().unwrap().to_owned()).collect();
        (reasons.len() == 3).then_some(reasons)
    })
    .await;
    assert!(reasons.iter().filter(|reason| reason.contains("fits no secret")).count() == 2, "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("no signature")), "{reasons:?}");
    let event = answer_to(gateway.get("/system/sources/github/events/forged")).await;
    assert_eq!(event.status, 404, "no stranger claims an id");
    gateway.push("github", "forged").await;
    succeeded(gateway, 1).await;
    assert_eq!(platform.site.runs().len(), 1);
}

#[tokio::test]
async fn fifty_senders_of_one_event_make_one_call_for_each_route() {
    let platform = Platform::start([route("deploy"), route("audit")]).await;
    let gateway = &platform.gateway;
    gateway.declare("github", pushes(&["deploy", "audit"])).await;
    let body = payload("push");
    let sent = stream::iter(0..50).map(async |_| answer_to(gateway.webhook("github", "push", "one", &body)).await);
    let answers: Vec<_> = sent.buffer_unordered(50).collect().await;
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.header("x-skep-duplicate").is_empty()).count(), 1);
    succeeded(gateway, 2).await;
    // What comes behind them has ended, so what they made has, too.
    gateway.push("github", "two").await;
    succeeded(gateway, 4).await;
    assert_eq!(platform.site.runs().iter().filter(|run| run.contains(" one ")).count(), 2);
}

#[tokio::test]
async fn a_filter_decides_and_its_reason_is_kept_with_the_event() {
    let platform = Platform::start([route("deploy"), route("audit")]).await;
    let gateway = &platform.gateway;
    let routes = json!([
        { "to": "deploy", "filter": { "type": "push", "body.ref": "refs/heads/none" } },
        { "to": "audit", "filter": { "type": "push" }, "path": "/own", "headers": { "X-Env": "prod" } },
    ]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    gateway.push("github", "delivery-1").await;
    succeeded(gateway, 1).await;
    let event = gateway.event("github", "delivery-1").await;
    assert_eq!(event["ignored"][0]["route"], "deploy", "{event}");
    assert!(event["ignored"][0]["reason"].as_str().unwrap().contains("body.ref"), "{event}");
    let listed = answer_to(gateway.get("/system/sources/github/events?outcome=ignored&limit=1")).await.json();
    assert_eq!(listed["events"][0]["id"], "ping", "{listed}");
    let tried = json!({ "headers": { "X-GitHub-Event": "push" }, "text": r#"{"ref":"refs/heads/none"}"# });
    let reported = gateway.send(Method::POST, "/system/sources/github/try", &tried).await.json();
    assert_eq!(
        reported[0]["routes"][0],
        json!({ "route": "deploy", "function": "deploy", "deployed": true }),
        "{reported}"
    );
    assert_eq!(platform.site.runs(), ["audit delivery-1 push signature github.push"]);
}

#[tokio::test]
async fn a_request_that_cannot_be_an_event_is_refused_in_our_words() {
    let platform = Platform::start([route("deploy")]).await;
    let gateway = &platform.gateway;
    let mut small = pushes(&["deploy"]);
    small["max_body"] = "1KB".into();
    gateway.declare("small", small).await;
    let large = answer_to(gateway.webhook("small", "push", "large", &payload("push"))).await;
    large.assert_refused(413);
    assert_eq!(large.header("x-skep-error"), "body_too_large");
    answer_to(gateway.get("/hooks/small")).await.assert_refused(405);
    let unknown = answer_to(gateway.webhook("nobody", "push", "1", "{}")).await;
    unknown.assert_refused(404);
    assert_eq!(unknown.header("x-skep-error"), "unknown_source");
    let mut here = pushes(&["deploy"]);
    here["allow"] = json!(["192.0.2.0/24", "127.0.0.0/8"]);
    gateway.declare("here", here).await;
    let from = |address: &str| gateway.webhook("here", "ping", "1", "{}").header("X-Forwarded-For", address);
    assert_eq!(answer_to(from("192.0.2.7")).await.status, 202);
    let elsewhere = answer_to(from("198.51.100.7")).await;
    elsewhere.assert_refused(403);
    assert_eq!(elsewhere.header("x-skep-error"), "address_not_allowed");
    for (spec, status) in [
        (json!({ "name": "small", "preset": "github", "disabled": true }), 404),
        (json!({ "name": "small", "preset": "github", "disabled": true, "gone": true }), 410),
    ] {
        assert_eq!(gateway.send(Method::PUT, "/system/sources", &spec).await.status, 200);
        wait_until(&format!("a disabled source answers {status}"), async || {
            answer_to(gateway.webhook("small", "ping", "2", "{}")).await.status == status
        })
        .await;
    }
}

#[tokio::test]
async fn an_address_that_cannot_prove_itself_is_not_looked_at_for_a_while_and_others_are() {
    let platform = Platform::start([route("deploy")]).await;
    let gateway = &platform.gateway;
    gateway.declare("github", pushes(&["deploy"])).await;
    let forged = || gateway.unsigned_webhook("github", "push", "1", "{}").header("X-Forwarded-For", "198.51.100.7");
    for _ in 0..60 {
        assert_eq!(answer_to(forged()).await.status, 401);
    }
    let refused = answer_to(forged()).await;
    refused.assert_refused(429);
    assert!(!refused.header("retry-after").is_empty());
    let signed = gateway.webhook("github", "ping", "2", "{}").header("X-Forwarded-For", "198.51.100.8");
    assert_eq!(answer_to(signed).await.status, 202);
}

#[tokio::test]
async fn a_source_takes_no_more_than_its_rate_and_forgeries_do_not_count() {
    let platform = Platform::start([route("deploy")]).await;
    let gateway = &platform.gateway;
    let mut slow = pushes(&["deploy"]);
    slow["rate"] = "3/h".into();
    gateway.declare("github", slow).await;
    for _ in 0..10 {
        assert_eq!(answer_to(gateway.unsigned_webhook("github", "ping", "forged", "{}")).await.status, 401);
    }
    for number in 0..5 {
        let sent = answer_to(gateway.webhook("github", "ping", &format!("ping-{number}"), "{}")).await;
        assert_eq!(sent.status, 202, "{number}: {sent:?}");
    }
    let refused = answer_to(gateway.webhook("github", "ping", "ping-6", "{}")).await;
    refused.assert_refused(429);
    assert_eq!(refused.header("x-skep-error"), "too_many_events");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 1000, "{refused:?}");
}

#[tokio::test]
async fn a_token_is_not_stored_and_no_function_sees_it() {
    let function = Function::new("deploy", "env").annotation("com.openfaas.retry.attempts", "1");
    let platform = Platform::start([function]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let token = "a-token-of-gitlab-4711";
    let spec = json!({ "name": "gitlab", "preset": "gitlab", "routes": [{ "to": "deploy" }] });
    assert_eq!(gateway.send(Method::POST, "/system/sources", &spec).await.status, 201);
    gateway.add_secret("gitlab", token).await;
    let send = || {
        let request = gateway.post("/hooks/gitlab").header("X-Gitlab-Token", token).header("Idempotency-Key", "e-1");
        request.header("X-Skep-Verified", "forged").body(r#"{"object_kind":"push"}"#)
    };
    wait_until("the source takes events", async || answer_to(send()).await.status == 202).await;
    succeeded(gateway, 1).await;
    let event = gateway.event("gitlab", "e-1").await;
    assert_eq!(event["verified"], "token;key=1");
    assert!(!event.to_string().contains(token), "{event}");
    let events = crate::nats::stream(site, "SKEP_EVENTS").await;
    let stored = events.direct_get_last_for_subject("skep.event.gitlab.e-1").await.unwrap();
    assert!(!format!("{:?}", stored.headers).contains(token), "{:?}", stored.headers);
    let call = event["calls"][0]["callId"].as_str().unwrap();
    let seen = gateway.result(call).await.text();
    assert!(seen.contains("Http_X_Skep_Verified=token") && !seen.contains(token), "{seen}");
}

#[tokio::test]
async fn a_challenge_is_answered_and_is_no_event() {
    let platform = Platform::start([route("deploy")]).await;
    let gateway = &platform.gateway;
    let spec = json!({ "name": "meta", "preset": "meta", "routes": [{ "to": "deploy" }] });
    let declared = gateway.send(Method::POST, "/system/sources", &spec).await;
    assert_eq!(declared.status, 201, "{declared:?}");
    let secret = json!({ "value": "let-me-in", "name": "verify_token" });
    assert_eq!(gateway.send(Method::POST, "/system/sources/meta/secrets", &secret).await.status, 201);
    let ask = |token: &str| {
        let path = format!("/hooks/meta?hub.mode=subscribe&hub.challenge=%3Cb%3E1158201444&hub.verify_token={token}");
        gateway.get(&path)
    };
    wait_until("the challenge is answered", async || answer_to(ask("let-me-in")).await.status == 200).await;
    let answer = answer_to(ask("let-me-in")).await;
    assert_eq!(answer.text(), "<b>1158201444");
    assert!(answer.header("content-type").starts_with("text/plain"), "{answer:?}");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer_to(ask("wrong")).await.status, 403);
    let listed = answer_to(gateway.get("/system/sources/meta/events")).await.json();
    assert_eq!(listed["events"], json!([]));
}

#[tokio::test]
async fn a_sender_gets_the_functions_own_answer_where_that_is_asked_for() {
    let platform = Platform::start([Function::counted()]).await;
    let gateway = &platform.gateway;
    let mut spec = pushes(&["counted"]);
    spec["answer"] = "function".into();
    spec["wait"] = "20s".into();
    gateway.declare("github", spec).await;
    let body = payload("push");
    for duplicate in ["", "true"] {
        let answer = answer_to(gateway.webhook("github", "push", "one", &body)).await;
        assert_eq!((answer.status, answer.text()), (200, body.clone()));
        assert_eq!((answer.header("x-skep-duplicate"), answer.header("x-skep-event-id")), (duplicate, "one"));
    }
    // The router makes the same call, and so no other.
    let call = gateway.event("github", "one").await["calls"][0]["callId"].as_str().unwrap().to_owned();
    assert_eq!(platform.site.runs(), [call]);
}
