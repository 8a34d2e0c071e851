//! Each role has a user of its own on the NATS server, and may do there what it needs and nothing else.

use std::{fs, net::SocketAddr};

use async_nats::{Client, ConnectOptions, Event, ServerError};
use serde_json::json;
use tokio::sync::{Mutex, mpsc};

use crate::harness::{DEADLINE, Function, Platform, Program, Roles, Site, wait_until};

const STREAMS: [&str; 25] = [
    "INVOKE",
    "BACKLOG",
    "PUBLISH",
    "DELAYED",
    "CALLS",
    "TRIES",
    "DEAD",
    "LEDGER",
    "EVENTS",
    "REPLAYS",
    "BURSTS",
    "REFUSED",
    "HELD",
    "DUPLICATES",
    "SAMPLES",
    "TOPICS",
    "AUDIT",
    "REQUESTS",
    "RESULTS",
    "IMAGES",
    "FUNCTIONS",
    "VERSIONS",
    "SOURCES",
    "NAMESPACES",
    "CONTROLLER",
];

/// A client with the user of a role, and what the server said that it may not do.
struct Intruder {
    client: Client,
    refusals: Mutex<mpsc::UnboundedReceiver<String>>,
}

impl Intruder {
    async fn connect(server: SocketAddr, role: &str, password: &str) -> Self {
        let (sender, refusals) = mpsc::unbounded_channel();
        let options = ConnectOptions::with_user_and_password(format!("skep-{role}"), password.to_owned())
            .request_timeout(Some(DEADLINE))
            .custom_inbox_prefix(format!("_INBOX_skep_{role}"))
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(refusal)) = event {
                    let _ = sender.send(refusal);
                }
                std::future::ready(())
            });
        let client = options.connect(server.to_string()).await.unwrap();
        Self { client, refusals: Mutex::new(refusals) }
    }

    /// The server says so before it answers anything that comes later.
    async fn is_refused(&self, what: &str, subject: &str) {
        let said = tokio::time::timeout(DEADLINE, async { self.refusals.lock().await.recv().await }).await;
        let said = said.unwrap_or_else(|_| panic!("{what} {subject:?} was not refused")).unwrap();
        assert_eq!(said, format!("Permissions Violation for {what} \"{subject}\""));
    }

    async fn may_not_publish(&self, subject: &str, body: &str) {
        self.client.publish(subject.to_owned(), body.to_owned().into()).await.unwrap();
        self.client.flush().await.unwrap();
        self.is_refused("Publish to", subject).await;
    }

    async fn may_not_hear(&self, subject: &str) {
        let _heard = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.client.flush().await.unwrap();
        self.is_refused("Subscription to", subject).await;
    }

    async fn may_not_read(&self, streams: &[&str]) {
        for stream in streams {
            self.may_not_publish(&format!("$JS.API.CONSUMER.CREATE.{stream}.mine"), "{}").await;
        }
    }

    async fn may_not_touch_streams(&self, names: &[&str], verbs: &[&str]) {
        for name in names {
            let bucket = ["FUNCTIONS", "VERSIONS", "SOURCES", "NAMESPACES", "CONTROLLER"].contains(name);
            let stream = format!("{}SKEP_{name}", if bucket { "KV_" } else { "" });
            for verb in verbs {
                self.may_not_publish(&format!("$JS.API.STREAM.{verb}.{stream}"), "{}").await;
            }
        }
    }

    async fn gets_its_own_answers(&self) {
        let answer = self.client.request("$JS.API.STREAM.INFO.SKEP_INVOKE", "".into()).await.unwrap();
        assert!(String::from_utf8_lossy(&answer.payload).contains("SKEP_INVOKE"));
    }

    /// Those that the queue-workers pull.
    async fn may_not_use_consumers(&self) {
        for consumer in ["INVOKE.lane-0", "INVOKE.lane-15", "DELAYED.due", "CALLS.callbacks", "EVENTS.route"] {
            for verb in ["CREATE", "DELETE", "MSG.NEXT"] {
                self.may_not_publish(&format!("$JS.API.CONSUMER.{verb}.SKEP_{consumer}"), "{}").await;
            }
            self.may_not_publish(&format!("$JS.API.CONSUMER.CREATE.SKEP_{consumer}.skep.mine"), "{}").await;
        }
    }
}

