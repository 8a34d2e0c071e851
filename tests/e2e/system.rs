//! The system API of OpenFaaS, when all goes well.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Function, Platform, answer_to, metrics_of, wait_until};

#[tokio::test]
async fn a_function_is_deployed_called_updated_scaled_and_deleted() {
    let platform = Platform::start([]).await;
    let gateway = &platform.gateway;
    assert_eq!(answer_to(gateway.get("/system/functions")).await.text(), "[]");
    let deployment = Function::cat().label("team", "bees").annotation("topic", "honey").env("x", "1");
    let mut body = deployment.deployment(platform.site.folder());
    assert_eq!(gateway.send(Method::POST, "/system/functions", &body).await.status, 202);
    gateway.wait_for_replicas("cat", 1).await;
    assert_eq!(gateway.call("cat", "hello").await.text(), "hello");

    let listed = answer_to(gateway.get("/system/functions")).await.json();
    let function = answer_to(gateway.get("/system/function/cat?usage=true")).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    for (field, value) in
        [("name", json!("cat")), ("envProcess", json!("cat")), ("replicas", json!(1)), ("envVars", json!({ "x": "1" }))]
    {
        assert_eq!((&listed[0][field], &function[field]), (&value, &value), "{field}");
    }
    assert_eq!((&function["labels"]["team"], &function["labels"]["faas_function"]), (&json!("bees"), &json!("cat")));
    assert_eq!(function["annotations"]["topic"], "honey");
    assert!(function["createdAt"].as_str().is_some_and(|time| time.contains('T')), "{function}");
    for absent in ["constraints", "secrets", "limits", "requests"] {
        assert!(function.get(absent).is_none(), "{absent} was not asked for: {function}");
    }
    let counted = async || gateway.function("cat").await.unwrap()["invocationCount"].as_f64().unwrap() >= 1.0;
    wait_until("the call is counted", counted).await;

    body["envProcess"] = json!("tr a-z A-Z");
    assert_eq!(gateway.send(Method::PUT, "/system/functions", &body).await.status, 202);
    wait_until("the update is served", async || gateway.call("cat", "hello").await.text() == "HELLO").await;

    for replicas in [3, 0, 1] {
        gateway.scale("cat", replicas).await;
        assert_eq!(gateway.function("cat").await.unwrap()["replicas"], replicas, "a read shows it at once");
        gateway.wait_for_replicas("cat", replicas).await;
    }
    let deleted = gateway.send(Method::DELETE, "/system/functions", &json!({ "functionName": "cat" })).await;
    assert_eq!(deleted.status, 202);
    assert!(gateway.function("cat").await.is_none());
    gateway.call("cat", "x").await.assert_refused(404);
    let watchdogs = || platform.site.processes().into_iter().filter(|process| process.is("fwatchdog")).count();
    wait_until("its watchdogs are gone", async || watchdogs() == 0).await;
}

#[tokio::test]
async fn null_is_taken_for_every_optional_field() {
    let platform = Platform::start([]).await;
    let body = json!({
        "service": "nulls", "envProcess": "cat", "image": null, "namespace": null, "envVars": null,
        "constraints": null, "secrets": null, "labels": null, "annotations": null, "limits": null,
        "requests": null, "readOnlyRootFilesystem": null, "registryAuth": null, "network": null,
    });
    for method in [Method::POST, Method::PUT] {
        let answer = platform.gateway.send(method, "/system/functions", &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    platform.gateway.wait_for_replicas("nulls", 1).await;
    let function = platform.gateway.function("nulls").await.unwrap();
    assert_eq!((&function["annotations"], &function["image"]), (&json!({}), &json!("")));
    let scale = json!({ "serviceName": null, "replicas": 2, "namespace": null });
    assert_eq!(platform.gateway.send(Method::POST, "/system/scale-function/nulls", &scale).await.status, 202);
    let delete = json!({ "functionName": "nulls", "namespace": null });
    assert_eq!(platform.gateway.send(Method::DELETE, "/system/functions", &delete).await.status, 202);
}

#[tokio::test]
async fn clients_of_openfaas_find_what_they_ask_for() {
    let platform = Platform::start([Function::cat()]).await;
    let gateway = &platform.gateway;
    let info = answer_to(gateway.get("/system/info")).await.json();
    for text in
        [&info["provider"]["provider"], &info["provider"]["orchestration"], &info["version"]["release"], &info["arch"]]
    {
        assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{info}");
    }
    assert_eq!(answer_to(gateway.get("/system/namespaces")).await.json(), json!(["openfaas-fn"]));
    assert_eq!(answer_to(gateway.get("/healthz")).await.status, 200);
    assert_eq!(answer_to(gateway.get("/")).await.status, 200);

    // Each may name the only namespace there is, or none; the `Bearer` of faas-cli without a login is passed over.
    let named =
        answer_to(gateway.get("/system/functions?namespace=openfaas-fn").header("Authorization", "Bearer ")).await;
    assert_eq!(named.json().as_array().map(Vec::len), Some(1));
    for path in ["/system/function/cat?namespace=openfaas-fn", "/system/function/cat.openfaas-fn"] {
        assert_eq!(answer_to(gateway.get(path)).await.status, 200, "{path}");
    }
    for path in ["/system/functions?namespace=other", "/system/function/cat?namespace=other", "/system/namespace/other"]
    {
        answer_to(gateway.get(path)).await.assert_refused(404);
    }
}

#[tokio::test]
async fn metrics_have_the_names_of_the_contract_on_both_ports() {
    let platform = Platform::start_with(&["--open-metrics"], [Function::cat()]).await;
    platform.gateway.call("cat", "x").await;
    let id = platform.gateway.queue("cat", "x").await;
    platform.gateway.finished(&id).await;
    for url in [platform.site.listen, platform.site.admin] {
        let samples = [
            "gateway_function_invocation_total{code=\"200\",function_name=\"cat\"} 2",
            "gateway_function_invocation_started{function_name=\"cat\"} 2",
            "gateway_functions_seconds_count{code=\"200\",function_name=\"cat\"} 2",
            "gateway_service_count{function_name=\"cat\"} 1",
        ];
        for sample in samples {
            wait_until(sample, async || metrics_of(url).await.lines().any(|line| line == sample)).await;
        }
        assert!(metrics_of(url).await.contains("# TYPE gateway_functions_seconds histogram"));
    }
    let ready: Value = answer_to(platform.gateway.get("/system/function/cat")).await.json();
    assert_eq!(ready["invocationCount"], 2.0);
}
