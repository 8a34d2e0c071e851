//! The stack file on a real Swarm.

use crate::harness::{Swarm, answer_to, deployment, wait_until};

#[tokio::test]
async fn the_stack_becomes_healthy_and_its_gateway_answers() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[]).await;
    assert_eq!(answer_to(gateway.get("/healthz")).await.status, 200);
    assert_eq!(answer_to(gateway.get("/system/functions")).await.text(), "[]");
}

#[tokio::test]
async fn a_stack_without_a_password_for_nats_is_updated_to_one_with_it_and_keeps_its_calls() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack_without_nats_user().await;
    gateway.deploy(&deployment("echo", "cat")).await;
    let waits = gateway.queue_later("echo", "1h").await;

    swarm.update_stack(&[]).await;
    wait_until("the update of NATS", async || {
        // There is none before Swarm begins.
        let state = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}";
        let state = ["service", "inspect", "--format", state, "skep_nats"];
        swarm.manager().docker(&state).await == "completed"
    })
    .await;
    wait_until("all roles connect with the password", async || {
        let connections = swarm.ask("skep_nats", "http://127.0.0.1:8222/connz?auth=1").await;
        let users: Vec<_> =
            connections["connections"].as_array().unwrap().iter().map(|one| &one["authorized_user"]).collect();
        let roles = ["skep-gateway", "skep-queue-worker", "skep-controller"];
        // Each of them has two connections.
        users.len() >= 6 && users.iter().all(|user| roles.iter().any(|role| *user == role))
    })
    .await;
    wait_until("the gateway answers", async || {
        gateway.get("/healthz").send().await.is_ok_and(|said| said.status() == 200)
    })
    .await;
    assert_eq!(gateway.call_status(&waits).await.unwrap()["state"], "scheduled");
    wait_until("a queued call is run", async || {
        let said = gateway.post("/async-function/echo").header("X-Call-Id", "again").body("x").send().await;
        said.is_ok_and(|said| said.status() == 202)
    })
    .await;
    assert_eq!(gateway.finished("again").await["state"], "succeeded");
}
