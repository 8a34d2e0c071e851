//! Each page of the web UI: what it loads, what its console says, and whether everybody can use it.

use std::fs;

use http::Method;
use serde_json::json;

use crate::harness::{Browser, Function, Gateway, Platform, answer_to, variable, wait_for};

/// Pages that are there in each installation with the functions and sources of this one.
const PAGES: [&str; 32] = [
    "",
    "functions",
    "functions/cat",
    "functions/cat/invoke",
    "functions/cat/calls",
    "functions/cat/logs",
    "functions/cat/config",
    "functions/cat/scaling",
    "functions/cat/versions",
    "deploy",
    "calls",
    "dead",
    "sources",
    "sources?add=webhook",
    "sources/acme",
    "sources/acme/held",
    "sources/acme/send",
    "sources/acme/secrets",
    "sources/acme/declaration",
    "schedules",
    "schedules?add=schedule",
    "schedules/nightly",
    "logs?functions=cat",
    "secrets",
    "secrets?set=%2B",
    "namespaces",
    "namespaces?add=namespace",
    "health",
    "health/streams",
    "health/audit",
    "health/acts",
    "nowhere",
];

/// An installation in which each page has something to show, and the addresses of all pages.
pub(super) async fn with_everything() -> (Platform, Vec<String>) {
    let platform = Platform::start_with(&["--attempts", "1"], [Function::cat(), Function::failing()]).await;
    let gateway = &platform.gateway;
    let done = gateway.queue("cat", r#"{"a":[1,2]}"#).await;
    let dead = gateway.queue("failing", "x\u{202e}y").await;
    gateway.finished(&done).await;
    gateway.finished(&dead).await;
    let secret = json!({ "name": "api-key", "value": "s3cret" });
    assert_eq!(gateway.send(Method::POST, "/system/secrets", &secret).await.status, 201);
    let event = event_of_a_source(gateway).await;
    let own = [
        format!("calls/{done}"),
        format!("calls/{dead}"),
        format!("dead/{dead}"),
        format!("sources/acme/events/{event}"),
    ];
    let pages = PAGES.map(str::to_owned).into_iter().chain(own).map(|page| format!("/ui/{page}")).collect();
    (platform, pages)
}

/// Declares a webhook and a schedule; sends an event, whose id it returns, and one that is refused.
async fn event_of_a_source(gateway: &Gateway) -> String {
    let routes = json!([{ "to": "cat" }, { "to": "failing", "filter": { "type": "x" } }]);
    let hook = json!({ "name": "acme", "preset": "token", "routes": routes });
    let clock =
        json!({ "name": "nightly", "cron": "0 3 * * *", "timezone": "Europe/Berlin", "routes": [{ "to": "cat" }] });
    for source in [hook, clock] {
        assert_eq!(gateway.send(Method::POST, "/system/sources", &source).await.status, 201);
    }
    let token = json!({ "value": "a-token-that-nobody-guesses" });
    assert_eq!(gateway.send(Method::POST, "/system/sources/acme/secrets", &token).await.status, 201);
    let event = wait_for("an event of acme", async || {
        let sent = gateway.send(Method::POST, "/system/sources/acme/send", &json!({ "text": "{}" })).await;
        (sent.status == 200).then(|| sent.json()["eventId"].as_str().map(str::to_owned)).flatten()
    })
    .await;
    assert_eq!(answer_to(gateway.post("/hooks/acme").body("forged")).await.status, 401);
    event
}

/// Opens a page and waits until it shows what it has.
pub(super) async fn open(browser: &Browser, page: &str) {
    browser.open(page).await;
    let loaded = "return !!document.querySelector('main h1') && !document.querySelector('.loading, .bone') && document.title !== 'skep'";
    browser.wait_for(&format!("{page} is there"), loaded).await;
}

#[tokio::test]
async fn no_page_asks_another_origin_or_breaks_its_policy() {
    let (platform, pages) = with_everything().await;
    let browser = Browser::start(&platform.site).await;
    let note = "window.violations = []; addEventListener('securitypolicyviolation', (event) => \
        violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`))";
    browser.chromium("Page.addScriptToEvaluateOnNewDocument", json!({ "source": note })).await;
    for page in &pages {
        open(&browser, page).await;
        assert_eq!(browser.run("return violations").await, json!([]), "{page}");
        assert_eq!(browser.run("return document.querySelectorAll('main .notice.is-bad [role=alert], main [role=alert].notice').length").await, json!(0), "{page}: {}", browser.text().await);
        let console: Vec<_> = browser.console().await.into_iter().filter(|line| !line.starts_with("INFO")).collect();
        assert!(console.is_empty(), "{page}: {console:#?}");
    }
    let requests = browser.requests().await;
    assert!(requests.len() > pages.len(), "{requests:?}");
    for request in requests {
        let is_own =
            request.starts_with(&browser.origin) || request.starts_with("data:") || request.starts_with("blob:");
        assert!(is_own, "{request}");
    }
}

#[tokio::test]
async fn no_page_has_a_barrier_that_axe_finds_in_the_light_or_the_dark() {
    let axe = variable("SKEP_TEST_AXE").expect("SKEP_TEST_AXE names axe-core, see tests/README.md");
    let axe = fs::read_to_string(axe).unwrap();
    let (platform, pages) = with_everything().await;
    let browser = Browser::start(&platform.site).await;
    let run = "return axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations.map(({ id, help, nodes }) => \
        `${id}: ${help}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`).join('; ')}`))";
    let mut found = Vec::new();
    for page in &pages {
        open(&browser, page).await;
        browser.run(&axe).await;
        for (width, scheme) in [(1280, "light"), (375, "dark")] {
            browser.look(width, scheme).await;
            let violations = browser.run(run).await;
            found.extend(violations.as_array().unwrap().iter().map(|one| format!("{page} {width} {scheme} {one}")));
        }
        let wide = "return document.documentElement.scrollWidth - innerWidth";
        browser.look(320, "light").await;
        let over = browser.run(wide).await.as_i64().unwrap();
        if over > 0 {
            found.push(format!("{page} is {over} px wider than a screen of 320 px"));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
