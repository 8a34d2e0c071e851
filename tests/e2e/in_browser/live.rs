//! What the web UI shows while things change.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::harness::{Browser, Crowd, Function, Platform, Roles, key, wait_until};

/// A promise that holds when the stream of figures has sent this number of events.
fn ticks(count: u32) -> String {
    format!(
        "return new Promise((done) => {{ let left = {count}; const stream = new EventSource('/system/stats/stream'); \
         stream.onmessage = () => --left || (stream.close(), done(true)); }})"
    )
}

#[tokio::test]
async fn focus_and_typed_text_survive_new_figures() {
    let platform = Platform::start([Function::cat()]).await;
    let browser = Browser::start(&platform.site).await;
    browser.open("/ui/functions").await;
    browser.wait_for_text("cat").await;
    browser.wait_for("the filter", "return !!document.querySelector('[data-filter]')").await;
    browser.keys(&["/"]).await;
    browser.type_text("cta").await;
    browser.keys(&[key::LEFT]).await;
    let state = "const field = document.activeElement; return [field.tagName, field.value, field.selectionStart, field.isConnected]";
    let before = browser.run(state).await;
    assert_eq!(before, json!(["INPUT", "cta", 2, true]));
    assert_eq!(browser.run(&ticks(10)).await, json!(true));
    assert_eq!(browser.run(state).await, before);
    assert_eq!(browser.path().await, "/ui/functions?q=cta");
}

/// The names of the functions in the table, from the top.
const NAMES: &str = "return [...document.querySelectorAll('main tbody .name')].map((one) => one.textContent)";

#[tokio::test]
async fn a_row_under_the_mouse_keeps_its_place() {
    let platform = Platform::start(["a", "b", "c"].map(|name| Function::new(name, "cat"))).await;
    let browser = Browser::start(&platform.site).await;
    browser.open("/ui/functions?sort=-dead").await;
    // The order is that of dead letters, which stay; so it changes once, and not with each second.
    browser.wait_for("rows", &format!("return (() => {{ {NAMES} }})().length === 3")).await;
    let before = browser.run(NAMES).await;
    let row = browser
        .run("const { x, y } = document.querySelector('main tbody tr').getBoundingClientRect(); return [x, y]")
        .await;
    let place = |number: usize| row[number].as_f64().unwrap() as i64 + 10;
    browser.point(place(0), place(1)).await;
    let last = before[2].as_str().unwrap();
    let dying = json!({ "service": last, "envProcess": "sh -c 'exit 3'", "annotations": { "com.openfaas.retry.attempts": "1" } });
    assert_eq!(platform.gateway.send(http::Method::PUT, "/system/functions", &dying).await.status, 202);
    let fails = async || platform.gateway.call(last, "x").await.status == 500;
    wait_until("the failing version", fails).await;
    let id = platform.gateway.queue(last, "x").await;
    platform.gateway.state(&id, "dead").await;
    browser.wait_for("its dead letter in the table", "return !!document.querySelector('main tbody a.text-bad')").await;
    assert_eq!(browser.run(NAMES).await, before, "under the mouse nothing moves");
    browser.point(5, 5).await;
    browser.wait_for("the new order", &format!("return (() => {{ {NAMES} }})()[0] === '{last}'")).await;
}

#[tokio::test]
async fn new_calls_do_not_move_what_is_read() {
    let platform = Platform::start([Function::cat()]).await;
    for number in 0..60 {
        platform.gateway.queue_as(&format!("call-{number}"), "cat", "x").await;
        platform.gateway.finished(&format!("call-{number}")).await;
    }
    let browser = Browser::start(&platform.site).await;
    browser.open("/ui/calls").await;
    browser.wait_for("rows", "return document.querySelectorAll('main tbody tr').length === 60").await;
    browser.run("scrollTo(0, 700)").await;
    let seen = "return [scrollY, document.elementFromPoint(500, 400).closest('tr').querySelector('code').textContent]";
    let before = browser.run(seen).await;
    for number in 0..5 {
        platform.gateway.queue_as(&format!("new-{number}"), "cat", "x").await;
        platform.gateway.finished(&format!("new-{number}")).await;
    }
    browser.wait_for_text("5 new calls").await;
    assert_eq!(browser.run(seen).await, before);
    browser.press("5 new calls").await;
    browser.wait_for("the new calls", "return document.querySelectorAll('main tbody tr').length === 65").await;
}

#[tokio::test]
async fn a_log_that_is_read_stands_still_and_says_so() {
    let platform = Platform::start([Function::cat()]).await;
    for _ in 0..40 {
        platform.gateway.call("cat", "x").await;
    }
    let browser = Browser::start(&platform.site).await;
    browser.open("/ui/functions/cat/logs").await;
    browser.wait_for("many lines", "return document.querySelectorAll('.log-line').length >= 80").await;
    let end = "const box = document.querySelector('.log-lines'); return box.scrollHeight - box.scrollTop - box.clientHeight < 2";
    browser.wait_for("its end", end).await;
    for width in [500, 1280] {
        browser.look(width, "light").await;
        browser.wait_for(&format!("its end in a window of {width} pixels"), end).await;
    }
    assert_eq!(browser.run(&ticks(1)).await, json!(true));
    assert!(browser.text().await.contains("following"), "another size of the window is no reading");
    browser.run("document.querySelector('.log-lines').scrollTop = 100").await;
    browser.wait_for_text("Paused").await;
    let seen = "const box = document.querySelector('.log-lines'); return [box.scrollTop, box.children.length]";
    let before = browser.run(seen).await;
    for _ in 0..5 {
        platform.gateway.call("cat", "x").await;
    }
    assert_eq!(browser.run(&ticks(2)).await, json!(true));
    assert_eq!(browser.run(seen).await, before);
    browser.press("Follow").await;
    let more = format!("return document.querySelectorAll('.log-line').length >= {}", before[1].as_u64().unwrap() + 10);
    browser.wait_for("the lines that came meanwhile", &more).await;
}

