//! Secrets: files for functions, names for everyone else.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Function, Platform, answer_to};

const PATH: &str = "/system/secrets";

async fn send(platform: &Platform, method: Method, body: Value) -> Answer {
    platform.gateway.send(method, PATH, &body).await
}

#[tokio::test]
async fn a_function_reads_its_secret_and_nobody_else_can() {
    let platform = Platform::start([]).await;
    let created = send(&platform, Method::POST, json!({ "name": "key", "value": "honey" })).await;
    assert_eq!(created.status, 201, "{created:?}");
    let raw = json!({ "name": "raw", "rawValue": "AP8=", "value": "" });
    assert_eq!(send(&platform, Method::POST, raw).await.status, 201);
    let listed = answer_to(platform.gateway.get(PATH)).await;
    assert_eq!(listed.json(), json!([{ "name": "key" }, { "name": "raw" }]), "a list has no values");

    let reader = Function::new("reader", r#"sh -c 'cat "$SKEP_SECRETS_DIR/key" "$SKEP_SECRETS_DIR/raw"'"#);
    platform.site.deploy(&reader.secret("key").secret("raw")).await;
    assert_eq!(platform.gateway.call("reader", "").await.body[..], *b"honey\x00\xff");
    assert_eq!(send(&platform, Method::PUT, json!({ "name": "key", "value": "wax" })).await.status, 202);
    assert_eq!(platform.gateway.call("reader", "").await.body[..], *b"wax\x00\xff");
    let listing = Function::new("stranger", r#"sh -c 'ls "$SKEP_SECRETS_DIR" 2>&1; true'"#);
    platform.site.deploy(&listing).await;
    assert!(!platform.gateway.call("stranger", "").await.text().contains("key"));

    let used = send(&platform, Method::DELETE, json!({ "name": "key" })).await;
    used.assert_refused(409);
    let gone = platform.gateway.send(Method::DELETE, "/system/functions", &json!({ "functionName": "reader" })).await;
    assert_eq!(gone.status, 202);
    assert_eq!(send(&platform, Method::DELETE, json!({ "name": "key" })).await.status, 200);
    assert_eq!(answer_to(platform.gateway.get(PATH)).await.json(), json!([{ "name": "raw" }]));
}

#[tokio::test]
async fn a_secret_that_cannot_be_is_refused() {
    let platform = Platform::start([]).await;
    assert_eq!(send(&platform, Method::POST, json!({ "name": "key", "value": "honey" })).await.status, 201);
    send(&platform, Method::POST, json!({ "name": "key", "value": "wax" })).await.assert_refused(409);
    send(&platform, Method::PUT, json!({ "name": "none", "value": "wax" })).await.assert_refused(404);
    send(&platform, Method::DELETE, json!({ "name": "none" })).await.assert_refused(404);
    for name in ["", "../up", ".hidden", "a/b", "a b", "\u{e9}"] {
        send(&platform, Method::POST, json!({ "name": name, "value": "x" })).await.assert_refused(400);
    }
    send(&platform, Method::POST, json!({ "name": "bad", "rawValue": "not base64!" })).await.assert_refused(400);
    send(&platform, Method::POST, json!({ "name": "bad", "value": "x", "namespace": "other" }))
        .await
        .assert_refused(400);
    assert_eq!(answer_to(platform.gateway.get(PATH)).await.json(), json!([{ "name": "key" }]));
    let stored = platform.site.data.join("secrets/key");
    assert_eq!(std::fs::read_to_string(stored).unwrap(), "honey");
}
