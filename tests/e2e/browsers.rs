//! Web pages of other sites, and host names that point here, get nowhere near the admin API.

use serde_json::json;

use crate::harness::{Function, Platform, answer_to, raw};

/// Requests that change or reveal something and need no more than the request itself.
const CLOSED: [(&str, &str); 8] = [
    ("POST", "/system/functions"),
    ("PUT", "/system/functions"),
    ("DELETE", "/system/functions"),
    ("POST", "/system/secrets"),
    ("GET", "/system/functions"),
    ("GET", "/system/logs?name=cat&follow=true"),
    ("GET", "/ui/"),
    ("DELETE", "/async-function/some-id"),
];

const DEPLOYMENT: &str = r#"{"service":"pwn","envProcess":"id"}"#;

async fn ask(platform: &Platform, method: &str, path: &str, headers: &str) -> String {
    let length = DEPLOYMENT.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n{DEPLOYMENT}"
    );
    raw::exchange(platform.site.listen, request).await
}

fn assert_refused(answer: &str, code: &str) {
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains(&format!("x-skep-error: {code}\r\n")), "{answer}");
}

#[tokio::test]
async fn a_page_of_another_site_neither_changes_nor_reads_anything() {
    let platform = Platform::start([Function::cat()]).await;
    let pages = [
        "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
    ];
    for (method, path) in CLOSED {
        for page in pages {
            let headers = format!("Host: {}\r\n{page}", platform.site.listen);
            assert_refused(&ask(&platform, method, path, &headers).await, "cross_site");
        }
    }
    assert!(platform.gateway.function("pwn").await.is_none());
}

#[tokio::test]
async fn a_name_that_was_made_to_point_here_opens_nothing_until_it_is_allowed() {
    let platform = Platform::start_with(&["--allowed-hosts", "skep.example,hive.example"], [Function::cat()]).await;
    for (method, path) in CLOSED {
        let answer = ask(&platform, method, path, "Host: evil.test:8080\r\nSec-Fetch-Site: same-origin\r\n").await;
        assert_refused(&answer, "host_not_allowed");
        assert!(answer.contains("--allowed-hosts (SKEP_ALLOWED_HOSTS)"), "{answer}");
    }
    for good in ["localhost", "127.0.0.1:9", "[::1]:8080", "hive.example", "Skep.Example:443"] {
        let answer = ask(&platform, "GET", "/system/functions", &format!("Host: {good}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{good}: {answer}");
    }
    assert!(platform.gateway.function("pwn").await.is_none());
    let call = ask(&platform, "POST", "/function/cat", "Host: hooks.example\r\nOrigin: https://shop.example\r\n").await;
    assert!(call.starts_with("HTTP/1.1 200 "), "functions are called by any name, from any page: {call}");
}

#[tokio::test]
async fn programs_and_own_pages_go_on_as_before() {
    let platform = Platform::start([]).await;
    let body = json!({ "service": "cat", "envProcess": "cat" });
    let program = platform.gateway.send(http::Method::POST, "/system/functions", &body).await;
    assert_eq!(program.status, 202, "{program:?}");
    let page = platform.gateway.get("/system/functions").header("Sec-Fetch-Site", "same-origin");
    assert_eq!(answer_to(page).await.status, 200);
    let origin = format!("http://{}", platform.site.listen);
    let page = platform.gateway.request(http::Method::PUT, "/system/functions").header("Origin", origin);
    assert_eq!(answer_to(page.json(&body)).await.status, 202);
}
