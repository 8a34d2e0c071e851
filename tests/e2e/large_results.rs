//! Results of queued calls that fit into no message: asked for, waited for, called back, and gone with their record.

use std::time::Duration;

use bytes::Bytes;
use standardwebhooks::Webhook;

use crate::{
    bus,
    harness::{Function, Platform, Receiver, Roles, answer_to, wait_until},
    large_bodies::{MIB, large, messages, sum, sum_of},
};

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn a_large_result_is_there_for_whoever_asks_or_waits_for_it() {
    let platform = Platform::start([Function::cat()]).await;
    let body = large(20 * MIB + 4711);
    let request = platform.gateway.post("/async-function/cat").header("Prefer", "wait=60").header("X-Call-Id", "big");
    let waited = answer_to(request.body(body.clone())).await;
    assert_eq!((waited.status, waited.header("x-function-status")), (200, "200"), "{:?}", waited.headers);
    assert!(waited.body == body, "it was changed on its way");
    let result = platform.gateway.result("big").await;
    assert_eq!(result.header("content-length"), body.len().to_string());
    assert!(result.body == body, "it was changed on its way");
}

#[tokio::test]
async fn a_large_result_is_called_back_signed_and_becomes_the_body_of_another_call() {
    let receiver = Receiver::refusing(1, http::StatusCode::SERVICE_UNAVAILABLE).await;
    let site = crate::harness::Site::new([Function::cat(), sum()]);
    std::fs::write(site.path("keys"), KEY).unwrap();
    let keys = site.path("keys").to_str().unwrap().to_owned();
    let _up = site.up(&["--callback-key-file", &keys]).await;
    // The library of receivers takes text only.
    let body: Bytes = large(20 * MIB).iter().map(|byte| b' ' + byte % 64).collect();
    let queue = async |url: &str| {
        let request = site.gateway.post("/async-function/cat").header("X-Callback-Url", url);
        let answer = answer_to(request.body(body.clone())).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.header("x-call-id").to_owned()
    };
    let id = queue(&receiver.url).await;
    for callback in receiver.wait_for(2).await {
        assert_eq!((callback.header("x-call-id"), callback.header("content-length")), (&*id, "20971520"));
        assert!(callback.body == body, "it was changed on its way");
        Webhook::new(KEY).unwrap().verify(&callback.body, &callback.headers).unwrap();
    }
    let id = format!("{}-callback", queue("skep://sum").await);
    wait_until("the second call is there", async || site.gateway.call_status(&id).await.is_some()).await;
    site.gateway.finished(&id).await;
    assert_eq!(site.gateway.result(&id).await.text().split(' ').next(), Some(&*sum_of(&body)));
    wait_until("its body is not kept", async || messages(&site, "SKEP_REQUESTS").await == 0).await;

    // A subject takes what fits into a message.
    let id = queue("nats://callback.a").await;
    let letter = format!("/system/dead/{id}?kind=callback");
    wait_until("the callback is given up", async || answer_to(site.gateway.get(&letter)).await.status == 200).await;
    let letter = answer_to(site.gateway.get(&letter)).await.json();
    assert!(letter["reason"].as_str().unwrap().contains("max_payload"), "{letter}");
    assert_eq!(letter["largeBody"], body.len());
    assert!(site.gateway.result(&id).await.body == body, "the result is kept all the same");
}

#[tokio::test]
async fn a_worker_that_dies_while_it_stores_a_result_leaves_one_result() {
    let script = r#"cat > got-$$; head -c 10000000 got-$$; echo "$Http_X_Call_Id" >> runs;
        while [ ! -e gate ]; do sleep 0.1; done; tail -c +10000001 got-$$"#;
    // The watchdog holds back what it may still replace with the status of a failure.
    let function = Function::new("slow", &format!("sh -c '{script}'")).env("output_buffer_size", "1000000");
    let mut roles = Roles::start([function]).await;
    let body = large(20 * MIB);
    let id = roles.gateway.queue("slow", body.clone()).await;
    roles.site.wait_for_runs(1).await;
    wait_until("a part of it is stored", async || messages(&roles.site, "SKEP_RESULTS").await > 0).await;
    roles.worker.kill();
    roles.site.open_gate();
    let bus = bus::connect(&roles.site).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        bus.housekeeping.remove_orphaned_bodies(Duration::from_secs(1)).await.unwrap(),
        0,
        "the call may still run"
    );
    roles.worker = roles.site.start_worker().await;
    assert_eq!(roles.gateway.finished(&id).await["state"], "succeeded");
    assert!(roles.gateway.result(&id).await.body == body, "it was changed on its way");
    assert!(messages(&roles.site, "SKEP_RESULTS").await > 40);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bus.housekeeping.remove_orphaned_bodies(Duration::from_secs(1)).await.unwrap(), 1);
    assert_eq!(messages(&roles.site, "SKEP_RESULTS").await, 40);
    assert!(roles.gateway.result(&id).await.body == body, "the one that counts is kept");
}

#[tokio::test]
async fn of_answers_that_are_too_large_or_not_the_last_nothing_is_kept() {
    let script = "cat; exit 1";
    let sick = Function::new("sick", &format!("sh -c '{script}'")).attempts(3);
    let arguments = ["--async-result-limit", "12MiB", "--large-body", "100KB"];
    let platform = Platform::start_with(&arguments, [Function::cat(), sick]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let id = gateway.queue("cat", large(12 * MIB + 1)).await;
    let status = gateway.finished(&id).await;
    assert_eq!(status["state"], "failed", "{status}");
    assert!(status["reason"].as_str().unwrap().contains("--async-result-limit (SKEP_ASYNC_RESULT_LIMIT)"), "{status}");
    gateway.result(&id).await.assert_refused(409);
    let broken = gateway.queue("sick", large(MIB)).await;
    assert_eq!(gateway.finished(&broken).await["state"], "dead");
    wait_until("the last answer is kept alone", async || messages(site, "SKEP_RESULTS").await == 11).await;
    assert!(gateway.result(&broken).await.body.ends_with(&large(MIB)), "a dead call has its last answer");
    let letter = answer_to(gateway.get(&format!("/system/dead/{broken}"))).await.json();
    let beginning = letter["lastAnswer"].as_str().unwrap();
    assert!(beginning.starts_with("exit status 1") && beginning.len() > 1000, "its beginning is in the letter");
}

#[tokio::test]
async fn large_results_keep_to_the_budget_of_results_and_go_with_their_records() {
    let platform = Platform::start_with(&["--result-bytes", "25MiB"], [Function::cat()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let ids = ["first", "second", "third"];
    for id in ids {
        assert_eq!(gateway.queue_as(id, "cat", large(10 * MIB)).await.status, 202);
        assert_eq!(gateway.finished(id).await["state"], "succeeded");
    }
    wait_until("the oldest is gone", async || messages(site, "SKEP_RESULTS").await == 40).await;
    assert!(gateway.call_status("first").await.is_none());
    for id in ["second", "third"] {
        assert!(gateway.result(id).await.body == large(10 * MIB), "{id}");
    }
}
