//! What shares a Swarm and must not be taken for each other: two skeps, and two namespaces of one.

use http::Method;
use serde_json::json;

use crate::harness::{Gateway, Swarm, answer_to, deployment, wait_until};

async fn start() -> (Swarm, Gateway) {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[]).await;
    (swarm, gateway)
}

#[tokio::test]
async fn two_skeps_of_one_prefix_leave_each_other_alone() {
    let (swarm, first) = start().await;
    let second = swarm.deploy_beside("second", "8081").await;
    first.deploy(&deployment("cat", "cat")).await;
    second.deploy(&deployment("env", "env")).await;
    assert_eq!(first.call("cat", "hello").await.text(), "hello");
    assert!(second.call("env", "").await.text().contains("OPENFAAS_NAME=env"));
    for (gateway, of_the_other) in [(&first, "env"), (&second, "cat")] {
        let refused = gateway.send(Method::POST, "/system/functions", &deployment(of_the_other, "cat")).await;
        refused.assert_refused(400);
        assert!(refused.text().contains("of another skep"), "{refused:?}");
        assert_eq!(gateway.call(of_the_other, "").await.status, 404);
    }

    // A controller that starts removes what its registry knows nothing of, and nothing else.
    let label = ["service", "inspect", "--format", "{{index .Spec.Labels \"skep.registry\"}}", "env"];
    let label = format!("skep.registry={}", swarm.manager().docker(&label).await);
    let left_over = ["--detach", "--name", "left-over", "--label", &label, "--label", "skep.function=left-over"];
    let create = [&["service", "create", "--no-resolve-image"], &left_over[..], &["skep/skep:latest"]].concat();
    swarm.manager().docker(&create).await;
    swarm.manager().docker(&["service", "update", "--detach", "--force", "second_controller"]).await;
    wait_until("the end of what was left over", async || {
        swarm.manager().try_docker(&["service", "inspect", "left-over"]).await.is_err()
    })
    .await;
    assert_eq!(first.call("cat", "still there").await.text(), "still there");
    second.wait_for_replicas("env", 1).await;

    let mut down = swarm.manager().skep(&["swarm", "down", "--name", "second"]);
    let down = tokio::task::spawn_blocking(move || down.output().unwrap()).await.unwrap();
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    assert!(swarm.manager().try_docker(&["service", "inspect", "env"]).await.is_err());
    assert_eq!(first.call("cat", "still there").await.text(), "still there");
}

#[tokio::test]
async fn namespaces_have_functions_and_secrets_of_one_name() {
    let (swarm, gateway) = start().await;
    let created = gateway.send(Method::POST, "/system/namespace/bees", &json!({ "name": "bees" })).await;
    assert_eq!(created.status, 201, "{created:?}");
    for (namespace, value) in [("openfaas-fn", "wax"), ("bees", "honey")] {
        let secret = json!({ "name": "key", "namespace": namespace, "value": value });
        let created = gateway.send(Method::POST, "/system/secrets", &secret).await;
        assert_eq!(created.status, 201, "{created:?}");
        let read = r#"sh -c 'cat /var/openfaas/secrets/key; set -- $(ls -lnL /var/openfaas/secrets/key); echo $1; echo "asked in $OPENFAAS_NAMESPACE" >&2'"#;
        let mut function = deployment("reader", read);
        function["envVars"] = json!({ "combine_output": "false" });
        function["namespace"] = json!(namespace);
        function["secrets"] = json!(["key"]);
        if namespace == "bees" {
            function["annotations"] = json!({ "skep.secrets.owner": "0" });
        }
        let deployed = gateway.send(Method::POST, "/system/functions", &function).await;
        assert_eq!(deployed.status, 202, "{deployed:?}");
    }
    for (name, said) in [("reader", "wax-r--r--r--\n"), ("reader.bees", "honey-r--------\n")] {
        gateway.wait_for_replicas(name, 1).await;
        assert_eq!(gateway.call(name, "").await.text(), said);
    }
    let services = ["service", "ls", "--format", "{{.Name}}", "--filter", "label=com.openfaas.function=reader"];
    assert_eq!(swarm.manager().docker(&services).await, "reader\nreader_bees");

    let queued = gateway.queue("reader.bees", "").await;
    assert_eq!(gateway.finished(&queued).await["state"], "succeeded");
    let log = "/system/logs?name=reader&namespace=bees&follow=false";
    wait_until("its lines in the log", async || {
        let lines = answer_to(gateway.get(log)).await.text();
        assert!(!lines.contains("asked in openfaas-fn"), "{lines}");
        lines.contains("asked in bees")
    })
    .await;

    let scale = json!({ "serviceName": "reader", "namespace": "bees", "replicas": 2 });
    assert_eq!(gateway.send(Method::POST, "/system/scale-function/reader", &scale).await.status, 202);
    gateway.wait_for_replicas("reader.bees", 2).await;
    gateway.wait_for_replicas("reader", 1).await;

    let used = gateway.request(Method::DELETE, "/system/namespace/bees");
    answer_to(used).await.assert_refused(409);
    let remove = json!({ "functionName": "reader", "namespace": "bees" });
    assert_eq!(gateway.send(Method::DELETE, "/system/functions", &remove).await.status, 202);
    let secret = json!({ "name": "key", "namespace": "bees" });
    // It is used until the service is gone.
    let is_removed = async || gateway.send(Method::DELETE, "/system/secrets", &secret).await.status == 200;
    wait_until("the secret can go", is_removed).await;
    assert_eq!(answer_to(gateway.request(Method::DELETE, "/system/namespace/bees")).await.status, 202);
    assert_eq!(gateway.call("reader.bees", "").await.status, 404);
    assert!(gateway.call("reader", "").await.text().starts_with("wax"));
}
