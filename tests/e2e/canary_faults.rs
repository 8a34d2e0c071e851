//! Canaries that fail: they are rolled back, and no call fails that the version before could answer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::Method;
use serde_json::{Value, json};

use crate::{
    canary::{begin, canary, greet, serves},
    harness::{Function, Gateway, Platform, Roles, answer_to, wait_for, wait_until},
};

/// Callers that call all the time, one after another, until they are to stop.
#[derive(Default)]
struct Load {
    calls: AtomicU64,
    ends: AtomicBool,
}

impl Load {
    /// Calls and queues; the body is a number that counts up. Each answer must be one of the two versions'.
    async fn run(&self, gateway: &Gateway) {
        while !self.ends.load(Ordering::Relaxed) {
            let number = self.calls.fetch_add(1, Ordering::Relaxed).to_string();
            let answer = gateway.call("greet", number.clone()).await;
            assert!(answer.status == 200 && ["old", "new"].contains(&answer.text().trim()), "{answer:?}");
            let id = gateway.queue("greet", number).await;
            let status = gateway.finished(&id).await;
            assert_eq!((&status["state"], &status["attempts"]), (&json!("succeeded"), &json!(1)), "{status}");
        }
    }

    /// Runs while something is awaited.
    async fn during<T>(&self, gateway: &Gateway, awaited: impl Future<Output = T>) -> T {
        let until = async {
            let awaited = awaited.await;
            self.ends.store(true, Ordering::Relaxed);
            awaited
        };
        let callers = futures_util::future::join_all((0..4).map(|_| self.run(gateway)));
        tokio::join!(until, callers).0
    }
}

/// Waits until the controller has rolled the version back, and returns the note that says why.
async fn reason(gateway: &Gateway, failed: u64) -> String {
    let version = wait_for("the canary is rolled back", async || {
        let version = gateway.function("greet").await.unwrap()["version"].clone();
        (version["cause"] == "automatic-rollback" && version["replaces"] == failed).then_some(version)
    })
    .await;
    version["note"].as_str().unwrap().to_owned()
}

/// The reason is in the audit log, in `describe` and in the list of versions.
async fn assert_is_told(platform: &Platform, note: &str) {
    // The entry is written after the version.
    let path = "/system/audit-log?action=rollback&actor=controller";
    let details = wait_for("its entry", async || {
        let entries = answer_to(platform.gateway.get(path)).await.json();
        entries.get(0).map(|entry| entry["details"].as_str().unwrap().to_owned())
    })
    .await;
    assert!(note.starts_with(details.trim_end_matches('…')), "{details} and {note}");
    let described = platform.site.client(&["describe", "greet"]).await.said();
    assert!(described.contains(note), "{described}");
    let versions = answer_to(platform.gateway.get("/system/function/greet/versions")).await.json();
    let states: Vec<&str> = versions.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["current", "failed", "former"], "{versions}");
    assert_eq!(canary(&platform.gateway, "greet").await, None);
}

