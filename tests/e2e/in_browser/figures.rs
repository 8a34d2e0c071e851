//! Figures of the last hour, of sources, of callbacks, and of the parts of the installation.

use http::{Method, StatusCode};
use serde_json::json;

use super::pages::open;
use crate::harness::{Browser, Function, Platform, Receiver, Roles, answer_to, free_address, wait_for, wait_until};

#[tokio::test]
async fn charts_go_back_an_hour_and_say_so_in_the_address() {
    let platform = Platform::start([Function::cat()]).await;
    let browser = Browser::start(&platform.site).await;
    open(&browser, "/ui/functions/cat").await;
    browser.press("1 hour").await;
    assert_eq!(browser.path().await, "/ui/functions/cat?span=1h");
    for page in ["/ui/functions/cat?span=1h", "/ui/?span=1h"] {
        open(&browser, page).await;
        platform.gateway.call("cat", "x").await;
        let line = "return document.querySelector('.chart .curve .line')?.getAttribute('d')";
        browser.wait_for(&format!("a line on {page}"), line).await;
        // Of a quarter of an hour, times are five minutes apart at most.
        let times = "const [first, second] = [...document.querySelectorAll('.chart .at-middle')].map((one) => \
             one.textContent.trim().split(':').reduce((hours, minutes) => hours * 60 + Number(minutes), 0)); \
             return (first - second + 1440) % 1440 || null";
        let apart = browser.wait_for("times of the axis", times).await;
        assert!(apart.as_u64() >= Some(10), "{page}: {apart}");
        let pressed = "return document.querySelector('.section-head button[aria-pressed=true]').innerText";
        assert_eq!(browser.run(pressed).await, json!("1 hour"), "{page}");
    }
    let asked = browser.requests().await;
    for query in ["function=cat&span=1h", "stats/history?span=1h"] {
        assert!(asked.iter().any(|request| request.ends_with(query)), "{query}: {asked:#?}");
    }
    browser.press("Table").await;
    browser.wait_for_text("Time").await;
    answer_to(platform.gateway.get("/system/stats/history?span=2h")).await.assert_refused(400);
}

