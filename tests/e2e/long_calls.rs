//! Calls that run long, and workers that stop in the middle of one.

use rustix::process::Signal;

use crate::harness::{Function, Roles, free_address, wait_until};

const LONG_AFTER: [&str; 2] = ["--long-after", "1s"];

async fn start() -> Roles {
    let mut roles = Roles::start([Function::gated(), Function::cat()]).await;
    roles.worker.kill();
    roles.worker = roles.site.start_worker_with(roles.site.worker_admin, &LONG_AFTER).await;
    roles
}

async fn messages(roles: &Roles, stream: &str) -> u64 {
    crate::nats::stream(&roles.site, stream).await.get_info().await.unwrap().state.messages
}

/// Starts a call and waits until it has left its lane.
async fn long_call(roles: &Roles) -> String {
    let id = roles.gateway.queue("gated", "x").await;
    roles.gateway.state(&id, "running").await;
    wait_until("it leaves its lane", async || messages(roles, "SKEP_DELAYED").await == 1).await;
    id
}

#[tokio::test]
async fn a_call_that_runs_long_pins_nothing_and_runs_once() {
    let roles = start().await;
    let id = long_call(&roles).await;
    for _ in 0..10 {
        let other = roles.gateway.queue("cat", "x").await;
        roles.gateway.finished(&other).await;
    }
    wait_until("all others are purged", async || messages(&roles, "SKEP_INVOKE").await == 0).await;
    // It is let run for longer than its lease lasts without being renewed.
    let first = crate::nats::stream(&roles.site, "SKEP_DELAYED").await.get_info().await.unwrap().state.last_sequence;
    let renewed = async || {
        let stream = crate::nats::stream(&roles.site, "SKEP_DELAYED").await;
        stream.get_info().await.unwrap().state.last_sequence >= first + 5
    };
    wait_until("the lease is renewed again and again", renewed).await;
    assert_eq!(roles.gateway.call_status(&id).await.unwrap()["state"], "running");
    roles.site.open_gate();
    let status = roles.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["attempts"]), (&"succeeded".into(), &1.into()));
    wait_until("nothing stands in for it", async || messages(&roles, "SKEP_DELAYED").await == 0).await;
    assert_eq!(roles.site.runs(), [id]);
}

#[tokio::test]
async fn a_long_call_whose_worker_is_killed_is_run_by_another() {
    let mut roles = start().await;
    let id = long_call(&roles).await;
    roles.worker.kill();
    roles.worker = roles.site.start_worker().await;
    roles.site.wait_for_runs(2).await;
    roles.site.open_gate();
    assert_eq!(roles.gateway.finished(&id).await["state"], "succeeded");
    assert_eq!(roles.site.runs(), [id.clone(), id]);
}

#[tokio::test]
async fn a_long_call_can_be_cancelled_and_fails_as_any_other() {
    let roles = start().await;
    let id = long_call(&roles).await;
    assert_eq!(roles.gateway.cancel(&id).await.status, 202);
    wait_until("nothing stands in for it", async || messages(&roles, "SKEP_DELAYED").await == 0).await;
    assert_eq!(roles.gateway.finished(&id).await["state"], "cancelled");

    let broken = Function::new("broken", "sh -c 'while [ ! -e gate ]; do sleep 0.1; done; exit 1'").attempts(2);
    roles.site.deploy(&broken).await;
    let id = roles.gateway.queue("broken", "x").await;
    wait_until("it leaves its lane", async || messages(&roles, "SKEP_DELAYED").await == 1).await;
    roles.site.open_gate();
    let status = roles.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["attempts"]), (&"dead".into(), &2.into()), "{status}");
    wait_until("nothing of it waits", async || messages(&roles, "SKEP_DELAYED").await == 0).await;
}

#[tokio::test]
async fn a_worker_that_wakes_up_late_cannot_record_a_second_result() {
    let roles = start().await;
    let id = long_call(&roles).await;
    roles.worker.suspend().await;
    let other = roles.site.start_worker_with(free_address(), &LONG_AFTER).await;
    roles.site.wait_for_runs(2).await;
    roles.site.open_gate();
    let status = roles.gateway.finished(&id).await;
    assert_eq!((&status["state"], messages(&roles, "SKEP_CALLS").await), (&"succeeded".into(), 1));

    roles.worker.signal(Signal::CONT);
    let refused = async || roles.worker.stderr().contains("the first one stays");
    wait_until("its result is refused", refused).await;
    assert_eq!(roles.gateway.call_status(&id).await.unwrap(), status);
    assert_eq!(messages(&roles, "SKEP_CALLS").await, 1);
    // Both go on working, and the call does not come again.
    let after = roles.gateway.queue("gated", "y").await;
    assert_eq!(roles.gateway.finished(&after).await["state"], "succeeded");
    wait_until("nothing waits", async || {
        messages(&roles, "SKEP_INVOKE").await == 0 && messages(&roles, "SKEP_DELAYED").await == 0
    })
    .await;
    assert_eq!(roles.site.runs(), [id.clone(), id, after]);
    drop(other);
}
