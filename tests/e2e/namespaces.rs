//! Namespaces: groups of functions and secrets that do not see each other.

use http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Function, Platform, Receiver, Site, answer_to, metrics_of, wait_until},
    nats,
};

async fn send(platform: &Platform, method: Method, path: &str, body: Value) -> Answer {
    platform.gateway.send(method, path, &body).await
}

async fn create(platform: &Platform, name: &str) {
    let created = send(platform, Method::POST, &format!("/system/namespace/{name}"), json!({ "name": name })).await;
    assert_eq!(created.status, 201, "{created:?}");
}

/// Deploys a function into a namespace and waits for its replica.
async fn deploy(platform: &Platform, function: &Function, namespace: &str) {
    let mut body = function.deployment(platform.site.folder());
    body["namespace"] = json!(namespace);
    let deployed = send(platform, Method::POST, "/system/functions", body).await;
    assert_eq!(deployed.status, 202, "{deployed:?}");
    platform.site.wait_for_function(&format!("{}.{namespace}", function.name)).await;
}

async fn names(platform: &Platform, query: &str) -> Vec<(String, Value)> {
    let listed = answer_to(platform.gateway.get(&format!("/system/functions{query}"))).await.json();
    let listed = listed.as_array().unwrap();
    listed.iter().map(|one| (one["name"].as_str().unwrap().to_owned(), one["namespace"].clone())).collect()
}

#[tokio::test]
async fn a_namespace_is_made_read_changed_and_deleted() {
    let platform = Platform::start([]).await;
    let gateway = &platform.gateway;
    let body = json!({ "name": "dev", "labels": { "openfaas": "1" }, "annotations": { "team": "bees" } });
    assert_eq!(send(&platform, Method::POST, "/system/namespace/", body.clone()).await.status, 201);
    assert_eq!(answer_to(gateway.get("/system/namespace/dev")).await.json(), body);
    let named = answer_to(gateway.post("/system/namespace/a")).await;
    assert_eq!(named.status, 201, "the path is enough: {named:?}");
    assert_eq!(answer_to(gateway.get("/system/namespaces")).await.json(), json!(["openfaas-fn", "a", "dev"]));

    let changed = json!({ "labels": { "openfaas": "2" }, "annotations": null });
    assert_eq!(send(&platform, Method::PUT, "/system/namespace/dev", changed).await.status, 202);
    let read = answer_to(gateway.get("/system/namespace/dev")).await.json();
    assert_eq!(read, json!({ "name": "dev", "labels": { "openfaas": "2" }, "annotations": {} }));
    assert_eq!(answer_to(gateway.request(Method::DELETE, "/system/namespace/a")).await.status, 202);
    assert_eq!(answer_to(gateway.get("/system/namespaces")).await.json(), json!(["openfaas-fn", "dev"]));
}

#[tokio::test]
async fn a_namespace_that_cannot_be_is_refused() {
    let platform = Platform::start([]).await;
    create(&platform, "dev").await;
    let refusals = [
        (Method::POST, "/system/namespace/dev", json!({}), 409),
        (Method::POST, "/system/namespace/openfaas-fn", json!({}), 409),
        (Method::POST, "/system/namespace/", json!({}), 400),
        (Method::POST, "/system/namespace/Dev", json!({}), 400),
        (Method::POST, "/system/namespace/a_b", json!({}), 400),
        (Method::POST, "/system/namespace/other", json!({ "name": "dev" }), 400),
        (Method::PUT, "/system/namespace/dev", json!({ "name": "other" }), 400),
        (Method::PUT, "/system/namespace/other", json!({}), 404),
        (Method::DELETE, "/system/namespace/other", json!({}), 404),
        (Method::DELETE, "/system/namespace/openfaas-fn", json!({}), 400),
        (Method::GET, "/system/namespace/other", json!({}), 404),
        (Method::PATCH, "/system/namespace/dev", json!({}), 405),
        (Method::GET, "/system/functions?namespace=other", json!({}), 404),
        (Method::GET, "/system/functions?namespace=Not%20One", json!({}), 400),
        (Method::GET, "/system/secrets?namespace=other", json!({}), 404),
    ];
    for (method, path, body, status) in refusals {
        send(&platform, method, path, body).await.assert_refused(status);
    }
    let mut body = Function::cat().deployment(platform.site.folder());
    body["namespace"] = json!("other");
    for method in [Method::POST, Method::PUT] {
        let refused = send(&platform, method, "/system/functions", body.clone()).await;
        refused.assert_refused(400);
        assert!(refused.text().contains("namespace other not found"), "{refused:?}");
    }
    body["namespace"] = json!("dev");
    send(&platform, Method::POST, "/system/functions?namespace=other", body.clone()).await.assert_refused(400);
    body["service"] = json!("cat.other");
    send(&platform, Method::POST, "/system/functions", body).await.assert_refused(400);
    assert_eq!(answer_to(platform.gateway.get("/system/namespaces")).await.json(), json!(["openfaas-fn", "dev"]));
}

