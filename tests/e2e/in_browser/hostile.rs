//! What functions and callers write is text in the web UI, whatever it looks like.

use http::Method;
use serde_json::json;

use crate::harness::{Browser, Platform, answer_to, wait_until};

/// Would run if it became a part of a page.
const MARKUP: &str = "<img src=x onerror=window.pwned=1><script>window.pwned=1</script><b>bold</b>";
/// An escape of terminals, a change of direction, a byte order mark, a tag character.
const TRICKS: &str = "\u{1b}[31mred\u{202e}txt.exe\u{feff}\u{e0041}";

/// A function that prints and answers all of this, and fails.
fn printing(name: &str, file: &str) -> serde_json::Value {
    let command = format!("sh -c 'cat {file} >&2; cat {file}; exit 3'");
    json!({ "service": name, "envProcess": command,
        "envVars": { "content_type": "text/html", "combine_output": "false", "note": MARKUP },
        "annotations": { "description": format!("{MARKUP}{TRICKS}"), "com.openfaas.retry.attempts": "1" },
        "labels": { "trick": TRICKS } })
}

/// Nothing of it became an element, and nothing hides in the text.
async fn assert_is_text(browser: &Browser, page: &str) {
    let elements =
        "return [document.querySelectorAll('main img, main script, main b b, main iframe').length, window.pwned ?? 0]";
    assert_eq!(browser.run(elements).await, json!([0, 0]), "{page}");
    let text = browser.run("return document.body.textContent").await.as_str().unwrap().to_owned();
    for hidden in ['\u{1b}', '\u{202e}', '\u{feff}', '\u{e0041}'] {
        assert!(!text.contains(hidden), "{page} has {}", hidden.escape_unicode());
    }
}

#[tokio::test]
async fn what_a_function_prints_is_text_on_each_page() {
    let platform = Platform::start([]).await;
    let gateway = &platform.gateway;
    let file = platform.site.path("printed");
    let mut printed = format!("{MARKUP}\n{TRICKS}\n").into_bytes();
    printed.extend(b"broken \xff\xfe utf-8\n");
    printed.extend("long ".repeat(200_000).into_bytes());
    std::fs::write(&file, printed).unwrap();
    let function = printing("evil", file.to_str().unwrap());
    let deployed = gateway.send(Method::POST, "/system/functions?note=%3Cimg%20src%3Dx%3E", &function).await;
    assert_eq!(deployed.status, 202, "{deployed:?}");
    platform.site.wait_for_function("evil").await;
    let call = gateway.post("/async-function/evil/%3Cb%3E%E2%80%AE?q=%3Cb%3E").header("X-Trick", "<b>x</b>");
    assert_eq!(answer_to(call.header("X-Call-Id", "tricky").body(format!("{MARKUP}{TRICKS}"))).await.status, 202);
    gateway.state("tricky", "dead").await;
    let hook = json!({ "name": "hook", "verify": "none", "type": "{json:type}", "routes": [{ "to": "evil", "filter": { "type": "none" } }] });
    let made = gateway.send(Method::POST, "/system/sources", &hook).await;
    assert_eq!(made.status, 201, "{made:?}");
    let event = json!({ "type": format!("<b>{TRICKS}") }).to_string();
    wait_until("an event", async || answer_to(gateway.post("/hooks/hook").body(event.clone())).await.status / 100 == 2)
        .await;

    let browser = Browser::start(&platform.site).await;
    for (page, shown) in [
        ("", "evil"),
        ("functions", "evil"),
        ("functions/evil", "About it"),
        ("functions/evil/config", "What changes"),
        ("functions/evil/versions?version=1", "<img src=x"),
        ("functions/evil/logs", "broken"),
        ("logs?functions=evil", "broken"),
        ("calls", "tricky"),
        ("calls/tricky", "What happened"),
        ("dead", "tricky"),
        ("dead/tricky", "x-trick"),
        ("sources/hook", "red-txt.exe"),
        ("health/acts", "evil"),
    ] {
        browser.open(&format!("/ui/{page}")).await;
        browser.wait_for_text(shown).await;
        assert_is_text(&browser, page).await;
    }
    browser.open("/ui/functions/evil/invoke").await;
    browser.fill("Body", "x").await;
    browser.press("Call it").await;
    browser.wait_for_text("after").await;
    assert_is_text(&browser, "the answer of a call").await;
}
