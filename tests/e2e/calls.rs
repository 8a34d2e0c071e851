//! What becomes of queued calls, as the calls API reports it.

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Function, Platform, Receiver, Roles, answer_to, wait_until};

#[tokio::test]
async fn a_call_goes_from_queued_over_running_to_succeeded() {
    let platform = Platform::start([Function::gated()]).await;
    let gateway = &platform.gateway;
    gateway.scale("gated", 0).await;
    gateway.wait_for_replicas("gated", 0).await;
    let id = gateway.queue("gated", "x").await;
    let queued = gateway.state(&id, "queued").await;
    assert_eq!((&queued["attempts"], &queued["startedAt"]), (&0.into(), &json!(null)));
    let open = gateway.result(&id).await;
    assert_eq!((open.status, &open.json()["state"]), (202, &"queued".into()));

    gateway.scale("gated", 1).await;
    let running = gateway.state(&id, "running").await;
    assert_eq!(running["attempts"], 1);
    assert!(running["startedAt"].is_string(), "{running}");
    // A wait that ends before the call reports the call's state.
    let waited = answer_to(gateway.get(&format!("/system/calls/{id}?wait=100ms"))).await;
    assert_eq!(waited.json()["state"], "running");

    let (waited, ()) = tokio::join!(answer_to(gateway.get(&format!("/system/calls/{id}?wait=60s"))), async {
        platform.site.open_gate();
    });
    assert_eq!(waited.json()["state"], "succeeded");
}

#[tokio::test]
async fn a_bad_answer_that_is_not_to_be_tried_again_is_a_failure() {
    let platform = Platform::start([Function::failing().answers_once()]).await;
    let id = platform.gateway.queue("failing", "x").await;
    let status = platform.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["status"], &status["attempts"]), (&"failed".into(), &500.into(), &1.into()));
    let result = platform.gateway.result(&id).await;
    assert_eq!((result.status, result.header("x-function-status")), (200, "500"));
    assert!(result.text().contains("sorry"), "{result:?}");
}

#[tokio::test]
async fn a_call_of_a_function_that_was_deleted_is_dead_and_says_so() {
    let platform = Platform::start([Function::cat()]).await;
    let (gateway, receiver) = (&platform.gateway, Receiver::start().await);
    gateway.scale("cat", 0).await;
    gateway.wait_for_replicas("cat", 0).await;
    let request = gateway.post("/async-function/cat").header("X-Callback-Url", &receiver.url);
    let id = answer_to(request.body("kept")).await.header("x-call-id").to_owned();
    let deleted = gateway.send(http::Method::DELETE, "/system/functions", &json!({ "functionName": "cat" })).await;
    assert_eq!(deleted.status, 202);
    let status = gateway.finished(&id).await;
    assert_eq!(status["state"], "dead");
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("cat") && reason.contains("not deployed"), "{reason}");
    let result = gateway.result(&id).await;
    result.assert_refused(409);
    assert!(result.text().contains(reason), "{result:?}");

    // The receiver of the callback learns of it, and the request itself is kept.
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-call-id"), callback.header("x-skep-error")), (id.as_str(), "dead"));
    let mut stream = crate::nats::stream(&platform.site, "SKEP_DEAD").await;
    assert_eq!(stream.info().await.unwrap().state.messages, 1);
    let letter = stream.get_last_raw_message_by_subject(&format!("skep.dead.cat.{id}")).await.unwrap();
    assert_eq!(letter.payload, "kept");
}

#[tokio::test]
async fn a_list_may_have_only_calls_that_took_long() {
    let platform = Platform::start([Function::cat(), Function::new("nap", "sleep 8"), Function::gated()]).await;
    let gateway = &platform.gateway;
    for (id, function) in [("quick", "cat"), ("long", "nap"), ("open", "gated")] {
        assert_eq!(gateway.queue_as(id, function, "x").await.status, 202);
    }
    gateway.finished("quick").await;
    gateway.finished("long").await;
    let ask = async |least: &str| answer_to(gateway.get(&format!("/system/calls?minDuration={least}"))).await;
    // On a busy machine the quick one takes some seconds, too.
    let listed = ask("7s").await.json();
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|call| call["callId"].clone()).collect();
    assert_eq!(ids, ["long"], "what has not ended has not taken long");
    let refused = ask("long").await;
    refused.assert_refused(400);
    assert!(refused.text().contains("minDuration"), "{refused:?}");
    let said = platform.site.client(&["calls", "list", "--min-duration", "7s"]).await.said();
    assert!(said.contains("long") && !said.contains("quick"), "{said}");
}

#[tokio::test]
async fn an_unknown_call_is_404_and_a_bad_question_400() {
    let platform = Platform::start([Function::cat()]).await;
    for path in ["/system/calls/nobody", "/system/calls/nobody/result", "/system/calls/nobody?wait=30s"] {
        answer_to(platform.gateway.get(path)).await.assert_refused(404);
    }
    let id = platform.gateway.queue("cat", "x").await;
    for path in
        [format!("/system/calls/{id}?wait=soon"), "/system/calls/a.b".to_owned(), "/system/calls/%FF".to_owned()]
    {
        answer_to(platform.gateway.get(&path)).await.assert_refused(400);
    }
}

#[tokio::test]
async fn a_call_longer_than_the_ack_window_runs_once() {
    let script = r#"sh -c 'echo "$Http_X_Call_Id" >> runs; sleep 36; cat'"#;
    let platform = Platform::start([Function::new("long", script)]).await;
    let id = platform.gateway.queue("long", "x").await;
    let status = platform.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["attempts"]), (&"succeeded".into(), &1.into()));
    let stream = crate::nats::stream(&platform.site, "SKEP_INVOKE").await;
    wait_until("nothing of it is left", async || stream.get_info().await.unwrap().state.messages == 0).await;
    assert_eq!(platform.site.runs(), [id]);
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_finishes_what_runs_and_gives_back_what_waits() {
    let mut roles = Roles::start([Function::gated().env("max_inflight", "1")]).await;
    let running = roles.gateway.queue("gated", "one").await;
    roles.gateway.state(&running, "running").await;
    let waiting = roles.gateway.queue("gated", "two").await;
    roles.worker.signal(Signal::TERM);
    let said = async || roles.worker.stderr().contains("finishing");
    wait_until("the worker stops pulling", said).await;
    roles.site.open_gate();
    assert_eq!(roles.worker.ended().await.code(), Some(0));
    assert_eq!(roles.gateway.state(&running, "succeeded").await["attempts"], 1);
    assert_eq!(roles.gateway.state(&waiting, "queued").await["attempts"], 0);

    roles.worker = roles.site.start_worker().await;
    assert_eq!(roles.gateway.finished(&waiting).await["state"], "succeeded");
    assert_eq!(roles.site.runs(), [running, waiting]);
}

#[tokio::test]
async fn a_busy_replica_is_not_an_attempt() {
    let platform = Platform::start([Function::counted().env("max_inflight", "1")]).await;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(platform.gateway.queue("counted", format!("{number}")).await);
    }
    for (number, id) in ids.iter().enumerate() {
        let status = platform.gateway.finished(id).await;
        assert_eq!((&status["state"], &status["attempts"]), (&"succeeded".into(), &1.into()));
        assert_eq!(platform.gateway.result(id).await.text(), number.to_string());
    }
    let mut runs = platform.site.runs();
    runs.sort();
    ids.sort();
    assert_eq!(runs, ids);
}
