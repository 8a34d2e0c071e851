//! The engine goes away under the controller, and comes back.

use http::Method;

use crate::harness::{EngineRelay, Swarm, deployment, wait_until};

#[tokio::test]
async fn while_the_engine_is_away_functions_go_on_and_what_was_asked_for_is_done_later() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[]).await;
    let engine = EngineRelay::start(swarm.manager()).await;
    let host = format!("SKEP_DOCKER_HOST={}", EngineRelay::URL);
    swarm.manager().docker(&["service", "update", "--env-add", &host, "skep_controller"]).await;
    gateway.deploy(&deployment("cat", "cat")).await;

    drop(engine);
    let refused = gateway.send(Method::POST, "/system/functions", &deployment("env", "env")).await;
    refused.assert_refused(503);
    gateway.scale("cat", 2).await;
    wait_until("the reason for only one replica is shown", async || {
        let status = gateway.function("cat").await.unwrap();
        status["problem"].as_str().is_some_and(|problem| problem.contains("Docker engine"))
    })
    .await;
    assert_eq!(gateway.call("cat", "alone").await.text(), "alone");
    let queued = gateway.queue("cat", "alone too").await;
    assert_eq!(gateway.finished(&queued).await["state"], "succeeded");

    let _engine = EngineRelay::start(swarm.manager()).await;
    gateway.wait_for_replicas("cat", 2).await;
    wait_until("no problem", async || gateway.function("cat").await.unwrap().get("problem").is_none()).await;
    gateway.deploy(&deployment("env", "env")).await;
}