#[tokio::test]
async fn functions_of_one_name_live_side_by_side_in_two_namespaces() {
    let platform = Platform::start([Function::cat()]).await;
    let gateway = &platform.gateway;
    create(&platform, "dev").await;
    deploy(&platform, &Function::new("cat", "tr a-z A-Z"), "dev").await;
    for (name, answer) in [("cat", "hello"), ("cat.openfaas-fn", "hello"), ("cat.dev", "HELLO")] {
        assert_eq!(gateway.call(name, "hello").await.text(), answer, "{name}");
        let named = gateway.post("/").header("X-Function", name).body("hello");
        assert_eq!(answer_to(named).await.text(), answer, "{name}");
        let id = gateway.queue(name, "hello").await;
        gateway.finished(&id).await;
        assert_eq!(gateway.result(&id).await.text(), answer, "{name}");
    }
    gateway.call("cat.test", "x").await.assert_refused(404);
    gateway.call("cat_dev", "x").await.assert_refused(400);
    let client = nats::client(&platform.site).await;
    for (token, answer) in [("cat", "hello"), ("cat_openfaas-fn", "hello"), ("cat_dev", "HELLO")] {
        let answered = client.request(format!("skep.call.{token}"), "hello".into()).await.unwrap();
        assert_eq!(answered.payload, answer, "{token}");
    }
    assert_eq!(names(&platform, "").await, [("cat".to_owned(), Value::Null)]);
    assert_eq!(names(&platform, "?namespace=openfaas-fn").await, [("cat".to_owned(), Value::Null)]);
    assert_eq!(names(&platform, "?namespace=dev").await, [("cat".to_owned(), json!("dev"))]);
    for path in ["/system/function/cat.dev", "/system/function/cat?namespace=dev"] {
        let read = answer_to(gateway.get(path)).await.json();
        assert_eq!((&read["name"], &read["envProcess"]), (&json!("cat"), &json!("tr a-z A-Z")), "{path}");
    }
    let labelled = "gateway_service_count{function_name=\"cat.dev\"} 1";
    wait_until(labelled, async || metrics_of(platform.site.admin).await.lines().any(|line| line == labelled)).await;

    let scale = json!({ "serviceName": "cat", "replicas": 2, "namespace": "dev" });
    assert_eq!(send(&platform, Method::POST, "/system/scale-function/cat", scale).await.status, 202);
    gateway.wait_for_replicas("cat.dev", 2).await;
    assert_eq!(gateway.function("cat").await.unwrap()["replicas"], 1);
    let full = send(&platform, Method::DELETE, "/system/namespace/dev", json!({})).await;
    full.assert_refused(409);
    assert!(full.text().contains("function cat"), "{full:?}");
    let delete = json!({ "functionName": "cat", "namespace": "dev" });
    assert_eq!(send(&platform, Method::DELETE, "/system/functions", delete).await.status, 202);
    gateway.call("cat.dev", "x").await.assert_refused(404);
    assert_eq!(gateway.call("cat", "still").await.text(), "still");
    assert_eq!(send(&platform, Method::DELETE, "/system/namespace/dev", json!({})).await.status, 202);
}

