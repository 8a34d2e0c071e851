//! `skep swarm up` and `down`, and what `skep doctor` says.

use std::{net::TcpListener, process::Command};

use crate::harness::{Gateway, SKEP, Swarm, answer_to, wait_until};

/// Runs `skep` with an engine: its exit code and all that it said.
async fn skep(swarm: &Swarm, arguments: &[&str]) -> (Option<i32>, String) {
    let mut skep: Command = swarm.manager().skep(arguments);
    let output = tokio::task::spawn_blocking(move || skep.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn one_command_brings_the_platform_up_and_one_removes_all_of_it() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let (code, said) = skep(&swarm, &["swarm", "up", "--without-prometheus"]).await;
    assert_eq!(code, Some(0), "{said}");
    let url = format!("http://{}:8080", swarm.manager().address);
    assert!(said.contains(&url), "{said}");
    let password = said.split_once("shown only here: ").unwrap().1.lines().next().unwrap().to_owned();
    let gateway = Gateway::new(url);
    let with_password = gateway.get("/system/functions").basic_auth("admin", Some(&password));
    assert_eq!(answer_to(with_password).await.text(), "[]");
    // It goes with all that the stack keeps.
    let secret = gateway.post("/system/secrets").body(r#"{"name":"key","value":"honey"}"#);
    assert_eq!(answer_to(secret.basic_auth("admin", Some(&password))).await.status, 201);
    let user = ["inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.User}}", "skep_controller"];
    assert!(swarm.manager().docker(&[&["service"], &user[..]].concat()).await.starts_with("65532:"));

    let (code, said) = skep(&swarm, &["swarm", "up", "--without-prometheus"]).await;
    assert!(code == Some(0) && !said.contains("shown only here"), "again it finds what is there: {said}");
    let listen = format!("{}:8080", swarm.manager().address);
    let (code, said) = skep(&swarm, &["doctor", "--listen", &listen]).await;
    assert!(code == Some(0) && said.contains("gateway 1/1") && said.contains("Nothing is wrong."), "{said}");

    let (code, said) = skep(&swarm, &["swarm", "down"]).await;
    assert!(code == Some(0) && said.contains("keep the volumes and secrets"), "{said}");
    assert!(swarm.manager().docker(&["secret", "ls", "--format", "{{.Name}}"]).await.contains("key-v1"));
    let (code, said) = skep(&swarm, &["swarm", "down", "--volumes"]).await;
    assert_eq!(code, Some(0), "what was kept can go later: {said}");
    for what in ["service", "secret", "config", "volume"] {
        assert_eq!(swarm.manager().docker(&[what, "ls", "--quiet"]).await, "", "{what}");
    }
    let networks = swarm.manager().docker(&["network", "ls", "--format", "{{.Name}}"]).await;
    assert!(!networks.contains("skep"), "{networks}");
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
    let is_off = async || {
        assert_eq!(manager.docker(&["info", "--format", "{{.Swarm.LocalNodeState}}"]).await, "inactive");
    };
    let (code, said) = skep(&swarm, &["swarm", "up"]).await;
    assert!(code == Some(2) && said.contains("docker swarm init"), "{said}");
    is_off().await;
    // The rest is checked as if Swarm was on.
    let dry_run = ["swarm", "up", "--init", "--dry-run", "--image", "no-such/image:1"];
    let (code, said) = skep(&swarm, &dry_run).await;
    assert!(code == Some(2) && said.contains("--init turns it on") && said.contains("port 8080 is free"), "{said}");
    assert!(said.contains("make images") && said.contains("nothing was changed"), "{said}");
    is_off().await;
    let (code, said) = skep(&swarm, &["swarm", "up", "--init", "--image", "no-such/image:1"]).await;
    assert!(code == Some(2) && said.contains("Swarm is on now") && !said.contains("; nothing was changed"), "{said}");
}

#[tokio::test]
async fn networks_are_encrypted_if_that_is_wanted_when_they_are_made() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let up = ["swarm", "up", "--without-prometheus"];
    let encrypted = [&up[..], &["--encrypt-networks"]].concat();
    let (code, said) = skep(&swarm, &encrypted).await;
    assert_eq!(code, Some(0), "{said}");
    for network in ["skep_platform", "skep_functions"] {
        let options = swarm.manager().docker(&["network", "inspect", "--format", "{{json .Options}}", network]).await;
        assert!(options.contains("encrypted"), "{network}: {options}");
    }
    let (code, said) = skep(&swarm, &up).await;
    assert!(code == Some(0) && said.contains("is an attachable encrypted overlay"), "they stay encrypted: {said}");

    let (code, said) = skep(&swarm, &["swarm", "down"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = skep(&swarm, &up).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = skep(&swarm, &encrypted).await;
    assert!(code == Some(2) && said.contains("is not encrypted") && said.contains("skep swarm down"), "{said}");
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
