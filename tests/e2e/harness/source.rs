//! A source of GitHub's webhooks, and its sender.

use std::fs;

use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Answer, Gateway, Site, answer_to, repository, wait_for, wait_until};

const SECRET: &str = "It's a Secret to Everybody";

/// What `SKEP_SEAL_KEY_FILE` names for roles that are processes of their own.
const SEAL_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

impl Site {
    /// Gives the roles a key for secrets of sources.
    pub(crate) fn with_seal_key(mut self) -> Self {
        let file = self.path("seal.key");
        fs::write(&file, SEAL_KEY).unwrap();
        self.environment.push(("SKEP_SEAL_KEY_FILE", file.to_str().unwrap().to_owned()));
        self
    }
}

/// A real webhook of GitHub.
pub(crate) fn payload(event: &str) -> String {
    fs::read_to_string(repository().join(format!("tests/fixtures/github/{event}.json"))).unwrap()
}

/// The signature that GitHub sends.
pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

impl Gateway {
    /// Declares a source and gives it its secret, and waits until both count.
    pub(crate) async fn declare(&self, name: &str, mut spec: Value) {
        spec["name"] = name.into();
        let answer = self.send(Method::POST, "/system/sources", &spec).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        self.add_secret(name, SECRET).await;
        self.wait_for_source(name).await;
    }

    pub(crate) async fn add_secret(&self, source: &str, secret: &str) {
        let path = format!("/system/sources/{source}/secrets");
        let answer = self.send(Method::POST, &path, &json!({ "value": secret })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Waits until a source takes events: GitHub's own first one is a ping, which no route wants. The gateway signs it, so none is held before the secret counts.
    pub(crate) async fn wait_for_source(&self, source: &str) {
        let headers = json!({ "X-GitHub-Event": "ping", "X-GitHub-Delivery": "ping" });
        let ping = json!({ "headers": headers, "text": r#"{"zen":"Keep it logically awesome."}"# });
        wait_until("the source takes events", async || {
            let answer = self.send(Method::POST, &format!("/system/sources/{source}/send"), &ping).await;
            answer.status == 200 && answer.json()["eventId"] == "ping"
        })
        .await;
    }

    /// Waits until the gateway knows that a source is gone.
    pub(crate) async fn wait_for_no_source(&self, source: &str) {
        wait_until("the source is gone", async || {
            answer_to(self.webhook(source, "ping", "ping", "{}")).await.status == 404
        })
        .await;
    }

    /// A webhook as GitHub sends it.
    pub(crate) fn webhook(&self, source: &str, event: &str, delivery: &str, body: &str) -> RequestBuilder {
        self.unsigned_webhook(source, event, delivery, body)
            .header("X-Hub-Signature-256", signature(SECRET, body.as_bytes()))
    }

    pub(crate) fn unsigned_webhook(&self, source: &str, event: &str, delivery: &str, body: &str) -> RequestBuilder {
        let request = self.post(&format!("/hooks/{source}")).body(body.to_owned());
        let request =
            request.header("Content-Type", "application/json").header("User-Agent", "GitHub-Hookshot/044aadd");
        request.header("X-GitHub-Event", event).header("X-GitHub-Delivery", delivery)
    }

    /// Sends a push, which must be accepted.
    pub(crate) async fn push(&self, source: &str, delivery: &str) -> Answer {
        let answer = answer_to(self.webhook(source, "push", delivery, &payload("push"))).await;
        assert_eq!((answer.status, answer.header("x-skep-event-id")), (202, delivery), "{answer:?}");
        answer
    }

    /// Waits until the API counts these duplicates of a source. They are noted after the answer to the sender.
    pub(crate) async fn wait_for_duplicates(&self, source: &str, count: u64) {
        wait_until("the count of duplicates", async || {
            let status = answer_to(self.get(&format!("/system/sources/{source}"))).await.json();
            status["counts"]["duplicates"] == count
        })
        .await;
    }

    /// What the API says of an event.
    pub(crate) async fn event(&self, source: &str, id: &str) -> Value {
        let answer = answer_to(self.get(&format!("/system/sources/{source}/events/{id}"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// The same once all calls of the event are known: it is stored before it is routed.
    pub(crate) async fn routed_event(&self, source: &str, id: &str) -> Value {
        wait_for("the event is routed", async || {
            let event = self.event(source, id).await;
            event["calls"].as_array().unwrap().iter().all(|call| call["state"].is_string()).then_some(event)
        })
        .await
    }
}
