//! What the buttons of the web UI do, as the API then says.

use http::Method;
use serde_json::{Value, json};

use super::pages::open;
use crate::harness::{Browser, Function, Gateway, Platform, answer_to, wait_until};

async fn asked(gateway: &Gateway, path: &str) -> Value {
    answer_to(gateway.get(path)).await.json()
}

/// The rows of a table, each as its text.
const ROWS: &str = "return document.querySelectorAll('main tbody tr').length";

#[tokio::test]
async fn dead_letters_are_redriven_at_a_rate_until_that_is_stopped_and_the_rest_is_removed() {
    const LETTERS: usize = 30;
    let platform = Platform::start_with(&["--attempts", "1"], [Function::failing()]).await;
    let gateway = &platform.gateway;
    let ids: Vec<String> = (0..LETTERS).map(|number| format!("letter-{number}")).collect();
    for id in &ids {
        gateway.queue_as(id, "failing", "x").await;
    }
    for id in &ids {
        gateway.state(id, "dead").await;
    }
    platform.site.open_gate();
    let browser = Browser::start(&platform.site).await;
    open(&browser, "/ui/dead").await;
    browser.press("Redrive all that fit…").await;
    browser.wait_for_text(&format!("{LETTERS} dead letters of failing")).await;
    assert_eq!(gateway.call_status("letter-0").await.unwrap()["state"], "dead", "so far it was only counted");
    browser.fill("At most, per second", "1").await;
    browser.press(&format!("Redrive {LETTERS} dead letters")).await;
    browser.press("Stop").await;
    browser.wait_for_text(&format!("of {LETTERS} redriven, stopped")).await;
    let left = asked(gateway, "/system/dead?limit=1000").await.as_array().unwrap().len();
    assert!(left < LETTERS && left > 0, "{left}");
    browser.press("Close").await;
    wait_until("those that are left", async || browser.run(ROWS).await == json!(left)).await;
    browser.press("Remove all that fit…").await;
    browser.press(&format!("Remove {left} dead letters")).await;
    browser.wait_for_text(&format!("{left} of {left} removed, finished")).await;
    assert_eq!(asked(gateway, "/system/dead").await, json!([]));
}

#[tokio::test]
async fn calls_are_cancelled_some_that_are_selected_and_then_all_that_fit() {
    let platform = Platform::start([Function::gated()]).await;
    let gateway = &platform.gateway;
    for number in 0..5 {
        gateway.queue_as(&format!("call-{number}"), "gated", "x").await;
    }
    let browser = Browser::start(&platform.site).await;
    open(&browser, "/ui/calls?show=open&selected=call-1,call-3").await;
    browser.press("Cancel 2…").await;
    browser.press("Cancel 2 calls").await;
    browser.wait_for_text("2 of 2 cancelled, finished").await;
    for id in ["call-1", "call-3"] {
        gateway.state(id, "cancelled").await;
    }
    assert_ne!(gateway.call_status("call-2").await.unwrap()["state"], "cancelled");
    open(&browser, "/ui/calls?show=open").await;
    browser.press("Cancel all that fit…").await;
    browser.press("Cancel 3 calls").await;
    browser.wait_for_text("3 of 3 cancelled, finished").await;
    for id in ["call-0", "call-2", "call-4"] {
        gateway.state(id, "cancelled").await;
    }
}

#[tokio::test]
async fn a_function_is_scaled_and_deleted() {
    let platform = Platform::start([Function::cat()]).await;
    let browser = Browser::start(&platform.site).await;
    open(&browser, "/ui/functions/cat/scaling").await;
    browser.fill("Scale to", "2").await;
    browser.press("Scale").await;
    browser.wait_for_text("cat is scaled to 2 replicas.").await;
    platform.gateway.wait_for_replicas("cat", 2).await;
    browser.press("Delete…").await;
    let waits = "return document.querySelector('dialog button.danger').disabled";
    assert_eq!(browser.run(waits).await, json!(true), "its name was not typed");
    browser.fill("Type cat to go on", "cat").await;
    browser.press("Delete the function").await;
    browser.wait_for_text("cat is deleted.").await;
    wait_until("it is gone", async || platform.gateway.function("cat").await.is_none()).await;
}

