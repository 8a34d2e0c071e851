//! A callback to `skep://NAME` calls a function, so it is no way around the token that the function asks for.

use http::Method;
use serde_json::Value;

use crate::harness::{Answer, Function, Gateway, Program, Site, answer_to, wait_for, wait_until};

const FIRST: &str = "first-call";

/// The function that is called back: it writes down each call of it.
fn payroll() -> Function {
    Function::new("payroll", r#"sh -c 'echo "$Http_X_Call_Id" >> runs; cat'"#)
}

fn guarded_payroll() -> Function {
    payroll().annotation("skep.auth", "required")
}

async fn start(called_back: Function) -> (Program, Site) {
    let mut site =
        Site::new([Function::new("slow", "sh -c 'while [ ! -e gate ]; do sleep 0.1; done; cat'"), called_back]);
    let up = site.up_with_password(&[]).await;
    (up, site)
}

/// Queues a call that waits for the gate and then calls back.
async fn queue(caller: &Gateway) -> Answer {
    let call = caller.post("/async-function/slow").header("X-Call-Id", FIRST);
    answer_to(call.header("X-Callback-Url", "skep://payroll").body("salary")).await
}

async fn update(site: &Site, function: &Function) {
    let body = function.deployment(site.folder());
    assert_eq!(site.gateway.send(Method::PUT, "/system/functions", &body).await.status, 202);
    site.wait_for_function(&function.name).await;
}

async fn dead_letter(site: &Site) -> Value {
    wait_for("the callback's dead letter", async || {
        let letters = answer_to(site.gateway.get("/system/dead?kind=callback")).await.json();
        letters.as_array().unwrap().first().cloned()
    })
    .await
}

#[tokio::test]
async fn a_function_that_asks_for_a_token_meanwhile_is_not_called_back_for_a_stranger() {
    let (_up, site) = start(payroll()).await;
    let stranger = Gateway::new(site.gateway.url.clone());
    assert_eq!(queue(&stranger).await.status, 202, "nobody asks for a token yet");
    update(&site, &guarded_payroll()).await;
    site.open_gate();
    let letter = dead_letter(&site).await;
    let reason = letter["reason"].as_str().unwrap();
    assert!(reason.contains("function payroll asks for a token (skep.auth)"), "{letter}");
    assert_eq!(site.runs(), Vec::<String>::new());

    // Its operator may call the function, and takes it upon himself.
    let path = format!("/system/dead/{FIRST}/redrive?kind=callback");
    assert_eq!(answer_to(site.gateway.post(&path)).await.status, 202);
    site.wait_for_runs(1).await;
}

#[tokio::test]
async fn a_caller_with_a_token_is_called_back() {
    let (up, site) = start(guarded_payroll()).await;
    let stranger = Gateway::new(site.gateway.url.clone());
    queue(&stranger).await.assert_refused(401);
    let data = site.data.to_str().unwrap();
    let mut tokens = Vec::new();
    for role in ["read", "invoke"] {
        let create = ["token", "create", role, "--role", role, "--data-dir", data];
        tokens.push(site.client(&create).await.said().trim().to_owned());
        let count = tokens.len();
        wait_until("the token counts", async || up.stderr().matches("the tokens were read again").count() >= count)
            .await;
    }
    let holder = |token: &str| stranger.clone().with_credentials("x", token);
    queue(&holder(&tokens[0])).await.assert_refused(403);
    assert_eq!(queue(&holder(&tokens[1])).await.status, 202);
    site.open_gate();
    site.wait_for_runs(1).await;
    assert_eq!(site.runs(), [format!("{FIRST}-callback")]);
    let status = site.gateway.call_status(FIRST).await.unwrap();
    assert!(!status.to_string().contains("uthorized"), "it is kept, and not shown: {status}");
}

#[tokio::test]
async fn who_publishes_over_nats_has_shown_who_he_is() {
    let (_up, site) = start(guarded_payroll()).await;
    site.open_gate();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("X-Callback-Url", "skep://payroll");
    let client = site.nats_client().await;
    client.publish_with_headers("skep.publish.slow", headers, "salary".into()).await.unwrap();
    client.flush().await.unwrap();
    site.wait_for_runs(1).await;
}
