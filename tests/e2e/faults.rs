//! Parts that are killed with -9, and calls that come to their end all the same.

use crate::harness::{Function, Platform, Process, Roles, Site, wait_until};

fn watchdogs(site: &Site) -> Vec<Process> {
    site.processes().into_iter().filter(|process| process.is("fwatchdog")).collect()
}

#[tokio::test]
async fn a_replica_that_is_killed_comes_back() {
    let platform = Platform::start([Function::gated().attempts(10), Function::echo_http()]).await;
    let site = &platform.site;
    let before: Vec<u32> = watchdogs(site).iter().map(|process| process.id).collect();
    assert_eq!(before.len(), 2);
    let id = platform.gateway.queue("gated", "x").await;
    site.wait_for_runs(1).await;
    watchdogs(site).iter().for_each(Process::kill);
    site.open_gate();
    let status = platform.gateway.finished(&id).await;
    assert_eq!((&status["state"], &status["attempts"]), (&"succeeded".into(), &2.into()), "{status}");
    assert_eq!(site.runs(), [id.clone(), id], "a run that broke off is run again");

    site.wait_for_functions().await;
    wait_until("both are new", async || {
        let now = watchdogs(site);
        now.len() == 2 && now.iter().all(|process| !before.contains(&process.id))
    })
    .await;
    wait_until("both answer", async || {
        platform.gateway.call("gated", "y").await.status == 200
            && platform.gateway.call("echo", "y").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_function_that_dies_at_its_start_harms_no_other() {
    let broken = Function::new("broken", "sh -c 'exit 1'").env("mode", "http");
    let platform = Platform::start([Function::cat()]).await;
    let body = broken.deployment(platform.site.folder());
    assert_eq!(platform.gateway.send(http::Method::POST, "/system/functions", &body).await.status, 202);
    platform.gateway.call("broken", "x").await.assert_refused(503);
    assert_eq!(platform.gateway.call("cat", "x").await.text(), "x");
    let function = platform.gateway.function("broken").await.unwrap();
    assert_eq!((&function["replicas"], &function["availableReplicas"]), (&1.into(), &0.into()));
}

#[tokio::test]
async fn a_gateway_that_is_killed_loses_nothing() {
    let mut roles = Roles::start([Function::gated()]).await;
    let id = roles.gateway.queue("gated", "x").await;
    roles.site.wait_for_runs(1).await;
    roles.role_gateway.kill();
    roles.site.open_gate();
    roles.role_gateway = roles.site.start_gateway(&[]).await;
    assert_eq!(roles.gateway.finished(&id).await["state"], "succeeded");
    assert_eq!(roles.gateway.result(&id).await.text(), "x");
    assert_eq!(roles.gateway.call("gated", "y").await.text(), "y");
    assert_eq!(roles.site.runs().iter().filter(|run| **run == id).count(), 1);
}

#[tokio::test]
async fn a_worker_that_is_killed_in_the_middle_leaves_its_calls_to_the_next() {
    let mut roles = Roles::start([Function::gated()]).await;
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(roles.gateway.queue("gated", format!("{number}")).await);
    }
    roles.site.wait_for_runs(8).await;
    roles.worker.kill();
    roles.site.open_gate();
    let later = roles.gateway.queue("gated", "later").await;
    roles.worker = roles.site.start_worker().await;
    assert_eq!(roles.gateway.finished(&later).await["state"], "succeeded");
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(roles.gateway.finished(id).await["state"], "succeeded");
        assert_eq!(roles.gateway.result(id).await.text(), number.to_string());
    }
}

#[tokio::test]
async fn a_controller_that_is_killed_takes_its_functions_up_again() {
    let mut roles = Roles::start([Function::cat()]).await;
    roles.gateway.scale("cat", 2).await;
    roles.gateway.wait_for_replicas("cat", 2).await;
    roles.controller.kill();
    wait_until("no watchdog outlives it", async || watchdogs(&roles.site).is_empty()).await;
    let body = Function::counted().deployment(roles.site.folder());
    let nobody = roles.gateway.send(http::Method::POST, "/system/functions", &body).await;
    nobody.assert_refused(503);
    let kept = roles.gateway.queue("cat", "kept").await;
    roles.controller = roles.site.start_controller().await;
    wait_until("both replicas answer", async || watchdogs(&roles.site).len() == 2).await;
    roles.site.wait_for_functions().await;
    let answers = async || roles.gateway.call("cat", "x").await.status == 200;
    wait_until("calls are answered", answers).await;
    assert_eq!(roles.gateway.finished(&kept).await["state"], "succeeded");
}

#[tokio::test]
async fn a_bus_that_is_killed_keeps_what_was_accepted() {
    let mut roles = Roles::start([Function::gated()]).await;
    roles.gateway.scale("gated", 0).await;
    roles.gateway.wait_for_replicas("gated", 0).await;
    roles.site.open_gate();
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(roles.gateway.queue("gated", "x").await);
    }
    roles.nats.kill();
    wait_until("the door says that the bus is away", async || {
        let answer = roles.gateway.queue_as("not-accepted", "gated", "x").await;
        if answer.status != 202 {
            answer.assert_refused(503);
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        }
        answer.status == 503
    })
    .await;
    roles.nats = roles.site.start_nats().await;
    wait_until("the door is open again", async || roles.gateway.queue_as("accepted", "gated", "x").await.status == 202)
        .await;
    wait_until("it is scaled up again", async || {
        let body = serde_json::json!({ "serviceName": "gated", "replicas": 1 });
        roles.gateway.send(http::Method::POST, "/system/scale-function/gated", &body).await.status == 202
    })
    .await;
    for id in ids {
        assert_eq!(roles.gateway.finished(&id).await["state"], "succeeded");
    }
    assert_eq!(roles.gateway.finished("accepted").await["state"], "succeeded");
}