#[tokio::test]
async fn secrets_and_namespaces_are_created_replaced_and_deleted() {
    let reads = Function::new("reads", "sh -c 'cat \"$SKEP_SECRETS_DIR/key\"'").secret("key");
    let platform = Platform::start([]).await;
    let (gateway, browser) = (&platform.gateway, Browser::start(&platform.site).await);
    open(&browser, "/ui/secrets").await;
    browser.press("Create a secret").await;
    browser.fill("Name", "key").await;
    browser.fill("Value", "opal-4711").await;
    browser.press("Create it").await;
    browser.wait_for_text("Secret key is created.").await;
    platform.site.deploy(&reads).await;
    wait_until("its first value", async || gateway.call("reads", "").await.text() == "opal-4711").await;
    browser.press("Replace…").await;
    browser.fill("Value", "jade-4712").await;
    browser.press("Replace it").await;
    browser.wait_for_text("key has a new value.").await;
    wait_until("its second value", async || gateway.call("reads", "").await.text() == "jade-4712").await;
    assert!(!browser.run("return document.documentElement.innerHTML").await.to_string().contains("jade-4712"));

    open(&browser, "/ui/namespaces").await;
    browser.press("Create a namespace").await;
    browser.fill("Name", "dev").await;
    browser.press("Create it").await;
    browser.wait_for_text("Namespace dev is created.").await;
    assert!(asked(gateway, "/system/namespaces").await.as_array().unwrap().contains(&json!("dev")));
    browser.press("Delete…").await;
    browser.fill("Type dev to go on", "dev").await;
    browser.press("Delete it").await;
    browser.wait_for_text("Namespace dev is deleted.").await;
    assert!(!asked(gateway, "/system/namespaces").await.as_array().unwrap().contains(&json!("dev")));
}

#[tokio::test]
async fn events_are_held_let_in_paused_and_replayed_and_a_schedule_fires() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let routes = json!([{ "to": "counted" }]);
    let hook = json!({ "name": "acme", "preset": "token", "unverified": "hold", "routes": routes });
    let clock = json!({ "name": "yearly", "cron": "0 0 1 1 *", "routes": routes });
    for source in [hook, clock] {
        assert_eq!(gateway.send(Method::POST, "/system/sources", &source).await.status, 201);
    }
    let token = json!({ "value": "a-token-that-nobody-guesses" });
    assert_eq!(gateway.send(Method::POST, "/system/sources/acme/secrets", &token).await.status, 201);
    wait_until("a request that is held", async || {
        answer_to(gateway.post("/hooks/acme").body("{}")).await;
        asked(gateway, "/system/sources/acme").await["counts"]["held"] == 1
    })
    .await;
    let browser = Browser::start(site).await;
    open(&browser, "/ui/sources/acme/held").await;
    browser
        .wait_for("it can be chosen", "const box = document.querySelector('tbody input'); box?.click(); return !!box")
        .await;
    browser.press("Let in unverified…").await;
    browser.press("Let them in").await;
    browser.wait_for_text("1 request let in.").await;
    site.wait_for_runs(1).await;

    browser.press("Pause").await;
    browser.wait_for_text("acme is paused: its events wait.").await;
    browser.press("Resume").await;
    browser.wait_for_text("acme goes on.").await;
    open(&browser, "/ui/sources/acme").await;
    browser.press("Replay…").await;
    browser.press("Count first").await;
    browser.wait_for_text("1 event would make 1 call").await;
    assert_eq!(site.runs().len(), 1, "so far it was only counted");
    browser.press("Replay 1 event").await;
    site.wait_for_runs(2).await;

    open(&browser, "/ui/schedules").await;
    browser.press("Fire now").await;
    browser.wait_for_text("yearly made 1 call.").await;
    site.wait_for_runs(3).await;
    open(&browser, "/ui/schedules/yearly").await;
    browser.press("Pause").await;
    browser.wait_for_text("nothing is planned").await;
    assert_eq!(asked(gateway, "/system/sources/yearly").await["paused"], true);
}

#[tokio::test]
async fn an_audit_is_run_and_says_that_it_adds_up() {
    let platform = Platform::start([Function::cat()]).await;
    let id = platform.gateway.queue("cat", "x").await;
    platform.gateway.finished(&id).await;
    let browser = Browser::start(&platform.site).await;
    open(&browser, "/ui/health/audit").await;
    browser.press("Run an audit now").await;
    browser.wait_for_text("It adds up: every accepted call is accounted for.").await;
}
