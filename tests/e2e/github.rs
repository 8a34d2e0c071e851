//! The proof on real input: GitHub's webhooks, 500 at once, answered by callbacks, also when the queue-worker is killed meanwhile.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::harness::{Callback, Function, Gateway, Platform, Receiver, Roles, Site, answer_to, repository, wait_until};

const CALLS: usize = 500;
const EVENTS: [&str; 3] = ["push", "issues", "pull_request"];

/// A webhook as GitHub sends it, and what the function must say of it.
struct Webhook {
    headers: Vec<(String, String)>,
    body: String,
    facts: Value,
}

fn webhook(event: &str) -> Webhook {
    let folder = repository().join("tests/fixtures/github");
    let headers = fs::read_to_string(folder.join(format!("{event}.headers"))).unwrap();
    let headers = headers.lines().filter_map(|line| line.split_once(": "));
    let body = fs::read_to_string(folder.join(format!("{event}.json"))).unwrap();
    let payload: Value = serde_json::from_str(&body).unwrap();
    Webhook {
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        facts: facts(event, &payload),
        body,
    }
}

/// What stands in a payload, read without the function.
fn facts(event: &str, payload: &Value) -> Value {
    let mut facts = json!({
        "event": event,
        "repository": payload["repository"]["full_name"],
        "sender": payload["sender"]["login"],
    });
    let item = match event {
        "push" => {
            facts["ref"] = payload["ref"].clone();
            facts["before"] = payload["before"].clone();
            facts["after"] = payload["after"].clone();
            facts["commits"] = payload["commits"].as_array().unwrap().len().into();
            return facts;
        }
        "issues" => &payload["issue"],
        _ => &payload["pull_request"],
    };
    facts["action"] = payload["action"].clone();
    for (fact, field) in [("number", "number"), ("title", "title"), ("url", "html_url")] {
        facts[fact] = item[field].clone();
    }
    facts
}

/// The sample, which also writes down each run, beyond its folder.
fn function() -> Function {
    let command = r#"sh -c 'echo "$Http_X_Call_Id" >> "$LC_SKEP_SITE/../runs"; exec python3 -I -S github-summary.py'"#;
    let folder = repository().join("functions/github-summary");
    Function::new("github-summary", command)
        .folder(folder)
        .env("content_type", "application/json")
        .annotation("skep.sandbox", "off")
}

/// What was sent, by call id: which event, under which delivery.
type Sent = HashMap<String, (usize, String)>;

/// Sends all of them at once; each must be accepted.
async fn send(gateway: &Gateway, webhooks: &[Webhook], callback: &str, run: &str) -> Sent {
    let calls = stream::iter(0..CALLS).map(async |number| {
        let event = number % EVENTS.len();
        let (id, delivery) = (format!("{run}-{number}"), format!("{run}-delivery-{number}"));
        let mut request = gateway.post("/async-function/github-summary").body(webhooks[event].body.clone());
        for (name, value) in &webhooks[event].headers {
            let value = if name == "X-GitHub-Delivery" { &delivery } else { value };
            request = request.header(name, value);
        }
        let answer = answer_to(request.header("X-Call-Id", &id).header("X-Callback-Url", callback)).await;
        assert_eq!((answer.status, answer.header("x-skep-duplicate")), (202, ""), "{answer:?}");
        assert_eq!(answer.header("x-call-id"), id);
        (id, (event, delivery))
    });
    calls.buffer_unordered(CALLS).collect().await
}

/// Checks a callback against the payload that it is about, and returns its call id.
fn check(callback: &Callback, sent: &Sent, webhooks: &[Webhook]) -> String {
    let id = callback.header("x-call-id");
    let (event, delivery) = sent.get(id).unwrap_or_else(|| panic!("nobody sent {id}"));
    let said: Value = serde_json::from_slice(&callback.body).unwrap_or_else(|error| panic!("{error}: {callback:?}"));
    for (fact, value) in webhooks[*event].facts.as_object().unwrap() {
        assert_eq!(&said[fact], value, "{fact} of {id}");
    }
    assert_eq!(said["delivery"], *delivery);
    assert!(said["summary"].as_str().is_some_and(|summary| summary.contains("Codertocat")), "{said}");
    assert_eq!((callback.header("x-function-name"), callback.header("x-function-status")), ("github-summary", "200"));
    id.to_owned()
}

fn distinct(callbacks: &[Callback]) -> HashSet<String> {
    callbacks.iter().map(|callback| callback.header("x-call-id").to_owned()).collect()
}

/// Checks that there is one record for each call, and that each says the call succeeded.
async fn check_records(gateway: &Gateway, site: &Site, sent: &Sent) {
    let records = crate::nats::stream(site, "SKEP_CALLS").await;
    let mut info = records.info_with_subjects("skep.calls.*.*").await.unwrap();
    let mut subjects = BTreeMap::new();
    while let Some(subject) = info.next().await {
        let (subject, count) = subject.unwrap();
        subjects.insert(subject.rsplit('.').next().unwrap().to_owned(), count);
    }
    assert_eq!(subjects.len(), CALLS);
    assert!(subjects.iter().all(|(id, count)| sent.contains_key(id) && *count == 1), "{subjects:?}");
    for id in sent.keys() {
        let status = gateway.call_status(id).await.unwrap();
        assert_eq!(status["state"], "succeeded", "{status}");
    }
}

#[tokio::test]
async fn webhooks_come_back_500_at_once() {
    let platform = Platform::start([function()]).await;
    let (webhooks, receiver) = (EVENTS.map(webhook), Receiver::start().await);
    let sent = send(&platform.gateway, &webhooks, &receiver.url, "calm").await;
    assert_eq!(sent.len(), CALLS);
    let callbacks = receiver.wait_for(CALLS).await;
    let ids: HashSet<String> = callbacks.iter().map(|callback| check(callback, &sent, &webhooks)).collect();
    assert_eq!(ids.len(), CALLS, "each call has its callback");
    check_records(&platform.gateway, &platform.site, &sent).await;
    assert_eq!(receiver.callbacks().len(), CALLS, "no callback comes twice");
    assert_eq!(platform.site.runs().len(), CALLS, "no call runs twice");
}

#[tokio::test]
async fn webhooks_come_back_500_at_once_although_the_worker_is_killed() {
    let mut roles = Roles::start([function()]).await;
    let (webhooks, receiver) = (EVENTS.map(webhook), Receiver::start().await);
    let sent = send(&roles.gateway, &webhooks, &receiver.url, "stormy").await;
    assert_eq!(sent.len(), CALLS);
    receiver.wait_for(CALLS / 5).await;
    roles.worker.kill();
    let before = receiver.callbacks().len();
    assert!(before < CALLS, "it was killed in the middle");
    roles.worker = roles.site.start_worker().await;
    for more in before..=CALLS {
        wait_until("a callback for one more call", async || distinct(&receiver.callbacks()).len() >= more).await;
    }
    check_records(&roles.gateway, &roles.site, &sent).await;
    let callbacks = receiver.callbacks();
    for callback in &callbacks {
        check(callback, &sent, &webhooks);
    }
    let runs = roles.site.runs();
    assert_eq!(runs.iter().collect::<HashSet<_>>().len(), CALLS);
    eprintln!(
        "the worker was killed after {before} of {CALLS} callbacks; {} runs and {} callbacks came twice",
        runs.len() - CALLS,
        callbacks.len() - CALLS
    );
}
