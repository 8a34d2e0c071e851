//! The system API refuses what is wrong, says where, and changes nothing.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Function, Platform, answer_to, raw};

/// Sends a body as it is.
async fn send(platform: &Platform, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    answer_to(platform.gateway.request(method, path).body(body)).await
}

async fn functions(platform: &Platform) -> Value {
    answer_to(platform.gateway.get("/system/functions")).await.json()
}

#[tokio::test]
async fn json_that_cannot_be_read_is_400_with_its_position() {
    let platform = Platform::start([Function::cat()]).await;
    let before = functions(&platform).await;
    let requests = [
        (Method::POST, "/system/functions"),
        (Method::PUT, "/system/functions"),
        (Method::DELETE, "/system/functions"),
        (Method::POST, "/system/scale-function/cat"),
        (Method::POST, "/system/secrets"),
        (Method::PUT, "/system/secrets"),
        (Method::DELETE, "/system/secrets"),
    ];
    let bodies: [&[u8]; 8] =
        [b"", b"{", b"{\"service\":\n  x}", b"\xff\xfe", b"[]", b"\"text\"", b"{\"a\":1}}", b"nul"];
    for (method, path) in requests {
        for body in bodies {
            let answer = send(&platform, method.clone(), path, body).await;
            answer.assert_refused(400);
            if body != b"[]" {
                let text = answer.text();
                assert!(text.contains("line ") && text.contains("column "), "{method} {path} {body:?}: {text}");
            }
        }
    }
    let position = send(&platform, Method::POST, "/system/functions", "{\n \"service\": }").await.text();
    assert!(position.contains("line 2 column 13"), "{position}");
    let deep = send(&platform, Method::POST, "/system/functions", "[".repeat(200_000)).await;
    deep.assert_refused(400);
    let head = "POST /system/functions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n";
    let large = raw::exchange(platform.site.listen, head).await;
    assert!(large.starts_with("HTTP/1.1 413 "), "{large}");
    assert_eq!(functions(&platform).await, before);
}

#[tokio::test]
async fn a_deployment_that_cannot_be_is_400_and_names_what_is_wrong() {
    let platform = Platform::start([Function::cat()]).await;
    let before = functions(&platform).await;
    let good = Function::new("fresh", "cat").deployment(platform.site.folder());
    let wrong = [
        ("service", json!("Not A Name"), "Not A Name"),
        ("service", json!(""), "name"),
        ("service", json!(7), "column"),
        ("envProcess", json!(""), "fprocess"),
        ("envProcess", json!("no-such-program-anywhere"), "no-such-program-anywhere"),
        ("envProcess", json!("sh -c 'unclosed"), ""),
        ("envVars", json!({ "a": 1 }), "column"),
        ("envVars", json!({ "a=b": "" }), "a=b"),
        ("envVars", json!({ "exec_timeout": "soon" }), "exec_timeout"),
        ("envVars", json!({ "max_inflight": "-1" }), "max_inflight"),
        ("labels", json!(["x"]), "column"),
        ("labels", json!({ "com.openfaas.scale.min": "many" }), "com.openfaas.scale.min"),
        ("annotations", json!({ "skep.timeout": "soon" }), "skep.timeout"),
        ("annotations", json!({ "skep.workdir": "/no/such/folder" }), "/no/such/folder"),
        ("secrets", json!(["missing"]), "missing"),
        ("secrets", json!(["../../etc/passwd"]), "../../etc/passwd"),
        ("namespace", json!("elsewhere"), "elsewhere"),
        ("readOnlyRootFilesystem", json!("yes"), "column"),
    ];
    for (field, value, expected) in wrong {
        let mut body = good.clone();
        body[field] = value;
        let answer = platform.gateway.send(Method::POST, "/system/functions", &body).await;
        answer.assert_refused(400);
        assert!(answer.text().contains(expected), "{body}: {}", answer.text());
        if field != "service" {
            body["service"] = json!("cat");
            let answer = platform.gateway.send(Method::PUT, "/system/functions", &body).await;
            answer.assert_refused(400);
        }
    }
    let image = json!({ "service": "fresh", "image": "ghcr.io/openfaas/figlet:latest" });
    let answer = platform.gateway.send(Method::POST, "/system/functions", &image).await;
    answer.assert_refused(400);
    assert!(answer.text().contains("image") && answer.text().contains("fprocess"), "{}", answer.text());
    assert_eq!(functions(&platform).await, before);
    assert_eq!(platform.gateway.call("cat", "still there").await.text(), "still there");
}

#[tokio::test]
async fn what_exists_conflicts_and_what_is_missing_is_not_found() {
    let platform = Platform::start([Function::cat()]).await;
    let before = functions(&platform).await;
    let gateway = &platform.gateway;
    let existing = Function::new("cat", "tr a-z A-Z").deployment(platform.site.folder());
    let missing = Function::new("missing", "cat").deployment(platform.site.folder());
    gateway.send(Method::POST, "/system/functions", &existing).await.assert_refused(409);
    gateway.send(Method::PUT, "/system/functions", &missing).await.assert_refused(404);
    let delete = json!({ "functionName": "missing" });
    gateway.send(Method::DELETE, "/system/functions", &delete).await.assert_refused(404);
    gateway.send(Method::DELETE, "/system/functions", &json!({ "functionName": "" })).await.assert_refused(400);
    gateway.send(Method::DELETE, "/system/functions", &json!({})).await.assert_refused(400);
    answer_to(gateway.get("/system/function/missing")).await.assert_refused(404);
    answer_to(gateway.get("/system/logs?name=missing")).await.assert_refused(404);
    answer_to(gateway.get("/system/nothing")).await.assert_refused(404);
    answer_to(gateway.request(Method::PATCH, "/system/functions")).await.assert_refused(405);
    assert_eq!(functions(&platform).await, before);
    assert_eq!(gateway.call("cat", "same").await.text(), "same");
}

#[tokio::test]
async fn a_number_of_replicas_that_cannot_be_is_400() {
    let platform = Platform::start([Function::cat()]).await;
    let path = "/system/scale-function/cat";
    let wrong = [json!(-1), json!(1.5), json!("2"), json!(null), json!(1_000_000), json!(u64::MAX)];
    for replicas in wrong {
        let body = json!({ "serviceName": "cat", "replicas": replicas });
        platform.gateway.send(Method::POST, path, &body).await.assert_refused(400);
    }
    for body in [json!({ "serviceName": "cat" }), json!({ "serviceName": "other", "replicas": 2 })] {
        platform.gateway.send(Method::POST, path, &body).await.assert_refused(400);
    }
    let body = json!({ "serviceName": "missing", "replicas": 1 });
    platform.gateway.send(Method::POST, "/system/scale-function/missing", &body).await.assert_refused(404);
    assert_eq!(functions(&platform).await[0]["replicas"], 1);
}
