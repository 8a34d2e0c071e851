//! The headers that say what a browser may do with the output of functions.

use http::Method;
use serde_json::json;

use crate::harness::{Answer, Function, Platform, answer_to};

const SANDBOX: &str = "sandbox allow-scripts";
const LOCKED: &str = "sandbox; default-src 'none'";

fn policies(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("content-security-policy").iter().map(|value| value.to_str().unwrap()).collect()
}

/// A call as a browser makes it that is to show the answer.
async fn visit(platform: &Platform, path: &str, dest: &str) -> Answer {
    let request = platform.gateway.get(path).header("Sec-Fetch-Site", "none").header("Sec-Fetch-Dest", dest);
    answer_to(request).await
}

#[tokio::test]
async fn stored_output_is_saved_and_never_shown_by_a_browser() {
    let platform = Platform::start_with(&["--attempts", "1"], [Function::cat(), Function::failing()]).await;
    let script = platform.gateway.post("/async-function/cat").header("Content-Type", "text/html");
    let id = answer_to(script.body("<script>alert(1)</script>")).await.header("x-call-id").to_owned();
    platform.gateway.finished(&id).await;
    let failed = platform.gateway.queue("failing", "<script>alert(1)</script>").await;
    platform.gateway.finished(&failed).await;
    let result = platform.gateway.result(&id).await;
    assert_eq!(result.header("content-type"), "text/html");
    let letters = answer_to(platform.gateway.get("/system/dead")).await;
    let letter = answer_to(platform.gateway.get(&format!("/system/dead/{failed}"))).await;
    for answer in [result, letters, letter] {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(policies(&answer), [LOCKED], "{answer:?}");
        assert_eq!(answer.header("content-disposition"), "attachment");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn all_that_the_platform_says_is_taken_for_what_it_is() {
    let platform = Platform::start([Function::cat()]).await;
    for path in ["/", "/healthz", "/system/functions", "/system/nothing", "/nowhere", "/function/nobody", "/ui/"] {
        let answer = answer_to(platform.gateway.get(path)).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}: {answer:?}");
    }
    let accepted = answer_to(platform.gateway.post("/async-function/cat").body("x")).await;
    assert_eq!(accepted.header("x-content-type-options"), "nosniff", "{accepted:?}");
}

#[tokio::test]
async fn pages_of_functions_are_of_an_origin_of_their_own_unless_they_are_trusted() {
    let own_policy = "HTTP/1.1 200 OK\r\nContent-Security-Policy: default-src 'self'\r\nContent-Length: 2\r\n\r\nhi";
    let platform = Platform::start([Function::cat(), Function::upstream()]).await;
    for dest in ["document", "iframe"] {
        let page = visit(&platform, "/function/cat", dest).await;
        assert!(matches!(policies(&page)[..], [policy] if policy.starts_with(SANDBOX)), "{page:?}");
    }
    let request = platform.gateway.post("/function/upstream/verbatim").header("Upgrade-Insecure-Requests", "1");
    let strict = answer_to(request.body(own_policy)).await;
    assert_eq!(policies(&strict)[0], "default-src 'self'", "the function's own holds too: {strict:?}");
    assert!(policies(&strict)[1].starts_with(SANDBOX), "{strict:?}");
    for program in [visit(&platform, "/function/cat", "empty").await, platform.gateway.call("cat", "x").await] {
        assert!(policies(&program).is_empty(), "{program:?}");
    }

    let body = |pages| json!({ "service": "site", "envProcess": "cat", "annotations": { "skep.pages": pages } });
    platform.gateway.send(Method::POST, "/system/functions", &body("open")).await.assert_refused(400);
    assert_eq!(platform.gateway.send(Method::POST, "/system/functions", &body("trusted")).await.status, 202);
    platform.site.wait_for_function("site").await;
    assert!(policies(&visit(&platform, "/function/site", "document").await).is_empty());
}

#[tokio::test]
async fn a_gateway_may_trust_all_pages_but_those_that_are_said_to_be_sandboxed() {
    let platform = Platform::start_with(&["--function-pages", "trusted"], [Function::cat()]).await;
    let body = json!({ "service": "guest", "envProcess": "cat", "annotations": { "skep.pages": "sandboxed" } });
    assert_eq!(platform.gateway.send(Method::POST, "/system/functions", &body).await.status, 202);
    platform.site.wait_for_function("guest").await;
    assert!(policies(&visit(&platform, "/function/cat", "document").await).is_empty());
    assert!(policies(&visit(&platform, "/function/guest", "document").await)[0].starts_with(SANDBOX));
}
