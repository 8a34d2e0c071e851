//! `skep list`, `skep scale` and `skep remove`.

use serde_json::Value;

use crate::harness::{Function, Platform, Site, wait_until};

#[tokio::test]
async fn functions_are_listed_scaled_and_removed() {
    let platform = Platform::start([Function::cat(), Function::gated()]).await;
    let site = &platform.site;
    let listed = site.client(&["list"]).await.said();
    let lines: Vec<String> = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!((lines[0].as_str(), lines[1].as_str()), ("FUNCTION READY CALLS COMMAND PROBLEM", "cat 1/1 0 cat"));
    let json: Value = serde_json::from_str(&site.client(&["list", "--json"]).await.said()).unwrap();
    assert_eq!((&json[1]["name"], &json[1]["replicas"]), (&"gated".into(), &1.into()));
    site.client(&["list", "--namespace", "nowhere"]).await.failed(3, "nowhere");

    let scaled = site.client(&["scale", "cat", "3"]).await.said();
    assert!(scaled.starts_with("cat is scaled to 3\n") && scaled.contains("cat  3 of 3 ready"), "{scaled}");
    assert_eq!(site.client(&["scale", "gated", "0", "--no-wait"]).await.said(), "gated is scaled to 0\n");
    site.client(&["scale", "nobody", "1"]).await.failed(3, "nobody");

    platform.gateway.wait_for_replicas("gated", 0).await;
    for id in ["a", "b"] {
        assert_eq!(platform.gateway.queue_as(id, "gated", "x").await.status, 202);
    }
    let wait = async || platform.gateway.function("gated").await.unwrap()["queueDepth"] == 2;
    wait_until("both wait", wait).await;
    let removed = site.client(&["remove", "cat", "gated"]).await.said();
    assert_eq!(removed, "cat is removed\ngated is removed; its 2 queued calls become dead letters\n");
    assert_eq!(site.client(&["list"]).await.said(), "No functions.\n");
    let again = site.client(&["remove", "cat", "gated"]).await;
    assert!(again.stderr.contains("cat") && again.stderr.contains("gated"), "{again:?}");
    site.client(&["remove", "cat"]).await.failed(3, "cat");
    site.client(&["remove"]).await.code_is(2);
}

#[tokio::test]
async fn those_of_a_stack_file_are_removed_together() {
    let platform = Platform::start([Function::cat(), Function::gated()]).await;
    let removed = platform.site.client(&["remove", "-f", "stack.yml", "--json"]).await.said();
    let removed: Value = serde_json::from_str(&removed).unwrap();
    assert_eq!((&removed[0]["function"], &removed[1]["function"]), (&"cat".into(), &"gated".into()));
    assert_eq!(platform.site.client(&["list"]).await.said(), "No functions.\n");
}

#[tokio::test]
async fn namespaces_are_listed_created_and_removed() {
    let platform = Platform::start([]).await;
    let site = &platform.site;
    assert_eq!(site.client(&["namespace", "create", "dev"]).await.said(), "namespace dev is created\n");
    assert_eq!(site.client(&["namespace", "list"]).await.said(), "NAMESPACE\nopenfaas-fn\ndev\n");
    assert_eq!(site.client(&["list", "-n", "dev"]).await.said(), "No functions.\n");
    site.client(&["deploy", "upper.dev", "--command", "tr a-z A-Z"]).await.said();
    assert!(site.client(&["list", "-n", "dev"]).await.said().contains("upper.dev"));
    assert_eq!(site.client_reading("shout", &["invoke", "upper.dev"]).await.said(), "SHOUT");
    site.client(&["namespace", "remove", "dev"]).await.failed(1, "upper");
    site.client(&["remove", "upper.dev"]).await.said();
    assert_eq!(site.client(&["namespace", "remove", "dev"]).await.said(), "namespace dev is removed\n");
    site.client(&["namespace", "remove", "dev"]).await.failed(3, "dev");
    site.client(&["deploy", "upper.dev", "--command", "cat"]).await.failed(3, "skep namespace create dev");
}

#[tokio::test]
async fn without_a_gateway_each_command_says_so() {
    let site = Site::new([]);
    for command in [&["list"][..], &["scale", "a", "1"], &["remove", "a"], &["logs", "a"], &["secret", "list"]] {
        site.client(command).await.failed(1, "does not answer");
    }
    for command in ["deploy", "invoke", "logs", "remove", "scale", "list", "secret", "namespace"] {
        let help = site.client(&[command, "--help"]).await.said();
        assert!(
            ["secret", "namespace"].contains(&command) || help.contains("skep "),
            "{command} has no example: {help}"
        );
    }
}
