//! Several tabs of one browser, and those that nobody sees.

use serde_json::json;

use crate::harness::{Browser, Function, Platform, wait_until};

const STREAM: &str = "/system/stats/stream";

/// How many streams of figures were asked for since this was last asked.
async fn streams(browser: &Browser) -> usize {
    browser.requests().await.iter().filter(|request| request.ends_with(STREAM)).count()
}

/// Has the page think that it is hidden, or shown again.
async fn hide(browser: &Browser, hidden: bool) {
    let script = format!(
        "Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {hidden} }}); \
         document.dispatchEvent(new Event('visibilitychange'))"
    );
    browser.run(&script).await;
}

#[tokio::test]
async fn the_windows_of_a_browser_share_one_stream_and_another_one_takes_over() {
    let platform = Platform::start([Function::cat()]).await;
    let browser = Browser::start(&platform.site).await;
    browser.open("/ui/functions").await;
    browser.wait_for_text("Live, each second").await;
    assert_eq!(streams(&browser).await, 1);
    let first = browser.window().await;
    for _ in 0..2 {
        browser.new_window().await;
        browser.open("/ui/").await;
        browser.wait_for_text("Live, each second").await;
    }
    assert_eq!(streams(&browser).await, 0, "the first window passes its figures on");
    let last = browser.window().await;
    browser.switch_to(&first).await;
    hide(&browser, true).await;
    browser.switch_to(&last).await;
    let mut taken_over = 0;
    wait_until("another window has the stream", async || {
        taken_over += streams(&browser).await;
        taken_over > 0
    })
    .await;
    browser.wait_for_text("Live, each second").await;
    assert_eq!(taken_over, 1);
}

#[tokio::test]
async fn a_hidden_tab_asks_for_nothing_and_goes_on_when_it_is_shown() {
    let platform = Platform::start([Function::cat()]).await;
    let browser = Browser::start(&platform.site).await;
    browser.open("/ui/functions/cat/logs").await;
    browser.wait_for_text("following").await;
    platform.gateway.call("cat", "x").await;
    let lines = "return document.querySelectorAll('.log-line').length";
    browser.wait_for("a line", lines).await;
    hide(&browser, true).await;
    // What was under way when it was hidden may end.
    browser.run("return new Promise((done) => setTimeout(done, 1000))").await;
    browser.requests().await;
    let before = browser.run(lines).await.as_u64().unwrap();
    for _ in 0..5 {
        platform.gateway.call("cat", "while nobody looks").await;
        browser.run("return new Promise((done) => setTimeout(done, 1000))").await;
    }
    assert_eq!(browser.requests().await, Vec::<String>::new());
    assert_eq!(browser.run(lines).await, json!(before));
    hide(&browser, false).await;
    browser
        .wait_for(
            "the lines that came meanwhile",
            &format!("return document.querySelectorAll('.log-line').length >= {}", before + 5),
        )
        .await;
    let twice = "const lines = [...document.querySelectorAll('.log-line')].map((one) => one.textContent); return lines.length - new Set(lines).size";
    assert_eq!(browser.run(twice).await, json!(0), "no line comes twice");
    browser.wait_for_text("Live, each second").await;
}
