//! The web UI for somebody whose token is limited to a namespace.

use http::Method;
use serde_json::json;

use crate::harness::{Browser, Function, Site, wait_until};

/// Pages for such a reader, and what each of them shows.
const PAGES: [(&str, &str); 10] = [
    ("", "Most errors"),
    ("functions", "1 function"),
    ("functions/upper.dev", "Queue budget"),
    ("functions/upper.dev/calls", "mine"),
    ("calls", "mine"),
    ("dead", "Nothing was given up"),
    ("logs?functions=upper.dev", "Pause"),
    ("secrets", "dev-key"),
    ("health", "limited to dev"),
    ("deploy", "Deploy a function"),
];

#[tokio::test]
async fn who_is_limited_to_a_namespace_sees_its_functions_calls_and_secrets_and_is_refused_nothing() {
    let mut site = Site::new([Function::cat()]);
    let up = site.up_with_password(&[]).await;
    let admin = site.gateway.clone();
    assert_eq!(admin.send(Method::POST, "/system/namespace/dev", &json!({})).await.status, 201);
    let upper = json!({ "service": "upper", "namespace": "dev", "envProcess": "tr a-z A-Z" });
    assert_eq!(admin.send(Method::POST, "/system/functions", &upper).await.status, 202);
    let secret = json!({ "name": "dev-key", "value": "s3cret", "namespace": "dev" });
    assert_eq!(admin.send(Method::POST, "/system/secrets", &secret).await.status, 201);
    for (id, function) in [("mine", "upper.dev"), ("theirs", "cat")] {
        assert_eq!(admin.queue_as(id, function, "x").await.status, 202);
        admin.finished(id).await;
    }
    let data = site.data.to_str().unwrap();
    let create = ["token", "create", "dev", "--role", "deploy", "--namespace", "dev", "--data-dir", data];
    let token = site.client(&create).await.said();
    wait_until("the token counts", async || up.stderr().contains("the tokens were read again")).await;

    let browser = Browser::start(&site).await;
    browser.log_in("dev", token.trim()).await;
    browser.console().await;
    for (page, shown) in PAGES {
        browser.open(&format!("/ui/{page}")).await;
        browser.wait_for_text(shown).await;
        browser.wait_for("figures", "return document.body.innerText.includes('Live')").await;
        let text = browser.text().await;
        assert!(!text.contains("theirs") && !text.contains("Schedules"), "{page}: {text}");
        let console: Vec<_> = browser.console().await.into_iter().filter(|line| !line.starts_with("INFO")).collect();
        assert!(console.is_empty(), "{page}: {console:#?}");
    }
}
