//! The certifier of OpenFaaS passes against the stack file. You bring its test binary: `make test-certifier`.

use std::process::{Command, Stdio};

use crate::harness::{Others, Swarm, repository, variable};

#[tokio::test]
async fn the_certifier_of_openfaas_passes() {
    let certifier = variable("SKEP_TEST_CERTIFIER").expect("SKEP_TEST_CERTIFIER names the certifier's test binary");
    let others = Others::fetch();
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    swarm.make_monitoring_images(&others).await;
    let gateway = swarm.deploy_stack(&[("SKEP_PROMETHEUS", "1")]).await;

    let mut run = Command::new("sh");
    run.arg(repository().join("tests/certifier.sh")).arg(certifier).stdin(Stdio::null());
    run.env("GATEWAY", &gateway.url).env("CREDENTIALS", gateway.user_and_password().unwrap());
    run.env("DOCKER_HOST", format!("unix://{}", swarm.manager().socket.display())).env("DOCKER_BUILDKIT", "0");
    let status = tokio::task::spawn_blocking(move || run.status().unwrap()).await.unwrap();
    assert!(status.success(), "{status}");
}