/// What no role may do but the controller, and what even it may not.
async fn intrude(server: SocketAddr, password: impl Fn(&str) -> String) {
    let connect = async |role: &'static str| Intruder::connect(server, role, &password(role)).await;
    let (gateway, worker, controller) =
        (connect("gateway").await, connect("queue-worker").await, connect("controller").await);
    let spec = json!({ "spec": { "service": "mine" } }).to_string();
    for intruder in [&gateway, &worker] {
        for key in ["FUNCTIONS.spec.mine", "FUNCTIONS.spec.cat", "SOURCES.spec.mine", "SOURCES.secrets.mine"] {
            intruder.may_not_publish(&format!("$KV.SKEP_{key}"), &spec).await;
        }
        intruder.may_not_publish("$KV.SKEP_CONTROLLER.controller", "me").await;
        intruder.may_not_publish("$KV.SKEP_NAMESPACES.dev", "{}").await;
        intruder.may_not_publish("skep.logs.cat", "{}").await;
        intruder.may_not_publish("$JS.API.CONSUMER.DURABLE.CREATE.SKEP_INVOKE.mine", "{}").await;
        intruder.may_not_touch_streams(&STREAMS, &["DELETE", "UPDATE", "PURGE"]).await;
        intruder.may_not_touch_streams(&["AUDIT", "FUNCTIONS", "VERSIONS", "SOURCES"], &["MSG.DELETE"]).await;
        for subject in ["_INBOX.>", "_INBOX_skep_controller.>", "skep.control.*", "skep.control.deploy", "$KV.>"] {
            intruder.may_not_hear(subject).await;
        }
    }
    gateway.may_not_hear(">").await;
    worker.may_not_read(&["SKEP_DEAD", "SKEP_AUDIT", "SKEP_HELD"]).await;
    gateway.may_not_use_consumers().await;
    controller.may_not_use_consumers().await;
    gateway.may_not_hear("_INBOX_skep_queue-worker.>").await;
    gateway.may_not_publish("_INBOX_skep_queue-worker.mine", "{}").await;
    gateway.may_not_publish("_INBOX_skep_controller.mine", "{}").await;
    gateway.may_not_publish("$JS.ACK.SKEP_INVOKE.lane-1.1.1.1.1.0", "+ACK").await;

    worker.may_not_hear("_INBOX_skep_gateway.>").await;
    worker.may_not_hear("skep.call.*").await;
    worker.may_not_publish("skep.control.deploy", r#"{"service":"mine"}"#).await;
    worker.may_not_publish("skep.audit-log", "{}").await;
    worker.may_not_publish("skep.held.mine", "{}").await;

    controller.may_not_touch_streams(&STREAMS, &["DELETE"]).await;
    controller.may_not_touch_streams(&["AUDIT", "LEDGER", "PUBLISH"], &["PURGE", "MSG.DELETE"]).await;
    // It adds rollbacks of its own to the audit log, and reads none of it.
    for subject in ["skep.dead.cat.mine", "$JS.API.DIRECT.GET.SKEP_AUDIT", "$JS.API.CONSUMER.CREATE.SKEP_HELD"] {
        controller.may_not_publish(subject, "{}").await;
    }
    for subject in ["skep.invoke.>", "skep.calls.>", "_INBOX_skep_gateway.>", "_INBOX_skep_queue-worker.>"] {
        controller.may_not_hear(subject).await;
    }

    for role in [&gateway, &worker, &controller] {
        role.gets_its_own_answers().await;
    }
}

#[tokio::test]
async fn separate_roles_may_do_only_what_they_need() {
    let roles = Roles::start([Function::cat()]).await;
    let password = |role: &str| {
        let file = fs::read_to_string(roles.site.path(&format!("nats-{role}"))).unwrap();
        file.trim().split_once(':').unwrap().1.to_owned()
    };
    intrude(roles.site.nats, password).await;
    assert!(roles.gateway.function("mine").await.is_none());
    assert_eq!(roles.gateway.call("cat", "honey").await.text(), "honey");
}

#[tokio::test]
async fn the_roles_of_one_process_have_users_of_their_own() {
    let platform = Platform::start([Function::cat()]).await;
    let settings = fs::read_to_string(platform.site.data.join("nats.conf")).unwrap();
    let password = |role: &str| {
        let (_, rest) = settings.split_once(&format!("user: skep-{role}, password: \"")).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    intrude(platform.site.nats, password).await;
    for role in ["gateway", "queue-worker", "controller"] {
        let shown = platform.site.processes().into_iter().find(|process| process.command.contains(&password(role)));
        assert!(shown.is_none(), "the list of processes shows it: {shown:?}");
        assert!(!platform.up.stderr().contains(&password(role)));
    }
    assert!(platform.gateway.function("mine").await.is_none());
}

#[tokio::test]
async fn a_permission_that_is_missing_is_said_and_holds_up_nothing() {
    let mut site = Site::new([Function::cat()]);
    site.forbidden_subjects = vec!["skep.audit-log"];
    let settings = fs::read_to_string(&site.nats_configuration).unwrap();
    assert!(settings.contains("\"skep.audit-log\""));
    fs::write(&site.nats_configuration, settings.replace("\"skep.audit-log\"", "")).unwrap();
    let roles = Roles::<Program>::start_at(site).await;
    wait_until("the gateway says what it lacks", async || {
        let said = roles.role_gateway.stderr();
        let words = ["ERROR", r#"Publish to \"skep.audit-log\""#, "--nats-user-password-file", "skep nats-users"];
        words.iter().all(|word| said.contains(word))
    })
    .await;
    assert_eq!(roles.gateway.call("cat", "honey").await.text(), "honey");
}
