//! Several tabs of one browser, and those that nobody sees.

use serde_json::json;

use crate::harness::{Browser, Function, Platform, wait_for};

/// Has a page keep its streams, so that it can say which of them are open.
const KEEPS_STREAMS: &str = "window.kept = []; window.EventSource = class extends EventSource { \
     constructor(...given) { super(...given); kept.push(this); } }";

/// Opens a page in the window that is driven now, and waits for its figures.
async fn open(browser: &Browser, path: &str) -> String {
    browser.chromium("Page.addScriptToEvaluateOnNewDocument", json!({ "source": KEEPS_STREAMS })).await;
    browser.open(path).await;
    browser.wait_for_text("Live, each second").await;
    browser.window().await
}

/// How many streams of figures a window has.
async fn streams(browser: &Browser, window: &str) -> u64 {
    browser.switch_to(window).await;
    browser
        .run("return kept.filter((stream) => stream.readyState !== EventSource.CLOSED).length")
        .await
        .as_u64()
        .unwrap()
}

/// Waits until these windows have one stream together, and returns the one that has it. Two that have begun at once may both have one for a moment.
async fn leader(browser: &Browser, windows: &[String]) -> String {
    let [leader] = wait_for("one stream for all windows", async || {
        let mut with_stream = Vec::new();
        for window in windows {
            let streams = streams(browser, window).await;
            with_stream.extend((0..streams).map(|_| window.clone()));
        }
        <[String; 1]>::try_from(with_stream).ok()
    })
    .await;
    leader
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
    let mut windows = vec![open(&browser, "/ui/functions").await];
    assert_eq!(streams(&browser, &windows[0]).await, 1);
    for _ in 0..2 {
        browser.new_window().await;
        windows.push(open(&browser, "/ui/").await);
    }
    // The others have their figures from it.
    let first = leader(&browser, &windows).await;
    browser.switch_to(&first).await;
    hide(&browser, true).await;
    windows.retain(|window| *window != first);
    let next = leader(&browser, &windows).await;
    assert_eq!(streams(&browser, &first).await, 0);
    browser.switch_to(&next).await;
    browser.wait_for_text("Live, each second").await;
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
