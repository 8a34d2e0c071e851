//! The stack file on a real Swarm.

use crate::harness::{Swarm, answer_to};

#[tokio::test]
async fn the_stack_becomes_healthy_and_its_gateway_answers() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[]).await;
    assert_eq!(answer_to(gateway.get("/healthz")).await.status, 200);
    assert_eq!(answer_to(gateway.get("/system/functions")).await.text(), "[]");
}
