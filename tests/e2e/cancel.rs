//! Calls that are taken back.

use crate::harness::{Function, Platform, Receiver, Site, answer_to, wait_until};

fn scripts(site: &Site) -> usize {
    site.processes().iter().filter(|process| process.command.contains("while [ ! -e gate ]")).count()
}

#[tokio::test]
async fn a_call_that_waits_is_cancelled_and_never_runs() {
    let platform = Platform::start([Function::counted()]).await;
    let gateway = &platform.gateway;
    let scheduled = gateway.queue_later("counted", "6s").await;
    assert_eq!(gateway.cancel(&scheduled).await.status, 202);
    assert_eq!(gateway.cancel(&scheduled).await.status, 202, "once more is no error");
    let status = gateway.call_status(&scheduled).await.unwrap();
    assert_eq!((&status["state"], &status["attempts"]), (&"cancelled".into(), &0.into()));
    gateway.result(&scheduled).await.assert_refused(409);

    gateway.scale("counted", 0).await;
    gateway.wait_for_replicas("counted", 0).await;
    let queued = gateway.queue("counted", "x").await;
    let path = format!("/system/calls/{queued}");
    assert_eq!(answer_to(gateway.request(http::Method::DELETE, &path)).await.status, 202);
    assert_eq!(gateway.call_status(&queued).await.unwrap()["state"], "cancelled");

    gateway.scale("counted", 1).await;
    let after = gateway.queue_later("counted", "7s").await;
    gateway.finished(&after).await;
    assert_eq!(platform.site.runs(), std::slice::from_ref(&after), "what was due before has not run");
    gateway.cancel(&after).await.assert_refused(409);
    gateway.cancel("nobody").await.assert_refused(404);
    gateway.cancel("a.b").await.assert_refused(400);
}

#[tokio::test]
async fn a_call_that_runs_is_cancelled_and_its_process_ends() {
    let platform = Platform::start([Function::gated()]).await;
    let receiver = Receiver::start().await;
    let request = platform.gateway.post("/async-function/gated").header("X-Callback-Url", &receiver.url);
    let id = answer_to(request.body("x")).await.header("x-call-id").to_owned();
    platform.gateway.state(&id, "running").await;
    // Its state may be known before its process has started.
    platform.site.wait_for_runs(1).await;
    assert!(scripts(&platform.site) > 0);
    assert_eq!(platform.gateway.cancel(&id).await.status, 202);
    wait_until("its process has ended", async || scripts(&platform.site) == 0).await;
    assert_eq!(platform.gateway.finished(&id).await["state"], "cancelled");
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-call-id"), callback.header("x-skep-error")), (id.as_str(), "cancelled"));
    let stream = crate::nats::stream(&platform.site, "SKEP_INVOKE").await;
    wait_until("nothing of it is left", async || stream.get_info().await.unwrap().state.messages == 0).await;
    assert_eq!(platform.site.runs(), [id]);
}
