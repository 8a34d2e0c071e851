//! Keys and secrets are replaced while they are used, and nothing is refused or lost.

use std::fs;

use http::{Method, StatusCode};
use rustix::process::Signal;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::harness::{
    Answer, Callback, Function, Gateway, Platform, Receiver, Roles, answer_to, payload, signature, wait_for, wait_until,
};

const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Whether a callback verifies with the first key, and with the second.
fn verifies(callback: &Callback) -> [bool; 2] {
    [FIRST, SECOND].map(|key| Webhook::new(key).unwrap().verify(&callback.body, &callback.headers).is_ok())
}

/// Stops the queue-worker in order, and starts another one with these keys.
async fn restart_worker(roles: &mut Roles, keys: &[&str]) {
    let file = roles.site.path("callback.key");
    fs::write(&file, keys.join("\n")).unwrap();
    roles.worker.signal(Signal::TERM);
    roles.worker.ended().await;
    let keys = ["--callback-key-file", file.to_str().unwrap()];
    roles.worker = roles.site.start_worker_with(roles.site.worker_admin, &keys).await;
}

async fn queue(gateway: &Gateway, receiver: &Receiver) -> String {
    let request = gateway.post("/async-function/cat").header("X-Callback-Url", &receiver.url);
    let answer = answer_to(request.body("honey")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.header("x-call-id").to_owned()
}

/// Waits for a callback of a call that verifies with these of the two keys.
async fn comes_signed(receiver: &Receiver, id: &str, with: [bool; 2]) {
    wait_until(&format!("a callback of {id} that verifies: {with:?}"), async || {
        receiver.callbacks().iter().any(|one| one.header("x-call-id") == id && verifies(one) == with)
    })
    .await;
}

#[tokio::test]
async fn receivers_verify_with_either_key_while_the_key_of_callbacks_is_replaced() {
    let mut roles = Roles::start([Function::cat()]).await;
    let gateway = roles.gateway.clone();
    restart_worker(&mut roles, &[FIRST]).await;
    // Several tries fail, so a callback of before is still sent by the worker that has both keys, however slowly that starts.
    let receiver = Receiver::refusing(4, StatusCode::SERVICE_UNAVAILABLE).await;
    let first = queue(&gateway, &receiver).await;
    assert_eq!(verifies(&receiver.wait_for(1).await[0]), [true, false]);
    restart_worker(&mut roles, &[SECOND, FIRST]).await;
    comes_signed(&receiver, &first, [true, true]).await;
    let second = queue(&gateway, &receiver).await;
    comes_signed(&receiver, &second, [true, true]).await;
    restart_worker(&mut roles, &[SECOND]).await;
    let third = queue(&gateway, &receiver).await;
    comes_signed(&receiver, &third, [false, true]).await;
}

/// A push that is signed with a secret.
async fn push(gateway: &Gateway, secret: &str, delivery: &str) -> Answer {
    let body = payload("push");
    let request = gateway.unsigned_webhook("github", "push", delivery, &body);
    answer_to(request.header("X-Hub-Signature-256", signature(secret, body.as_bytes()))).await
}

/// Signs with a secret until the answer has this status.
async fn settles(gateway: &Gateway, secret: &str, status: u16) -> Answer {
    let mut number = 0;
    wait_for(&format!("{status} for {secret}"), async || {
        number += 1;
        let answer = push(gateway, secret, &format!("{secret}-{status}-{number}")).await;
        Some(answer).filter(|answer| answer.status == status)
    })
    .await
}

#[tokio::test]
async fn both_secrets_of_a_source_count_until_the_old_one_is_removed() {
    let platform = Platform::start([Function::counted()]).await;
    let gateway = &platform.gateway;
    let routes = json!([{ "to": "counted", "filter": { "type": "push" } }]);
    let source = json!({ "name": "github", "preset": "github", "routes": routes });
    assert_eq!(gateway.send(Method::POST, "/system/sources", &source).await.status, 201);
    gateway.add_secret("github", "old").await;
    settles(gateway, "old", 202).await;
    gateway.add_secret("github", "new").await;
    settles(gateway, "new", 202).await;
    for number in 0..20 {
        for secret in ["old", "new"] {
            let answer = push(gateway, secret, &format!("both-{secret}-{number}")).await;
            assert_eq!(answer.status, 202, "{answer:?}");
        }
    }
    let removed = gateway.send(Method::DELETE, "/system/sources/github/secrets", &json!({ "number": 1 })).await;
    assert_eq!(removed.status, 200, "{removed:?}");
    settles(gateway, "old", 401).await;
    assert_eq!(push(gateway, "new", "after").await.status, 202);
    let listed: Value = answer_to(gateway.get("/system/sources/github/secrets")).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
}
