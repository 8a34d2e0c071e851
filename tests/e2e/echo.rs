//! What clients of OpenFaaS, and the certifier among them, compare: a deployment comes back as it was sent, and nothing is added.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Platform, answer_to};

const IMAGE: &str = "docker.io/functions/alpine:latest";

/// Deploys, and reads the function both ways.
async fn deployed(platform: &Platform, deployment: &Value) -> Value {
    let answer = platform.gateway.send(Method::POST, "/system/functions", deployment).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let name = deployment["service"].as_str().unwrap();
    let namespace = deployment["namespace"].as_str().unwrap_or_default();
    let query = format!("?namespace={namespace}&usage=1");
    let read = answer_to(platform.gateway.get(&format!("/system/function/{name}{query}"))).await.json();
    let listed = answer_to(platform.gateway.get(&format!("/system/functions{query}"))).await.json();
    let listed = listed.as_array().unwrap().iter().find(|function| function["name"] == name).unwrap().clone();
    // Fields that change by themselves, and fields that only a request for one function returns.
    let apart = ["availableReplicas", "instances", "queueDepth", "queueAgeSeconds", "scaling"];
    for field in read.as_object().unwrap().keys().filter(|field| !apart.contains(&field.as_str())) {
        assert_eq!(read[field], listed[field], "{field}");
    }
    read
}

#[tokio::test]
async fn what_was_sent_comes_back_and_what_was_not_stays_away() {
    let platform = Platform::start([]).await;
    let plain = json!({ "service": "plain", "image": IMAGE, "envProcess": "sha512sum", "labels": null,
        "annotations": null, "namespace": "" });
    let read = deployed(&platform, &plain).await;
    assert_eq!((&read["image"], &read["envProcess"]), (&json!(IMAGE), &json!("sha512sum")));
    for absent in ["envVars", "constraints", "secrets", "requests", "limits", "readOnlyRootFilesystem", "namespace"] {
        assert!(read.get(absent).is_none(), "{absent} was not asked for: {read}");
    }
    assert_eq!(read["annotations"], json!({}));
    assert_eq!(read["labels"]["faas_function"], "plain");

    let full = json!({
        "service": "full", "image": "functions/alpine", "envProcess": "env", "namespace": "openfaas-fn",
        "envVars": { "custom_env": "custom_env_value" },
        "constraints": ["node.platform.os == linux"],
        "labels": { "upstream_timeout": "5s", "com.openfaas.scale.min": "2" },
        "annotations": { "important-date": "Fri Aug 10 08:21:00 BST 2018", "some-json": "{\n  \"a\": [1, 2]\n}" },
        "limits": { "memory": "5Mi", "cpu": "100m" },
        "requests": { "memory": "5Mi", "cpu": "0.1" },
        "readOnlyRootFilesystem": true,
    });
    let read = deployed(&platform, &full).await;
    for field in ["image", "namespace", "envVars", "constraints", "annotations", "limits", "requests"] {
        assert_eq!(read[field], full[field], "{field}");
    }
    assert_eq!((&read["readOnlyRootFilesystem"], &read["replicas"]), (&json!(true), &json!(2)));
    for (label, value) in full["labels"].as_object().unwrap() {
        assert_eq!(read["labels"][label], *value, "{label}");
    }
    let delete = json!({ "functionName": "full" });
    let deleted = platform.gateway.send(Method::DELETE, "/system/functions?namespace=openfaas-fn", &delete).await;
    assert_eq!(deleted.status, 202);
}

#[tokio::test]
async fn an_available_replica_answers_its_first_request_and_one_that_sleeps_does_too() {
    let platform = Platform::start_with(&["--scale-from-zero=true"], []).await;
    let deployment = json!({ "service": "env", "image": IMAGE, "envProcess": "env", "namespace": "openfaas-fn" });
    deployed(&platform, &deployment).await;
    platform.gateway.wait_for_replicas("env", 1).await;
    for verb in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        let path = "/function/env.openfaas-fn?testing=1";
        let answer = answer_to(platform.gateway.request(verb.parse().unwrap(), path)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!answer.header("x-call-id").is_empty() && !answer.header("x-start-time").is_empty(), "{answer:?}");
        let text = answer.text();
        assert!(text.contains(&format!("Http_Method={verb}\n")) && text.contains("Http_Query=testing=1\n"), "{text}");
    }
    platform.gateway.scale("env", 0).await;
    assert_eq!(platform.gateway.function("env").await.unwrap()["replicas"], 0, "the first read shows it");
    assert_eq!(platform.gateway.call("env.openfaas-fn", "").await.status, 200);
    platform.gateway.call(".openfaas-fn", "").await.assert_refused(404);
}
