//! The life of a function on a real engine.

use http::Method;
use serde_json::json;

use crate::harness::{Receiver, Swarm, answer_to, deployment, wait_until};

#[tokio::test]
async fn a_function_is_deployed_called_scaled_updated_and_removed() {
    let swarm = Swarm::start(1).await;
    swarm.make_images().await;
    let gateway = swarm.deploy_stack(&[("SKEP_CALLBACK_ALLOW", "private")]).await;
    let mut function = deployment("hive", "sh -c 'cat; echo said >&2; echo -n \" of $COLOUR\"'");
    function["envVars"] = json!({ "COLOUR": "gold", "combine_output": "false" });
    gateway.deploy(&function).await;
    assert_eq!(gateway.call("hive", "honey").await.text(), "honey of gold");

    let receiver = Receiver::start_at((Swarm::here(), 0).into()).await;
    let queued = gateway.post("/async-function/hive").header("X-Callback-Url", &receiver.url).body("wax");
    let queued = answer_to(queued).await;
    assert_eq!(queued.status, 202, "{queued:?}");
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!((callback.header("x-call-id"), &callback.body[..]), (queued.header("x-call-id"), &b"wax of gold"[..]));

    wait_until("its lines in the log", async || {
        let lines = answer_to(gateway.get("/system/logs?name=hive&tail=10&follow=false")).await.text();
        lines.lines().filter(|line| line.contains("said")).count() == 2
    })
    .await;

    gateway.scale("hive", 3).await;
    gateway.wait_for_replicas("hive", 3).await;

    function["envVars"] = json!({ "COLOUR": "amber", "combine_output": "false" });
    let updated = gateway.send(Method::PUT, "/system/functions", &function).await;
    assert_eq!(updated.status, 202, "{updated:?}");
    wait_until("the new version", async || gateway.call("hive", "honey").await.text() == "honey of amber").await;

    let removed = gateway.send(Method::DELETE, "/system/functions", &json!({ "functionName": "hive" })).await;
    assert_eq!(removed.status, 202, "{removed:?}");
    wait_until("its end", async || gateway.call("hive", "honey").await.status == 404).await;
    wait_until("no container of it", async || {
        let containers = ["ps", "--all", "--quiet", "--filter", "label=com.openfaas.function=hive"];
        swarm.manager().docker(&containers).await.is_empty()
    })
    .await;
}