#[tokio::test]
async fn a_page_says_that_nats_is_away_and_goes_on_by_itself() {
    let mut roles = Roles::start([Function::cat()]).await;
    let browser = Browser::start(&roles.site).await;
    browser.open("/ui/functions").await;
    browser.wait_for_text("Live").await;
    // Figures come each second, and without a controller each second and a half; so two that know nothing of it are three seconds.
    let watch = "window.states = []; new EventSource('/system/stats/stream').onmessage = ({ data }) => states.push([Date.now(), JSON.parse(data).state]); \
        new MutationObserver(() => { if (!window.said && document.querySelector('.away').textContent.includes('NATS')) \
        window.said = [Date.now(), states.slice()]; }).observe(document.body, { subtree: true, childList: true, characterData: true })";
    browser.run(watch).await;
    browser.wait_for("figures", "return states.length > 1").await;
    roles.nats.kill();
    let killed = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let said = browser.wait_for("the page says that NATS is away", "return window.said").await;
    let states = said[1].as_array().unwrap().iter().filter(|state| state[0].as_u64() > Some(killed));
    let states: Vec<_> = states.map(|state| state[1].as_str().unwrap()).collect();
    let after = said[0].as_u64().unwrap().saturating_sub(killed);
    eprintln!("the page says it {after} ms after the end of NATS, after {states:?}");
    let unaware = states.iter().filter(|state| **state != "no-nats").count();
    assert!(unaware <= 2, "{said}");
    roles.nats = roles.site.start_nats().await;
    let back =
        "return !document.body.innerText.includes('no connection to NATS') && document.body.innerText.includes('Live')";
    browser.wait_for("the page is live again", back).await;
}

#[tokio::test]
async fn a_list_and_the_page_of_a_call_say_the_same() {
    let platform = Platform::start([Function::gated()]).await;
    let id = platform.gateway.queue("gated", "x").await;
    let browser = Browser::start(&platform.site).await;
    let row = format!(
        "const link = document.querySelector('a[href=\"/ui/calls/{id}\"]'); return link?.closest('tr')?.innerText ?? ''"
    );
    for state in ["running", "succeeded"] {
        if state == "succeeded" {
            platform.site.open_gate();
        }
        platform.gateway.state(&id, state).await;
        browser.open("/ui/calls").await;
        browser
            .wait_for(&format!("the list says {state}"), &format!("return (() => {{ {row} }})().includes('{state}')"))
            .await;
        browser.open(&format!("/ui/calls/{id}")).await;
        browser.wait_for_text(state).await;
    }
    browser.open("/ui/calls").await;
    browser.wait_for("the row", &format!("return (() => {{ {row} }})() !== ''")).await;
    browser.keys(&["j", key::ENTER]).await;
    browser.wait_for("the page of the call", &format!("return location.pathname === '/ui/calls/{id}'")).await;
}

#[tokio::test]
async fn a_thousand_busy_functions_need_little_memory() {
    const HEAP_LIMIT: f64 = 80e6;
    const TICKS: u32 = 12;
    let platform = Platform::start([]).await;
    let crowd = Crowd::start(&platform.gateway).await;
    let mut browser = Browser::start(&platform.site).await;
    browser.origin.clone_from(&crowd.origin);
    let note = "window.tasks = [0]; new PerformanceObserver((list) => tasks.push(...list.getEntries().map((task) => task.duration))) \
                .observe({ type: 'longtask', buffered: true })";
    browser.chromium("Page.addScriptToEvaluateOnNewDocument", json!({ "source": note })).await;
    browser.open("/ui/functions").await;
    browser.wait_for_text("1,000 functions").await;
    browser.wait_for("rows", "return document.querySelectorAll('main tbody tr').length >= 100").await;
    // What the page itself takes of a processor, however busy the machine is.
    browser.chromium("Performance.enable", json!({ "timeDomain": "threadTicks" })).await;
    let busy = async || {
        let metrics = browser.chromium("Performance.getMetrics", json!({})).await;
        let metric = metrics["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == "TaskDuration");
        metric.unwrap()["value"].as_f64().unwrap()
    };
    let before = busy().await;
    assert_eq!(browser.run(&ticks(TICKS)).await, json!(true));
    let each = (busy().await - before) / f64::from(TICKS);
    browser.chromium("HeapProfiler.enable", json!({})).await;
    browser.chromium("HeapProfiler.collectGarbage", json!({})).await;
    let heap = browser.run("return performance.memory.usedJSHeapSize").await.as_f64().unwrap();
    let longest = browser.run("return Math.max(...tasks)").await;
    eprintln!(
        "heap {:.1} MB, {:.0} ms of a processor for each second, the longest task {longest} ms",
        heap / 1e6,
        each * 1e3
    );
    assert!(heap < HEAP_LIMIT, "{heap}");
}
