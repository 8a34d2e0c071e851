//! Images in a registry that asks who pulls.

use std::{fs, path::Path, process::Command};

use http::Method;
use serde_json::json;

use crate::harness::{FUNCTION, Others, Program, Swarm, deployment, wait_until};

const REGISTRY: &str = "10.200.0.254:5000";
const IMAGE: &str = "10.200.0.254:5000/hive/function:1";
/// `honey`, as the registry keeps it.
const PASSWORD: &str = "$2b$04$HkeZl2hkKO8KSqLc6j7JqOy/vkqpihHlqp5lLek0bFI.ca38xxvbu";

/// A registry on the network of the engines, which lets `bees` in.
async fn start_registry(others: &Others, folder: &Path) -> Program {
    let (users, images, settings) = (folder.join("users"), folder.join("images"), folder.join("settings.yml"));
    fs::write(&users, format!("bees:{PASSWORD}\n")).unwrap();
    let text = json!({
        "version": 0.1,
        "storage": { "filesystem": { "rootdirectory": images } },
        "http": { "addr": REGISTRY },
        "auth": { "htpasswd": { "realm": "hive", "path": users } },
    });
    // JSON is YAML.
    fs::write(&settings, text.to_string()).unwrap();
    let mut registry = Command::new(others.program("docker-registry"));
    registry.arg("serve").arg(settings);
    let registry = Program::start("docker-registry", registry, folder);
    wait_until("the registry listens", async || tokio::net::TcpStream::connect(REGISTRY).await.is_ok()).await;
    registry
}

#[tokio::test]
async fn an_image_is_pulled_with_the_credentials_of_its_deployment() {
    let others = Others::fetch();
    let swarm = Swarm::start(2).await;
    swarm.make_images().await;
    let folder = tempfile::tempdir().unwrap();
    let _registry = start_registry(&others, folder.path()).await;
    let manager = swarm.manager();
    manager.docker(&["tag", FUNCTION, IMAGE]).await;
    manager.docker(&["login", "--username", "bees", "--password", "honey", REGISTRY]).await;
    manager.docker(&["push", "--quiet", IMAGE]).await;
    let gateway = swarm.deploy_stack(&[("SKEP_GATEWAYS", "2")]).await;

    let mut function = deployment("cat", "cat");
    function["image"] = json!(IMAGE);
    function["constraints"] = json!(["node.hostname == node2"]);
    let deployed = gateway.send(Method::POST, "/system/functions", &function).await;
    assert_eq!(deployed.status, 202, "{deployed:?}");
    // Swarm says the same of an image that may not be pulled as of one that is not there.
    wait_until("the status says that nobody in particular may not pull it", async || {
        let status = gateway.function("cat").await.unwrap();
        status["problem"].as_str().is_some_and(|problem| problem.contains("No such image"))
    })
    .await;

    // bees:honey
    function["registryAuth"] = json!("YmVlczpob25leQ==");
    let updated = gateway.send(Method::PUT, "/system/functions", &function).await;
    assert_eq!(updated.status, 202, "{updated:?}");
    gateway.wait_for_replicas("cat", 1).await;
    assert_eq!(gateway.call("cat", "hello").await.text(), "hello");

    // The credentials stay with the service, for nodes that need the image later.
    function.as_object_mut().unwrap().remove("registryAuth");
    function["constraints"] = json!(["node.hostname == node1"]);
    manager.docker(&["image", "rm", "--force", IMAGE]).await;
    let updated = gateway.send(Method::PUT, "/system/functions", &function).await;
    assert_eq!(updated.status, 202, "{updated:?}");
    wait_until("the image on the other node", async || manager.try_docker(&["image", "inspect", IMAGE]).await.is_ok())
        .await;
    gateway.wait_for_replicas("cat", 1).await;
}

#[tokio::test]
async fn an_image_that_is_pinned_by_its_digest_stays_although_its_tag_moves() {
    let others = Others::fetch();
    let swarm = Swarm::start(2).await;
    swarm.make_images().await;
    let folder = tempfile::tempdir().unwrap();
    let _registry = start_registry(&others, folder.path()).await;
    let manager = swarm.manager();
    manager.docker(&["tag", FUNCTION, IMAGE]).await;
    manager.docker(&["login", "--username", "bees", "--password", "honey", REGISTRY]).await;
    manager.docker(&["push", "--quiet", IMAGE]).await;
    // The command of docs/swarm.md.
    let pinned = manager.docker(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", IMAGE]).await;
    assert!(pinned.starts_with("10.200.0.254:5000/hive/function@sha256:"), "{pinned}");
    // The tag is now something that is no function.
    manager.docker(&["tag", "nats:2.15.1-alpine", IMAGE]).await;
    manager.docker(&["push", "--quiet", IMAGE]).await;
    let gateway = swarm.deploy_stack(&[("SKEP_GATEWAYS", "2")]).await;

    let mut function = deployment("cat", "cat");
    function["image"] = json!(pinned);
    function["registryAuth"] = json!("YmVlczpob25leQ==");
    function["constraints"] = json!(["node.hostname == node2"]);
    let deployed = gateway.send(Method::POST, "/system/functions", &function).await;
    assert_eq!(deployed.status, 202, "{deployed:?}");
    gateway.wait_for_replicas("cat", 1).await;
    assert_eq!(gateway.call("cat", "hello").await.text(), "hello");
    assert_eq!(gateway.function("cat").await.unwrap()["image"], json!(pinned));
}