#[tokio::test]
async fn a_source_says_how_many_events_it_has_taken_refused_and_passed_over_and_how_many_came_again() {
    let platform = Platform::start([Function::cat()]).await;
    let gateway = &platform.gateway;
    let routes = json!([{ "to": "cat", "filter": { "type": "wanted" } }]);
    let source =
        json!({ "name": "acme", "preset": "token", "type": "{json:type}", "else": "content", "routes": routes });
    assert_eq!(gateway.send(Method::POST, "/system/sources", &source).await.status, 201);
    let secret = json!({ "value": "a-token-that-nobody-guesses" });
    assert_eq!(gateway.send(Method::POST, "/system/sources/acme/secrets", &secret).await.status, 201);
    // One of them comes three times.
    for (kind, time) in [("wanted", 0), ("wanted", 1), ("wanted", 0), ("other", 0), ("wanted", 0)] {
        let event = json!({ "text": format!(r#"{{"type":"{kind}","time":{time}}}"#) });
        wait_until("an event of acme", async || {
            let sent = gateway.send(Method::POST, "/system/sources/acme/send", &event).await;
            sent.status == 200 && sent.json()["eventId"].is_string()
        })
        .await;
    }
    assert_eq!(answer_to(gateway.post("/hooks/acme").body("forged")).await.status, 401);
    wait_until("the counts", async || {
        let counts = answer_to(gateway.get("/system/sources/acme")).await.json()["counts"].clone();
        let newest = &counts["newest"];
        [&counts["events"], &counts["duplicates"], &counts["refused"], &counts["held"]] == [3, 2, 1, 0]
            && [&newest["routed"], &newest["ignored"], &newest["paused"]] == [&json!(2), &json!(1), &json!(0)]
    })
    .await;
    let browser = Browser::start(&platform.site).await;
    open(&browser, "/ui/sources").await;
    let row = "return [...document.querySelectorAll('main tbody tr td.num')].slice(0, 4).map((one) => one.innerText.trim()).join() === '3,2,1,0'";
    browser.wait_for("the counts of acme", row).await;
    open(&browser, "/ui/sources/acme").await;
    browser.wait_for_text("3 events, 2 duplicates, 1 refused and 0 held").await;
    browser.wait_for_text("2 routed, 1 that no route took, 0 paused").await;
}

#[tokio::test]
async fn the_overview_says_how_many_callbacks_wait() {
    let platform = Platform::start([Function::cat()]).await;
    let receiver = Receiver::refusing(1000, StatusCode::SERVICE_UNAVAILABLE).await;
    for _ in 0..2 {
        let request = platform.gateway.post("/async-function/cat").header("X-Callback-Url", &receiver.url);
        assert_eq!(answer_to(request.body("x")).await.status, 202);
    }
    receiver.wait_for(2).await;
    let browser = Browser::start(&platform.site).await;
    open(&browser, "/ui/").await;
    let figure = "const found = [...document.querySelectorAll('.figure')].find((one) => one.innerText.startsWith('Callbacks')); \
         return found?.querySelector('.figure-value').innerText === '2'";
    browser.wait_for("two callbacks on their way", figure).await;
}

#[tokio::test]
async fn the_overview_counts_dead_calls_and_undelivered_callbacks_apart() {
    let platform = Platform::start_with(&["--attempts", "1"], [Function::cat(), Function::failing()]).await;
    let gone = Receiver::refusing(1000, StatusCode::GONE).await;
    let request = platform.gateway.post("/async-function/cat").header("X-Callback-Url", &gone.url);
    assert_eq!(answer_to(request.body("x")).await.status, 202);
    for id in ["one", "two"] {
        platform.gateway.queue_as(id, "failing", "x").await;
        platform.gateway.state(id, "dead").await;
    }
    let browser = Browser::start(&platform.site).await;
    open(&browser, "/ui/").await;
    let said = "const said = [...document.querySelectorAll('.trouble-text')].map((one) => [...one.children].map((part) => part.textContent.trim()).join(': ')); \
         return said.includes('2 dead letters: failing 2') && said.includes('1 callback could not be delivered: The results are kept.')";
    browser.wait_for("both kinds of dead letters", said).await;
}

#[tokio::test]
async fn the_health_page_says_what_runs_and_when_the_certificate_ends() {
    let roles = Roles::start([Function::cat()]).await;
    crate::tls::certify(&roles.site, "trusted.pem");
    let secure = free_address();
    let _gateway = roles.site.start_gateway_at(secure, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]).await;
    let info = answer_to(roles.gateway.get("/system/info")).await.json();
    assert!(info.get("certificate_ends_at").is_none(), "{info}");
    let mut browser = Browser::start(&roles.site).await;
    browser.chromium("Security.setIgnoreCertificateErrors", json!({ "ignore": true })).await;
    browser.origin = format!("https://{secure}");
    open(&browser, "/ui/health").await;
    // The day on which certificates of this kind end.
    browser.wait_for_text("on 4096-01-01").await;
    let version = env!("CARGO_PKG_VERSION");
    for shown in [format!("Gateways\n2 with {version}"), format!("Queue-workers\n1 with {version}")] {
        browser.wait_for_text(&shown).await;
    }
}

#[tokio::test]
async fn what_is_selected_is_in_the_address() {
    let platform = Platform::start_with(&["--attempts", "1"], [Function::failing()]).await;
    for id in ["first", "second", "third"] {
        platform.gateway.queue_as(id, "failing", "x").await;
        platform.gateway.state(id, "dead").await;
    }
    let browser = Browser::start(&platform.site).await;
    for (page, key) in [("/ui/dead", "second"), ("/ui/calls", "third")] {
        open(&browser, page).await;
        let tick =
            format!("const box = document.querySelector('input[aria-label$=\"{key}\"]'); box?.click(); return !!box");
        browser.wait_for(&format!("the row of {key}"), &tick).await;
        let selected = "return new URLSearchParams(location.search).get('selected')";
        assert_eq!(browser.wait_for("the selection in the address", selected).await, json!(key), "{page}");
        let again = browser.path().await;
        open(&browser, &again).await;
        let ticked = "return [...document.querySelectorAll('tbody input:checked')].map((one) => one.getAttribute('aria-label')).join()";
        let found = browser
            .wait_for(
                "the selection of the address",
                &format!("const found = (() => {{ {ticked} }})(); return found || null"),
            )
            .await;
        assert_eq!(found, json!(format!("Select {key}")), "{page}");
    }
    browser.press("Dead").await;
    let begins_with_none = async || browser.path().await == "/ui/calls?show=dead";
    wait_until("another list begins with none selected", begins_with_none).await;
}

#[tokio::test]
async fn a_log_shows_one_stream_of_a_function_and_one_call() {
    let script = "sh -c 'read name; echo \"complains about $name\" >&2; echo \"answers $name\"'";
    let function = Function::new("anna", script).env("combine_output", "false").env("write_debug", "true");
    let platform = Platform::start([function]).await;
    for id in ["one", "two"] {
        platform.gateway.queue_as(id, "anna", id).await;
        platform.gateway.finished(id).await;
    }
    let of_stdout = wait_for("what it writes to stdout", async || {
        let said = platform.site.client(&["logs", "anna", "--stream", "stdout"]).await.said();
        said.contains("answers one").then_some(said)
    })
    .await;
    assert!(!of_stdout.contains("complains"), "{of_stdout}");
    platform.site.client(&["logs", "anna", "--stream", "stdin"]).await.code_is(2);
    let browser = Browser::start(&platform.site).await;
    for page in ["functions/anna/logs?", "logs?functions=anna&"] {
        browser.open(&format!("/ui/{page}")).await;
        browser.wait_for_text("complains about two").await;
        browser.wait_for_text("answers two").await;
        browser.choose("stderr").await;
        let lines = "return [...document.querySelectorAll('.log-line .log-text')].map((one) => one.innerText).join()";
        let only = format!(
            "const text = (() => {{ {lines} }})(); return text.includes('complains about one') && !text.includes('answers')"
        );
        browser.wait_for("only what it writes to stderr", &only).await;
        assert!(browser.path().await.ends_with("stream=stderr"));
        browser.open(&format!("/ui/{page}stream=stdout&call=two")).await;
        let only = format!(
            "const text = (() => {{ {lines} }})(); return text.includes('answers two') && !text.includes('one') && !text.includes('complains')"
        );
        browser.wait_for("what one call writes to stdout", &only).await;
    }
}
