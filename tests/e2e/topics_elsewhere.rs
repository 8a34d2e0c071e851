//! Sources that read streams of another NATS server: their consumers there go with them.

use std::fs;

use async_nats::jetstream::{self, consumer::pull};
use http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    harness::{DEADLINE, Function, Gateway, Platform, Program, Roles, Site, wait_for, wait_until},
    nats::client,
};

/// A NATS server of somebody else, with the stream PAYMENTS.
struct Elsewhere {
    site: Site,
    server: Program,
    stream: jetstream::stream::Stream,
}

impl Elsewhere {
    async fn start() -> Self {
        let site = Site::new([]);
        let server = site.start_nats().await;
        let stream = payments(client(&site).await).await;
        Self { site, server, stream }
    }

    /// Nobody gets in without a login.
    async fn start_closed() -> Self {
        let site = Site::new([]);
        let open = fs::read_to_string(&site.nats_configuration).unwrap();
        fs::write(&site.nats_configuration, open.replace("no_auth_user: test\n", "")).unwrap();
        let server = site.start_nats().await;
        let options = async_nats::ConnectOptions::with_user_and_password("test".to_owned(), "test".to_owned());
        let stream = payments(options.connect(site.nats.to_string()).await.unwrap()).await;
        Self { site, server, stream }
    }

    async fn has_consumer(&self, source: &str) -> bool {
        self.stream.get_consumer::<pull::Config>(&format!("skep-{source}")).await.is_ok()
    }

    fn source(&self, credentials: Option<&str>) -> Value {
        let mut nats = json!({ "stream": "PAYMENTS", "url": self.site.nats_url });
        if let Some(credentials) = credentials {
            nats["credentials"] = credentials.into();
        }
        json!({ "nats": nats, "routes": [{ "to": "counted" }] })
    }
}

async fn payments(client: async_nats::Client) -> jetstream::stream::Stream {
    let subjects = vec!["payments.>".to_owned()];
    let config = jetstream::stream::Config { name: "PAYMENTS".to_owned(), subjects, ..Default::default() };
    let mut context = jetstream::new(client);
    context.set_timeout(DEADLINE);
    context.create_stream(config).await.unwrap()
}

