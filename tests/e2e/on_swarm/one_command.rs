//! `skep swarm up` and `down`, and what `skep doctor` says.

use std::{net::TcpListener, process::Command};

use serde_json::json;

use crate::harness::{Gateway, SKEP, Swarm, answer_to, deployment, wait_until};

/// Runs `skep` with an engine: its exit code and all that it said.
pub(super) async fn skep(swarm: &Swarm, arguments: &[&str]) -> (Option<i32>, String) {
    let mut skep: Command = swarm.manager().skep(arguments);
    let output = tokio::task::spawn_blocking(move || skep.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

/// The gateway of each node, with the password that the command has shown.
pub(super) fn gateways(swarm: &Swarm, said: &str) -> Vec<Gateway> {
    let password = said.split_once("shown only here: ").unwrap().1.lines().next().unwrap();
    let gateway = |address| Gateway::new(format!("http://{address}:8080")).with_credentials("admin", password);
    swarm.nodes.iter().map(|node| gateway(node.address)).collect()
}

/// The gateway that the command names.
pub(super) fn gateway(swarm: &Swarm, said: &str) -> Gateway {
    let url = said.split_once("  gateway   http://").unwrap().1.split(' ').next().unwrap();
    let url = format!("http://{url}");
    gateways(swarm, said).into_iter().find(|gateway| gateway.url == url).unwrap_or_else(|| panic!("{said}"))
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
    assert!(code == Some(0) && said.contains("keep the volumes, secrets and settings"), "{said}");
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
    let reported = async || skep(&swarm, &["doctor"]).await.1.contains(words);
    wait_until("the doctor tells of the image", reported).await;

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

#[tokio::test]
async fn settings_are_remembered_and_an_update_that_fails_is_reported() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let manager = swarm.manager();
    let (code, said) = skep(&swarm, &["swarm", "up", "--without-prometheus", "--workers", "2"]).await;
    assert_eq!(code, Some(0), "{said}");
    let build = async |tag: &str, lines: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Dockerfile"), format!("FROM skep/skep:latest\n{lines}\n")).unwrap();
        manager.docker(&["build", "--quiet", "--tag", tag, folder.path().to_str().unwrap()]).await
    };
    build("skep/skep:bad", "ENTRYPOINT [\"/skep\", \"no-such-command\"]").await;
    let image = build("skep/skep:latest", "LABEL built=again").await;
    let (code, said) = skep(&swarm, &["swarm", "up"]).await;
    assert!(code == Some(0) && said.contains("is updated"), "{said}");
    let services = manager.docker(&["service", "ls", "--format", "{{.Name}} {{.Replicas}}"]).await;
    assert!(services.contains("skep_queue-worker 2/2") && services.contains("skep_prometheus 0/0"), "{services}");
    let gateway = ["ps", "--quiet", "--filter", "label=com.docker.swarm.service.name=skep_gateway"];
    let gateway = manager.docker(&gateway).await;
    assert_eq!(manager.docker(&["inspect", "--format", "{{.Image}}", &gateway]).await, image);

    let (code, said) = skep(&swarm, &["swarm", "up", "--image", "skep/skep:bad"]).await;
    assert!(code == Some(1) && said.contains("Swarm goes back to the version before"), "{said}");
    let reported = async || skep(&swarm, &["doctor"]).await.1.contains("the last update of");
    wait_until("the doctor reports the update", reported).await;
    let (code, said) = skep(&swarm, &["swarm", "up", "--image", "skep/skep:latest"]).await;
    assert_eq!(code, Some(0), "{said}");

    let (code, said) = skep(&swarm, &["swarm", "password", "--rotate"]).await;
    assert_eq!(code, Some(0), "{said}");
    let password = said.split_once("shown only here: ").unwrap().1.lines().next().unwrap().to_owned();
    let gateway = Gateway::new(format!("http://{}:8080", manager.address));
    let with = gateway.get("/system/functions").basic_auth("admin", Some(&password));
    assert_eq!(answer_to(with).await.status, 200);
    let secrets = manager.docker(&["secret", "ls", "--format", "{{.Name}}"]).await;
    assert!(secrets.contains("basic-auth-password-2") && !secrets.lines().any(|name| name == "basic-auth-password"));
    let (code, said) = skep(&swarm, &["swarm", "up"]).await;
    assert!(code == Some(0) && !said.contains("shown only here"), "{said}");
}

/// Ends NATS, removes what it stores, and starts it again.
async fn empty_nats(swarm: &Swarm) {
    let manager = swarm.manager();
    manager.docker(&["service", "scale", "skep_nats=0"]).await;
    let containers = manager.docker(&["ps", "--all", "--quiet", "--filter", "volume=skep_nats"]).await;
    for container in containers.lines() {
        // Swarm may be faster.
        let _ = manager.try_docker(&["rm", "--force", container]).await;
    }
    // A container that Swarm is removing uses it until it is gone.
    let removed = async || manager.try_docker(&["volume", "rm", "skep_nats"]).await.is_ok();
    wait_until("the end of the volume", removed).await;
    manager.docker(&["service", "scale", "--detach", "skep_nats=1"]).await;
}

#[tokio::test]
async fn functions_come_back_into_a_registry_that_has_lost_them() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let (code, said) = skep(&swarm, &["swarm", "up", "--without-prometheus"]).await;
    assert_eq!(code, Some(0), "{said}");
    let password = said.split_once("shown only here: ").unwrap().1.lines().next().unwrap().to_owned();
    let url = format!("http://{}:8080", swarm.manager().address);
    let gateway = Gateway::new(url.clone()).with_credentials("admin", &password);
    let mut echo = deployment("echo", "cat");
    echo["envVars"] = json!({ "MODE": "a=b" });
    echo["labels"] = json!({ "team": "bees" });
    echo["annotations"] = json!({ "skep.timeout": "20s" });
    echo["limits"] = json!({ "memory": "64Mi" });
    gateway.deploy(&echo).await;
    let deployed = async || {
        let function = gateway.function("echo").await.unwrap();
        ["image", "envProcess", "envVars", "labels", "annotations"].map(|field| function[field].clone())
    };
    let before = deployed().await;

    empty_nats(&swarm).await;
    wait_until("it is known no more", async || gateway.call("echo", "x").await.status == 404).await;
    wait_until("the controller answers", async || {
        answer_to(gateway.get("/system/info")).await.json()["provider"].is_object()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, &password).unwrap();
    let adopt = ["swarm", "adopt", "--gateway", &url, "--password-file", file.to_str().unwrap()];
    let (code, said) = skep(&swarm, &[&adopt[..], &["--dry-run"]].concat()).await;
    assert!(code == Some(0) && said.contains("would adopt echo"), "{said}");
    let (code, said) = skep(&swarm, &adopt).await;
    assert!(code == Some(0) && said.contains("adopted  echo"), "{said}");
    wait_until("it answers", async || gateway.call("echo", "again").await.text() == "again").await;
    assert_eq!(deployed().await, before);
    let (code, said) = skep(&swarm, &adopt).await;
    assert!(code == Some(0) && said.contains("no function that the gateway does not know"), "{said}");
}