#[tokio::test]
async fn a_canary_that_fails_one_call_in_ten_is_rolled_back_and_nobody_notices() {
    let platform = Platform::start([greet("old")]).await;
    // Numbers that end in 0.
    let faulty = Function::new("greet", r#"sh -c 'n=$(cat); [ "${n%0}" = "$n" ] || exit 3; echo new'"#);
    begin(&platform, &faulty, "50").await;
    let note = Load::default().during(&platform.gateway, reason(&platform.gateway, 2)).await;
    assert!(note.starts_with("version 2 was rolled back: ") && note.contains("calls failed"), "{note}");
    assert!(note.ends_with("5 % more are allowed, of 50 calls at least"), "{note}");
    assert_is_told(&platform, &note).await;
}

#[tokio::test]
async fn a_canary_that_is_three_times_slower_is_rolled_back() {
    let slow = |word: &str, seconds: &str| {
        Function::new("greet", &format!("sh -c 'cat >/dev/null; sleep {seconds}; echo {word}'"))
            .annotation("skep.canary.min-calls", "10")
    };
    // So long that what a busy machine adds to both hides nothing.
    let platform = Platform::start([slow("old", "1")]).await;
    begin(&platform, &slow("new", "3"), "50").await;
    let note = Load::default().during(&platform.gateway, reason(&platform.gateway, 2)).await;
    assert!(note.contains("calls took longer than") && note.contains("2 times as long is allowed"), "{note}");
    assert_is_told(&platform, &note).await;
}

#[tokio::test]
async fn a_canary_that_cannot_start_is_rolled_back() {
    let platform = Platform::start([greet("old")]).await;
    let broken = Function::new("greet", "sh -c 'exit 9'").env("mode", "http");
    let body = broken.deployment(platform.site.folder());
    let answer = platform.gateway.send(Method::PUT, "/system/functions?canary=50%25", &body).await;
    assert_eq!((answer.status, answer.header("location")), (202, "/system/function/greet/versions/2"), "{answer:?}");
    let note = Load::default().during(&platform.gateway, reason(&platform.gateway, 2)).await;
    assert!(note.contains("a replica exited with code 1"), "{note}");
    assert_is_told(&platform, &note).await;
    let deploy = ["deploy", "greet", "--command", "sh -c 'exit 9'", "--env", "mode=http", "--canary", "20%"];
    platform.site.client(&deploy).await.failed(1, "greet: version 4 was rolled back: a replica exited");
}

#[tokio::test]
async fn a_canary_whose_program_ends_again_and_again_is_rolled_back() {
    let platform = Platform::start([greet("old")]).await;
    // It answers for a moment.
    let program = "import http.server, os, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        self.wfile.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\nConnection: close\\r\\n\\r\\nnew')
    def log_message(self, *_): pass
threading.Timer(0.5, lambda: os._exit(7)).start()
http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()";
    std::fs::write(platform.site.path("dies.py"), program).unwrap();
    let dies = Function::new("greet", "python3 dies.py").env("mode", "http");
    let body = dies.deployment(platform.site.folder());
    let answer = platform.gateway.send(Method::PUT, "/system/functions?canary=50%25", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let note = Load::default().during(&platform.gateway, reason(&platform.gateway, 2)).await;
    assert_is_told(&platform, &note).await;
}

#[tokio::test]
async fn without_reruns_a_failure_stays_one_and_large_bodies_go_to_the_canary_too() {
    let large = "x".repeat(65 * 1024);
    let platform = Platform::start([greet("old")]).await;
    let gateway = &platform.gateway;
    let fails = |rerun: &str| {
        Function::new("greet", "sh -c 'cat >/dev/null; exit 3'")
            .annotation("skep.canary.rerun", rerun)
            .annotation("skep.canary.max-errors", "100%")
    };
    begin(&platform, &fails("on"), "99").await;
    for _ in 0..10 {
        assert_eq!(gateway.call("greet", large.clone()).await.text().trim(), "old");
        assert_eq!(gateway.call("greet", "small").await.text().trim(), "old");
    }
    let counted = async || canary(gateway, "greet").await.unwrap()["new"]["failed"].as_u64().unwrap();
    wait_until("small ones have failed on the canary", async || counted().await > 0).await;
    assert!(counted().await <= 10, "a large one cannot be run again");
    begin(&platform, &fails("off"), "99").await;
    wait_until("a large one fails", async || gateway.call("greet", large.clone()).await.status == 500).await;
    wait_until("a small one fails", async || gateway.call("greet", "small").await.status == 500).await;
}

#[tokio::test]
async fn a_canary_survives_a_controller_a_gateway_and_a_worker_that_are_killed() {
    let mut roles = Roles::start([greet("old")]).await;
    let gateway = roles.gateway.clone();
    let new = greet("new").annotation("skep.canary.max-latency", "off");
    let body = new.deployment(roles.site.folder());
    let answer = gateway.send(Method::PUT, "/system/functions?canary=50%25", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    serves(&gateway, "greet").await;
    let both_answer = async || {
        for word in ["old", "new"] {
            wait_until(word, async || gateway.call("greet", "x").await.text().trim() == word).await;
        }
    };
    both_answer().await;
    roles.controller.kill();
    roles.controller = roles.site.start_controller().await;
    serves(&gateway, "greet").await;
    both_answer().await;
    let new_calls = async || {
        let canary = canary(&gateway, "greet").await.unwrap();
        assert_eq!((&canary["version"]["number"], &canary["share"]), (&json!(2), &json!(50)), "{canary}");
        canary["new"]["calls"].as_u64().unwrap()
    };
    wait_until("the counts of the gateway are there again", async || new_calls().await > 1).await;
    let before = new_calls().await;
    roles.role_gateway.kill();
    roles.role_gateway = roles.site.start_gateway(&[]).await;
    both_answer().await;
    wait_until("the counts of both gateways add up", async || new_calls().await > before).await;
    let id = gateway.queue("greet", "x").await;
    roles.worker.kill();
    roles.worker = roles.site.start_worker().await;
    assert_eq!(gateway.finished(&id).await["state"], "succeeded");
    let promoted = gateway.send(Method::POST, "/system/function/greet/promote", &Value::Null).await;
    assert_eq!(promoted.status, 202, "{promoted:?}");
    wait_until("it takes all calls", async || gateway.function("greet").await.unwrap()["readyVersion"] == 2).await;
}

#[tokio::test]
async fn an_update_whose_first_calls_all_fail_is_rolled_back_unless_one_was_answered() {
    let platform = Platform::start([greet("old")]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let update = async |function: &Function, version: u64| {
        let body = function.deployment(site.folder());
        assert_eq!(gateway.send(Method::PUT, "/system/functions", &body).await.status, 202);
        wait_until("it is ready", async || gateway.function("greet").await.unwrap()["readyVersion"] == version).await;
    };
    assert_eq!(gateway.call("greet", "x").await.status, 200);
    answered(&platform, 1).await;
    let picky = Function::new("greet", r#"sh -c 'n=$(cat); [ "$n" = good ] && echo new'"#).answers_once();
    update(&picky, 2).await;
    let mut failed = 0;
    while gateway.function("greet").await.unwrap()["version"]["number"] == 2 {
        failed += u64::from(gateway.call("greet", "bad").await.status == 500);
    }
    assert!(failed >= 10, "{failed}");
    let note = reason(gateway, 2).await;
    assert!(
        note.starts_with("version 2 was rolled back: its first ") && note.ends_with("calls failed, all of them"),
        "{note}"
    );
    wait_until("the former version answers", async || gateway.call("greet", "bad").await.text().trim() == "old").await;

    // One that has answered a call is judged no more.
    update(&picky, 4).await;
    assert_eq!(gateway.call("greet", "good").await.status, 200);
    answered(&platform, 4).await;
    for _ in 0..15 {
        assert_eq!(gateway.call("greet", "bad").await.status, 500);
    }
    // Neither is one that says so.
    update(&greet("back"), 5).await;
    assert_eq!(gateway.call("greet", "x").await.status, 200);
    answered(&platform, 5).await;
    update(&picky.annotation("skep.update.first-calls", "off"), 6).await;
    for _ in 0..15 {
        assert_eq!(gateway.call("greet", "bad").await.status, 500);
    }
    assert_eq!(gateway.function("greet").await.unwrap()["version"]["number"], 6);
}

/// Waits until it is written that a version has answered a call.
async fn answered(platform: &Platform, version: u64) {
    let jetstream = async_nats::jetstream::new(platform.site.nats_client().await);
    let registry = jetstream.get_key_value("SKEP_FUNCTIONS").await.unwrap();
    wait_until("it is known that a call was answered", async || {
        let status = registry.get("status.greet").await.unwrap().unwrap();
        serde_json::from_slice::<Value>(&status).unwrap()["answeredVersion"] == version
    })
    .await;
}
