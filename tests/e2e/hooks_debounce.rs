//! Debounced routes: of the events of a burst the last one makes the call that runs.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::{Function, Gateway, Platform, Roles, Site, answer_to, free_address, metrics_of, wait_until};

/// Writes down which event it got.
fn deploy() -> Function {
    Function::new("deploy", r#"sh -c 'echo "$Http_X_Skep_Event_Id" >> runs; cat'"#)
}

fn source(debounce: &Value) -> Value {
    json!({ "preset": "github", "routes": [{ "to": "deploy", "filter": { "type": "push" }, "debounce": debounce }] })
}

/// Sends a push of a branch until it is accepted, as GitHub would if somebody pressed its button.
async fn push(gateway: &Gateway, delivery: &str, branch: &str) {
    let body = json!({ "ref": branch }).to_string();
    loop {
        let sent = gateway.webhook("github", "push", delivery, &body).send().await;
        if sent.is_ok_and(|answer| answer.status() == 202) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An event, when it came, and how its call has ended.
struct Ended {
    event: String,
    received_at: OffsetDateTime,
    status: Value,
}

impl Ended {
    fn routed_at(&self) -> OffsetDateTime {
        OffsetDateTime::parse(self.status["acceptedAt"].as_str().unwrap(), &Rfc3339).unwrap()
    }
}

async fn ended(gateway: &Gateway, events: impl IntoIterator<Item = String>) -> Vec<Ended> {
    let mut all = Vec::new();
    for event in events {
        let reported = gateway.routed_event("github", &event).await;
        let received_at = OffsetDateTime::parse(reported["receivedAt"].as_str().unwrap(), &Rfc3339).unwrap();
        let status = gateway.finished(reported["calls"][0]["callId"].as_str().unwrap()).await;
        all.push(Ended { event, received_at, status });
    }
    all.sort_by_key(|one| one.received_at);
    all
}

/// Checks that of each burst the last call has run, and that all others say what replaced them; returns those that ran.
fn check_bursts(ended: &[Ended], wait: Duration, at_most: Option<Duration>) -> Vec<String> {
    let (mut begins, mut due) = (OffsetDateTime::UNIX_EPOCH, OffsetDateTime::UNIX_EPOCH);
    let mut last: Vec<&Ended> = Vec::new();
    for one in ended {
        // Where the routing of an event takes until its burst is due, it begins another one.
        let is_late = last.last().is_some_and(|before| before.status["state"] == "succeeded")
            && one.routed_at() + Duration::from_secs(1) > due;
        if one.received_at <= due && !is_late {
            last.pop();
        } else {
            begins = one.received_at.max(due + Duration::from_nanos(1));
        }
        due = at_most.map_or(one.received_at + wait, |at_most| (one.received_at + wait).min(begins + at_most));
        last.push(one);
    }
    for Ended { event, status, .. } in ended {
        let is_last = last.iter().any(|last| last.event == *event);
        assert_eq!(status["state"], if is_last { "succeeded" } else { "cancelled" }, "{event}: {status}");
        let reason = status["reason"].as_str().unwrap_or_default();
        assert!(is_last || reason.starts_with("a later event came: it was replaced by ev-github-"), "{status}");
    }
    last.into_iter().map(|last| last.event.clone()).collect()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

#[tokio::test]
async fn a_burst_of_events_makes_one_call_with_the_last_of_them() {
    const WAIT: Duration = Duration::from_secs(3);
    let platform = Platform::start([deploy()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    gateway.declare("github", source(&json!({ "key": "body.ref", "wait": "3s" }))).await;
    let mut expected = Vec::new();
    let name = |branch: &str, number: u32| format!("{branch}-{number}");
    for number in 0..12 {
        for branch in ["main", "dev"] {
            push(gateway, &name(branch, number), branch).await;
        }
    }
    for branch in ["main", "dev"] {
        let ended = ended(gateway, (0..12).map(|number| name(branch, number))).await;
        expected.extend(check_bursts(&ended, WAIT, None));
    }
    assert!(expected.len() < 24, "no event has replaced another one");
    assert_eq!(sorted(site.runs()), sorted(expected));
    // It comes again, and is no event of its own.
    push(gateway, &name("main", 11), "main").await;
    let replay = gateway.send(Method::POST, "/system/sources/github/replay", &json!({ "ids": ["main-0"] })).await;
    let replayed = replay.json()["calls"][0]["callId"].as_str().unwrap().to_owned();
    assert_eq!(gateway.finished(&replayed).await["state"], "succeeded", "a replay is not debounced");
    let audit = site.client(&["audit"]).await;
    assert_eq!(audit.code, Some(0), "{audit:?}");
    assert!(metrics_of(site.admin).await.contains(r#"state="cancelled"} "#));
}

#[tokio::test]
async fn a_burst_that_goes_on_is_cut_off_after_its_longest_time() {
    let platform = Platform::start([deploy()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    gateway.declare("github", source(&json!({ "wait": "4s", "at_most": "5s" }))).await;
    let mut sent = 0;
    while site.runs().is_empty() {
        push(gateway, &format!("delivery-{sent}"), "main").await;
        sent += 1;
        assert!(sent < 10_000, "no call has run");
    }
    let ended = ended(gateway, (0..sent).map(|number| format!("delivery-{number}"))).await;
    let expected = check_bursts(&ended, Duration::from_secs(4), Some(Duration::from_secs(5)));
    assert_eq!(sorted(site.runs()), sorted(expected));
}

#[tokio::test]
async fn a_burst_makes_one_call_although_workers_and_gateway_are_killed() {
    const EVENTS: usize = 150;
    let mut roles = Roles::start_at(Site::new([deploy()]).with_seal_key()).await;
    // Two workers route and end the same burst.
    let _other = roles.site.start_worker_with(free_address(), &[]).await;
    let gateway = roles.gateway.clone();
    gateway.declare("github", source(&json!({ "wait": "2s" }))).await;
    let events = || (0..EVENTS).map(|number| format!("delivery-{number}"));
    let sender = tokio::spawn(async move {
        for event in events() {
            push(&gateway, &event, "main").await;
        }
    });
    let mut kept = crate::nats::stream(&roles.site, "SKEP_EVENTS").await;
    for round in 1..=3 {
        wait_until("some events are stored", async || {
            kept.info().await.is_ok_and(|info| info.state.messages as usize > EVENTS * round / 4)
        })
        .await;
        roles.worker.kill();
        if round == 2 {
            roles.role_gateway.kill();
            roles.role_gateway = roles.site.start_gateway(&[]).await;
        }
        roles.worker = roles.site.start_worker().await;
    }
    sender.await.unwrap();
    let ended = ended(&roles.gateway, events()).await;
    let expected = check_bursts(&ended, Duration::from_secs(2), None);
    // kill -9 in the middle of a call makes it run twice.
    let mut runs = sorted(roles.site.runs());
    runs.dedup();
    assert_eq!(runs, sorted(expected));
    let audit = roles.site.client(&["audit"]).await;
    assert_eq!(audit.code, Some(0), "{audit:?}");
    let records = answer_to(roles.gateway.get("/system/calls?state=cancelled&limit=1000")).await.text();
    eprintln!("{} runs, {} replaced", runs.len(), records.matches(r#""callId":"ev-"#).count());
}
