//! `skep swarm up` and `down`, and what `skep doctor` says.

use std::{net::TcpListener, process::Command};

use crate::harness::{SKEP, Swarm, wait_until};

/// Runs `skep` with an engine: its exit code and all that it said.
async fn skep(swarm: &Swarm, arguments: &[&str]) -> (Option<i32>, String) {
    let mut skep: Command = swarm.manager().skep(arguments);
    let output = tokio::task::spawn_blocking(move || skep.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn what_is_not_in_place_is_told_and_nothing_is_changed() {
    let swarm = Swarm::start(1).await;
    let manager = swarm.manager();
    let holder = TcpListener::bind("0.0.0.0:8080").unwrap();
    let (code, said) = skep(&swarm, &["swarm", "up", "--gateways", "2"]).await;
    drop(holder);
    assert_eq!(code, Some(2), "{said}");
    for words in ["port 8080 cannot be used", "make images", "--gateways must not be more", "nothing was changed"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(manager.docker(&["stack", "ls", "--format", "{{.Name}}"]).await, "");
    assert_eq!(manager.docker(&["secret", "ls", "--quiet"]).await, "");

    manager.docker(&["network", "create", "--driver", "overlay", "skep_functions"]).await;
    let (code, said) = skep(&swarm, &["swarm", "up"]).await;
    assert!(code == Some(2) && said.contains("docker network rm skep_functions"), "{said}");

    manager
        .docker(&[
            "service",
            "create",
            "--detach",
            "--no-resolve-image",
            "--name",
            "skep_gateway",
            "--label",
            "com.docker.stack.namespace=skep",
            "skep-test/nobody-has-this:1",
        ])
        .await;
    let words = "a node has not got the image";
    let told = async || skep(&swarm, &["doctor"]).await.1.contains(words);
    wait_until("the doctor tells of the image", told).await;

    manager.docker(&["swarm", "leave", "--force"]).await;
    let (code, said) = skep(&swarm, &["swarm", "up"]).await;
    assert!(code == Some(2) && said.contains("docker swarm init"), "{said}");
}

#[tokio::test]
async fn without_an_engine_it_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}/none.sock", folder.path().display());
    let mut skep = Command::new(&*SKEP);
    let output = skep.args(["swarm", "up"]).env("DOCKER_HOST", socket).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("no Docker engine answers") && said.contains("start the engine"), "{said}");
}
