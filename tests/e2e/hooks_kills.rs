//! A gateway or a worker is killed with -9 between any two steps of an event's life: each event that was answered 2xx makes one call for each of its routes.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;

use crate::harness::{
    Function, Gateway,
    Moment::{self, Acknowledged, Delivered, Published},
    Roles, Site, Tap, wait_until,
};

const ROUTES: [&str; 3] = ["deploy", "audit", "archive"];
const EVENT: &str = "skep.event.";
const CALL: &str = "skep.invoke.";
const RECORD: &str = "skep.calls.";

/// A moment at which a role is killed.
struct Step {
    name: &'static str,
    /// The message that is the last one, and how many of its kind come before it.
    at: (Moment, usize),
    /// Whether it comes through, and only what follows does not.
    comes_through: bool,
}

const fn step(name: &'static str, moment: Moment, passed_over: usize, comes_through: bool) -> Step {
    Step { name, at: (moment, passed_over), comes_through }
}

/// The gateway has read the request; nothing is stored, or it is stored and not answered yet.
const OF_GATEWAY: [Step; 2] =
    [step("event-not-stored", Published(EVENT), 0, false), step("event-stored", Published(EVENT), 0, true)];

/// The calls of an event are queued.
const OF_WORKER: [Step; 11] = [
    step("event-handed-out", Delivered(EVENT), 0, false),
    step("no-call-of-three", Published(CALL), 0, false),
    step("one-of-three", Published(CALL), 0, true),
    step("two-of-three", Published(CALL), 1, true),
    step("three-of-three", Published(CALL), 2, true),
    step("event-not-acked", Acknowledged(EVENT), 0, false),
    step("event-acked", Acknowledged(EVENT), 0, true),
    step("call-handed-out", Delivered(CALL), 0, false),
    step("call-not-recorded", Published(RECORD), 0, false),
    step("calls-recorded", Published(RECORD), 2, true),
    step("calls-not-acked", Acknowledged(CALL), 2, false),
];

/// They run straight from it.
const OF_DIRECT: [Step; 7] = [
    step("event-handed-out", Delivered(EVENT), 0, false),
    step("no-record-of-three", Published(RECORD), 0, false),
    step("one-of-three", Published(RECORD), 0, true),
    step("two-of-three", Published(RECORD), 1, true),
    step("three-of-three", Published(RECORD), 2, true),
    step("event-not-acked", Acknowledged(EVENT), 0, false),
    step("event-acked", Acknowledged(EVENT), 0, true),
];