#[tokio::test]
async fn a_callback_and_a_log_name_the_namespace() {
    let platform = Platform::start([]).await;
    create(&platform, "dev").await;
    let reported = Function::new("told", r#"sh -c 'echo "$OPENFAAS_NAME in $OPENFAAS_NAMESPACE" >&2'"#);
    deploy(&platform, &reported.env("combine_output", "false"), "dev").await;
    let receiver = Receiver::start().await;
    let request = platform.gateway.post("/async-function/told.dev").header("X-Callback-Url", &receiver.url);
    assert_eq!(answer_to(request.body("x")).await.status, 202);
    let callback = receiver.wait_for(1).await.remove(0);
    assert_eq!(callback.header("x-function-name"), "told.dev");
    for path in ["/system/logs?name=told.dev", "/system/logs?name=told&namespace=dev"] {
        wait_until(path, async || {
            let lines = answer_to(platform.gateway.get(path)).await.text();
            let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines.any(|line| {
                line["name"] == "told"
                    && line["namespace"] == "dev"
                    && line["text"].as_str().unwrap().contains("told in dev")
            })
        })
        .await;
    }
    answer_to(platform.gateway.get("/system/logs?name=told")).await.assert_refused(404);
}

#[tokio::test]
async fn a_secret_belongs_to_its_namespace() {
    let platform = Platform::start([]).await;
    create(&platform, "dev").await;
    let path = "/system/secrets";
    let in_dev = json!({ "name": "key", "value": "dev's", "namespace": "dev" });
    assert_eq!(send(&platform, Method::POST, path, in_dev).await.status, 201);
    assert_eq!(send(&platform, Method::POST, path, json!({ "name": "key", "value": "own" })).await.status, 201);
    let reader = Function::new("reader", r#"sh -c 'cat "$SKEP_SECRETS_DIR/key"'"#).secret("key");
    deploy(&platform, &reader, "dev").await;
    platform.site.deploy(&reader).await;
    assert_eq!(platform.gateway.call("reader.dev", "").await.text(), "dev's");
    assert_eq!(platform.gateway.call("reader", "").await.text(), "own");
    for (query, listed) in [
        ("", json!([{ "name": "key" }])),
        ("?namespace=openfaas-fn", json!([{ "name": "key", "namespace": "openfaas-fn" }])),
        ("?namespace=dev", json!([{ "name": "key", "namespace": "dev" }])),
    ] {
        assert_eq!(answer_to(platform.gateway.get(&format!("{path}{query}"))).await.json(), listed);
    }
    let deleted = async |function: Value, secret: Value| {
        let function = send(&platform, Method::DELETE, "/system/functions", function).await.status;
        (function, send(&platform, Method::DELETE, path, secret).await.status)
    };
    let own = json!({ "name": "key" });
    assert_eq!(send(&platform, Method::DELETE, path, own.clone()).await.status, 409, "a function has it");
    assert_eq!(deleted(json!({ "functionName": "reader" }), own).await, (202, 200));
    assert_eq!(platform.gateway.call("reader.dev", "").await.text(), "dev's");
    let full = send(&platform, Method::DELETE, "/system/namespace/dev", json!({})).await;
    assert!(full.text().contains("secret key"), "{full:?}");
    let in_dev = json!({ "name": "key", "namespace": "dev" });
    assert_eq!(deleted(json!({ "functionName": "reader.dev" }), in_dev).await, (202, 200));
    assert_eq!(send(&platform, Method::DELETE, "/system/namespace/dev", json!({})).await.status, 202);
}

#[tokio::test]
async fn namespaces_and_what_is_in_them_outlive_a_restart_and_the_default_one_can_have_another_name() {
    let site = Site::new([]);
    let arguments = ["--function-namespace", "bees"];
    let up = site.up(&arguments).await;
    let platform = Platform { gateway: site.gateway.clone(), up, site };
    create(&platform, "dev").await;
    deploy(&platform, &Function::cat(), "dev").await;
    platform.site.deploy(&Function::new("upper", "tr a-z A-Z")).await;
    let Platform { mut up, site, .. } = platform;
    up.signal(rustix::process::Signal::TERM);
    assert!(up.ended().await.success());

    let up = site.up(&arguments).await;
    let platform = Platform { gateway: site.gateway.clone(), up, site };
    assert_eq!(answer_to(platform.gateway.get("/system/namespaces")).await.json(), json!(["bees", "dev"]));
    platform.site.wait_for_function("cat.dev").await;
    platform.site.wait_for_function("upper.bees").await;
    assert_eq!(platform.gateway.call("cat.dev", "x").await.text(), "x");
    assert_eq!(platform.gateway.call("upper.bees", "x").await.text(), "X");
    platform.gateway.call("upper.openfaas-fn", "x").await.assert_refused(404);
}