async fn remove(gateway: &Gateway, source: &str) {
    let answer = gateway.send(Method::DELETE, "/system/sources", &json!({ "name": source })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn platform_with_login() -> Platform {
    let platform = Platform::start([Function::counted()]).await;
    let secret = json!({ "name": "shop", "value": "test:test\n" });
    assert_eq!(platform.gateway.send(Method::POST, "/system/secrets", &secret).await.status, 201);
    platform
}

#[tokio::test]
async fn a_consumer_on_another_server_goes_with_its_source_and_its_login() {
    let elsewhere = Elsewhere::start().await;
    let platform = platform_with_login().await;
    for name in ["removed", "disabled", "moved"] {
        platform.gateway.listen_to(name, elsewhere.source(Some("shop"))).await;
        wait_until("it has its consumer", async || elsewhere.has_consumer(name).await).await;
    }
    let mut disabled = elsewhere.source(Some("shop"));
    (disabled["name"], disabled["disabled"]) = ("disabled".into(), true.into());
    assert_eq!(platform.gateway.send(Method::PUT, "/system/sources", &disabled).await.status, 200);
    let moved = json!({ "name": "moved", "nats": { "subjects": ["moved.>"] }, "routes": [{ "to": "counted" }] });
    assert_eq!(platform.gateway.send(Method::PUT, "/system/sources", &moved).await.status, 200);
    remove(&platform.gateway, "removed").await;
    wait_until("those that read no more are gone", async || {
        !elsewhere.has_consumer("removed").await && !elsewhere.has_consumer("moved").await
    })
    .await;
    assert!(elsewhere.has_consumer("disabled").await, "it comes back to its own");
    remove(&platform.gateway, "disabled").await;
    wait_until("it is gone", async || !elsewhere.has_consumer("disabled").await).await;
}

#[tokio::test]
async fn a_consumer_on_another_server_goes_with_a_login_that_was_added() {
    let elsewhere = Elsewhere::start_closed().await;
    let platform = Platform::start([Function::counted()]).await;
    let names = ["one", "two", "three", "four", "five"];
    for name in names {
        platform.gateway.listen_to(name, elsewhere.source(None)).await;
        let login = json!({ "name": "credentials", "value": "test:test" });
        let answer = platform.gateway.send(Method::POST, &format!("/system/sources/{name}/secrets"), &login).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        wait_until("it has its consumer", async || elsewhere.has_consumer(name).await).await;
    }
    for name in names {
        remove(&platform.gateway, name).await;
    }
    wait_until("all are gone", async || {
        let mut left = 0;
        for name in names {
            left += usize::from(elsewhere.has_consumer(name).await);
        }
        left == 0
    })
    .await;
}

#[tokio::test]
async fn the_problem_of_a_source_names_what_its_declaration_does() {
    let platform = Platform::start([Function::counted()]).await;
    let nothing = Site::new([]);
    let sources = [
        ("bucket", json!({ "bucket": "settings" }), "bucket settings does not exist"),
        ("stream", json!({ "stream": "PAYMENTS" }), "stream PAYMENTS does not exist"),
        ("away", json!({ "stream": "PAYMENTS", "url": nothing.nats_url }), "cannot connect to NATS at nats://"),
    ];
    for (name, nats, expected) in sources {
        platform.gateway.listen_to(name, json!({ "nats": nats, "routes": [{ "to": "counted" }] })).await;
        let problem = wait_for("its problem", async || {
            let problem = platform.gateway.source(name).await["problem"].as_str().map(str::to_owned);
            problem.filter(|problem| problem.contains(expected))
        })
        .await;
        assert!(!problem.contains("within"), "{problem}");
    }
}

#[tokio::test]
async fn a_source_goes_although_its_server_is_away_and_the_log_names_the_consumer_that_stays() {
    let mut elsewhere = Elsewhere::start().await;
    let platform = platform_with_login().await;
    platform.gateway.listen_to("orders", elsewhere.source(Some("shop"))).await;
    wait_until("it has its consumer", async || elsewhere.has_consumer("orders").await).await;
    elsewhere.server.signal(Signal::TERM);
    elsewhere.server.ended().await;
    remove(&platform.gateway, "orders").await;
    // Another source of this name does not wait for that server.
    platform
        .gateway
        .listen_to("orders", json!({ "nats": { "subjects": ["orders.>"] }, "routes": [{ "to": "counted" }] }))
        .await;
    platform.gateway.heard_source("orders").await;
    let says = |line: &str| {
        ["stays there", "skep-orders", "PAYMENTS", &elsewhere.site.nats_url].iter().all(|part| line.contains(part))
    };
    wait_until("the log says what stays", async || platform.up.stderr().lines().any(says)).await;
}

#[tokio::test]
async fn a_consumer_on_another_server_goes_when_a_queue_worker_starts() {
    let elsewhere = Elsewhere::start().await;
    let mut roles = Roles::start([Function::counted()]).await;
    roles.gateway.listen_to("orders", elsewhere.source(None)).await;
    wait_until("it has its consumer", async || elsewhere.has_consumer("orders").await).await;
    // A queue-worker that says how much is pending has noted which consumer it made.
    wait_until("it is known", async || roles.gateway.source("orders").await["pending"] == 0).await;
    roles.worker.kill();
    remove(&roles.gateway, "orders").await;
    assert!(elsewhere.has_consumer("orders").await, "nobody was there to remove it");
    roles.worker = roles.site.start_worker().await;
    wait_until("it is gone", async || !elsewhere.has_consumer("orders").await).await;
}