/// Writes the event and the route of each run to the file `runs`.
fn noting(name: &str) -> Function {
    Function::new(name, r#"sh -c 'echo "$Http_X_Skep_Event_Id $Http_X_Skep_Route" >> runs; cat'"#)
}

/// Roles of which one reaches NATS through a wire that can be tapped.
struct Tapped {
    roles: Roles,
    tap: Tap,
    direct: String,
}

impl Tapped {
    async fn start(direct_events: &str) -> Self {
        let mut site = Site::new(ROUTES.map(noting)).with_seal_key();
        site.environment.push(("SKEP_DIRECT_EVENTS", direct_events.to_owned()));
        let roles = Roles::start_at(site).await;
        let route = |to: &str| json!({ "to": to, "filter": { "type": "push" } });
        let spec = json!({ "preset": "github", "routes": ROUTES.map(route) });
        roles.gateway.declare("github", spec).await;
        let tap = Tap::start(roles.site.nats).await;
        let direct = roles.site.nats_url.clone();
        Self { roles, tap, direct }
    }

    async fn start_gateway(&mut self) {
        self.roles.site.nats_url.clone_from(&self.tap.url);
        self.roles.role_gateway = self.roles.site.start_gateway(&[]).await;
        self.roles.site.nats_url.clone_from(&self.direct);
        self.roles.gateway.wait_for_source("github").await;
    }

    async fn start_worker(&mut self) {
        self.roles.site.nats_url.clone_from(&self.tap.url);
        self.roles.worker = self.roles.site.start_worker().await;
        self.roles.site.nats_url.clone_from(&self.direct);
    }

    fn set(&self, step: &Step) {
        let (moment, passed_over) = step.at;
        self.tap.set(moment, step.name, passed_over, step.comes_through);
    }

    async fn caught(&self, step: &Step) {
        wait_until(&format!("the moment {}", step.name), async || self.tap.has_caught()).await;
    }

    /// How often each route of an event has run.
    fn runs(&self, event: &str) -> [usize; ROUTES.len()] {
        let runs = self.roles.site.runs();
        ROUTES.map(|route| runs.iter().filter(|run| **run == format!("{event} {route}")).count())
    }

    /// The subjects of all records of calls that events have made.
    async fn records(&self) -> Vec<String> {
        let calls = crate::nats::stream(&self.roles.site, "SKEP_CALLS").await;
        let mut info = calls.info_with_subjects("skep.calls.*.*").await.unwrap();
        let mut records = Vec::new();
        while let Some(subject) = info.next().await {
            let (subject, messages) = subject.unwrap();
            assert_eq!(messages, 1, "{subject}");
            records.extend(subject.rsplit('.').next().filter(|id| id.starts_with("ev-github-")).map(str::to_owned));
        }
        records
    }

    /// Checks that each event has one call of each route, which has succeeded, and that there are no others.
    async fn check(&self, steps: &[Step]) {
        let mut expected = Vec::new();
        for step in steps {
            let event = self.roles.gateway.routed_event("github", step.name).await;
            assert_eq!(event["outcome"], "routed", "{event}");
            for call in event["calls"].as_array().unwrap() {
                let id = call["callId"].as_str().unwrap();
                let status = self.roles.gateway.finished(id).await;
                assert_eq!(status["state"], "succeeded", "{}: {status}", step.name);
                expected.push(id.to_owned());
            }
        }
        let mut records = self.records().await;
        records.sort();
        expected.sort();
        assert_eq!(records, expected);
        assert_eq!(expected.len(), steps.len() * ROUTES.len());
        for step in steps {
            // A call whose worker was killed before its record was stored has run once more.
            let runs = self.runs(step.name);
            assert!(runs.iter().all(|runs| *runs > 0), "{}: {runs:?}", step.name);
        }
    }
}

/// Sends an event until it is answered 202, as a provider does.
async fn send(gateway: Gateway, name: &'static str) {
    let body = json!({ "delivery": name }).to_string();
    loop {
        let sent = gateway.webhook("github", "push", name, &body).send().await;
        if sent.is_ok_and(|answer| answer.status() == 202) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_event_is_routed_once_wherever_the_gateway_is_killed() {
    let mut tapped = Tapped::start("256").await;
    for step in &OF_GATEWAY {
        tapped.roles.role_gateway.kill();
        tapped.start_gateway().await;
        tapped.set(step);
        let sender = tokio::spawn(send(tapped.roles.gateway.clone(), step.name));
        tapped.caught(step).await;
        assert!(!sender.is_finished(), "the sender has no answer before it is stored");
        tapped.roles.role_gateway.kill();
        tapped.tap.cut();
        tapped.start_gateway().await;
        sender.await.unwrap();
    }
    tapped.check(&OF_GATEWAY).await;
}

#[tokio::test]
async fn an_event_is_routed_once_wherever_the_worker_is_killed() {
    killed_at_each(&OF_WORKER, "0").await;
}

#[tokio::test]
async fn a_call_straight_from_its_event_is_recorded_once_wherever_the_worker_is_killed() {
    killed_at_each(&OF_DIRECT, "256").await;
}

async fn killed_at_each(steps: &[Step], direct_events: &str) {
    let mut tapped = Tapped::start(direct_events).await;
    for step in steps {
        tapped.roles.worker.kill();
        tapped.tap.cut();
        tapped.start_worker().await;
        tapped.set(step);
        send(tapped.roles.gateway.clone(), step.name).await;
        tapped.caught(step).await;
    }
    tapped.roles.worker.kill();
    tapped.tap.cut();
    tapped.start_worker().await;
    tapped.check(steps).await;
}

#[tokio::test]
async fn a_call_that_runs_while_its_worker_is_killed_ends_with_one_record() {
    let mut roles = Roles::start_at(Site::new([Function::gated()]).with_seal_key()).await;
    let routes = json!([{ "to": "gated", "filter": { "type": "push" } }]);
    roles.gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    send(roles.gateway.clone(), "running").await;
    roles.site.wait_for_runs(1).await;
    roles.worker.kill();
    roles.worker = roles.site.start_worker().await;
    roles.site.wait_for_runs(2).await;
    roles.site.open_gate();
    let event = roles.gateway.routed_event("github", "running").await;
    let call = event["calls"][0]["callId"].as_str().unwrap();
    let status = roles.gateway.finished(call).await;
    assert_eq!((&status["state"], &status["attempts"]), (&json!("succeeded"), &json!(1)), "{status}");
    assert_eq!(roles.site.runs(), [call, call]);
}
