//! Messages of streams: acknowledged when they are stored as events, whatever is killed, deleted or made anew.

use std::{collections::HashSet, time::Duration};

use async_nats::jetstream::{self, consumer::PullConsumer, stream::Stream};
use http::Method;
use serde_json::json;

use crate::{
    harness::{DEADLINE, Function, Roles, Site, answer_to, free_address, wait_for, wait_until},
    nats::client,
};

const MESSAGES: usize = 400;

async fn made(context: &jetstream::Context, name: &str, subjects: &[&str]) -> Stream {
    let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
    let config = jetstream::stream::Config { name: name.to_owned(), subjects, ..Default::default() };
    context.create_stream(config).await.unwrap()
}

async fn publish(context: &jetstream::Context, subject: &str, bodies: impl Iterator<Item = usize>) {
    for number in bodies {
        context.publish(subject.to_owned(), number.to_string().into()).await.unwrap().await.unwrap();
    }
}

/// Writes the body to the file `runs`.
fn noting() -> Function {
    Function::new("book", r#"sh -c 'echo "$(cat)" >> runs'"#)
}

fn bodies(site: &Site) -> HashSet<String> {
    site.runs().into_iter().collect()
}

async fn context(site: &Site) -> jetstream::Context {
    let mut context = jetstream::new(client(site).await);
    context.set_timeout(DEADLINE);
    context
}

#[tokio::test]
async fn each_message_is_one_event_although_workers_are_killed() {
    let mut roles = Roles::start([noting()]).await;
    let jetstream = context(&roles.site).await;
    made(&jetstream, "PAYMENTS", &["payments.>"]).await;
    publish(&jetstream, "payments.before", 0..MESSAGES / 2).await;
    let nats = json!({ "stream": "PAYMENTS", "subjects": ["payments.>"], "start": "all" });
    roles.gateway.listen_to("payments", json!({ "nats": nats, "routes": [{ "to": "book" }] })).await;
    let mut other = roles.site.start_worker_with(free_address(), &[]).await;
    for round in 1..=3 {
        roles.gateway.wait_for_events("payments", round * MESSAGES / 8).await;
        roles.worker.kill();
        other.kill();
        publish(
            &jetstream,
            "payments.meanwhile",
            MESSAGES / 2 + (round - 1) * MESSAGES / 6..MESSAGES / 2 + round * MESSAGES / 6,
        )
        .await;
        roles.worker = roles.site.start_worker().await;
        other = roles.site.start_worker_with(free_address(), &[]).await;
    }
    wait_until("each message has run", async || bodies(&roles.site).len() == MESSAGES).await;
    let events = roles.gateway.events("payments").await;
    assert_eq!(events.len(), MESSAGES, "no message is two events");
    assert!(events.iter().all(|event| event["id"].as_str().unwrap().starts_with("js-")), "{:?}", events[0]);
    wait_until("all are acknowledged", async || roles.gateway.source("payments").await["pending"] == 0).await;
}

#[tokio::test]
async fn a_deleted_consumer_goes_on_where_it_was_and_a_stream_made_anew_is_another() {
    let roles = Roles::start([noting()]).await;
    let jetstream = context(&roles.site).await;
    let stream = made(&jetstream, "PAYMENTS", &["payments.>"]).await;
    publish(&jetstream, "payments.old", 0..1).await;
    roles
        .gateway
        .listen_to("payments", json!({ "nats": { "stream": "PAYMENTS" }, "routes": [{ "to": "book" }] }))
        .await;
    wait_until("it has its consumer", async || {
        stream.get_consumer::<jetstream::consumer::pull::Config>("skep-payments").await.is_ok()
    })
    .await;
    publish(&jetstream, "payments.new", 1..4).await;
    roles.gateway.wait_for_events("payments", 3).await;
    wait_until("the place is kept", async || roles.gateway.source("payments").await["pending"] == 0).await;
    stream.delete_consumer("skep-payments").await.unwrap();
    publish(&jetstream, "payments.new", 4..7).await;
    roles.gateway.wait_for_events("payments", 6).await;
    wait_until("all have run", async || bodies(&roles.site).len() == 6).await;

    jetstream.delete_stream("PAYMENTS").await.unwrap();
    wait_until("its stream is missed", async || {
        let problem = roles.gateway.source("payments").await["problem"].clone();
        problem.as_str().is_some_and(|problem| problem.contains("stream PAYMENTS does not exist"))
    })
    .await;
    // What comes before anybody has noticed the new stream counts, too.
    made(&jetstream, "PAYMENTS", &["payments.>"]).await;
    publish(&jetstream, "payments.new", 7..9).await;
    wait_until("those of the new stream run", async || bodies(&roles.site).len() == 8).await;
    assert_eq!(bodies(&roles.site), (1..9).map(|number| number.to_string()).collect());
    assert_eq!(roles.gateway.events("payments").await.len(), 8);
    assert!(roles.gateway.heard_source("payments").await.get("problem").is_none());
}

#[tokio::test]
async fn a_stream_that_is_made_after_its_source_is_read_from_its_beginning() {
    let roles = Roles::start([noting()]).await;
    let gateway = &roles.gateway;
    gateway.listen_to("payments", json!({ "nats": { "stream": "PAYMENTS" }, "routes": [{ "to": "book" }] })).await;
    wait_until("the source misses its stream", async || {
        gateway.source("payments").await["problem"].as_str().is_some_and(|problem| problem.contains("does not exist"))
    })
    .await;
    let context = context(&roles.site).await;
    made(&context, "PAYMENTS", &["payments.>"]).await;
    publish(&context, "payments.new", 0..5).await;
    roles.site.wait_for_runs(5).await;
    assert_eq!(bodies(&roles.site).len(), 5);
}

#[tokio::test]
async fn other_subjects_are_read_at_once_and_the_consumer_goes_with_its_source() {
    let roles = Roles::start([noting()]).await;
    let jetstream = context(&roles.site).await;
    let stream = made(&jetstream, "ALL", &["a.>", "b.>"]).await;
    let spec = |subjects: &[&str]| {
        let nats = json!({ "stream": "ALL", "subjects": subjects, "start": "all" });
        json!({ "name": "all", "nats": nats, "routes": [{ "to": "book" }] })
    };
    roles.gateway.listen_to("all", spec(&["a.>"])).await;
    publish(&jetstream, "a.x", 0..2).await;
    publish(&jetstream, "b.x", 2..4).await;
    roles.gateway.wait_for_events("all", 2).await;
    let answer = roles.gateway.send(Method::PUT, "/system/sources", &spec(&["a.>", "b.>"])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    wait_for("the consumer reads both", async || {
        let consumer: PullConsumer = stream.get_consumer("skep-all").await.ok()?;
        (consumer.cached_info().config.filter_subjects.len() == 2).then_some(())
    })
    .await;
    publish(&jetstream, "b.x", 4..5).await;
    wait_until("what comes on the new subject runs", async || bodies(&roles.site).contains("4")).await;
    let answer = roles.gateway.send(Method::DELETE, "/system/sources", &json!({ "name": "all" })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    wait_until("its consumer is gone", async || {
        stream.get_consumer::<jetstream::consumer::pull::Config>("skep-all").await.is_err()
    })
    .await;
}

#[tokio::test]
async fn keys_of_a_bucket_are_events_and_deletes_say_so() {
    let script = r#"echo "$Http_X_Skep_Event_Type $Http_Kv_Operation $(cat)" >> runs"#;
    let roles = Roles::start([Function::new("reload", &format!("sh -c '{script}'"))]).await;
    let bucket = jetstream::kv::Config { bucket: "settings".to_owned(), ..Default::default() };
    let bucket = context(&roles.site).await.create_key_value(bucket).await.unwrap();
    bucket.put("app.before", "0".into()).await.unwrap();
    let nats = json!({ "bucket": "settings", "keys": ["app.*"], "start": "all" });
    roles.gateway.listen_to("config", json!({ "nats": nats, "routes": [{ "to": "reload" }] })).await;
    roles.site.wait_for_runs(1).await;
    bucket.put("other.key", "1".into()).await.unwrap();
    bucket.delete("app.before").await.unwrap();
    roles.site.wait_for_runs(2).await;
    let mut runs = roles.site.runs();
    runs.sort();
    assert_eq!(runs, ["app.before  0", "app.before DEL "]);
}

#[tokio::test]
async fn skep_makes_a_stream_of_what_is_captured_and_takes_it_away_again() {
    let mut roles = Roles::start([noting()]).await;
    let jetstream = context(&roles.site).await;
    made(&jetstream, "TAKEN", &["taken.>"]).await;
    let spec = |subject: &str| json!({ "name": "sensors", "nats": { "subjects": [subject], "capture": true } });
    let refused = roles.gateway.send(Method::POST, "/system/sources", &spec("taken.a")).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.text().contains("another stream stores these subjects already (taken.a)"), "{refused:?}");
    let mut spec = spec("sensors.>");
    spec["routes"] = json!([{ "to": "book" }]);
    roles.gateway.listen_to("sensors", spec).await;
    // Nobody listens meanwhile.
    roles.worker.kill();
    publish(&jetstream, "sensors.a", 0..5).await;
    roles.worker = roles.site.start_worker().await;
    wait_until("all have run", async || bodies(&roles.site).len() == 5).await;
    let mut stream = jetstream.get_stream("SKEP_TOPIC_SENSORS").await.unwrap();
    wait_until("what is an event is gone there", async || stream.info().await.unwrap().state.messages == 0).await;
    jetstream.delete_stream("SKEP_TOPIC_SENSORS").await.unwrap();
    wait_until("it is made again", async || jetstream.get_stream("SKEP_TOPIC_SENSORS").await.is_ok()).await;
    publish(&jetstream, "sensors.a", 5..6).await;
    wait_until("it goes on", async || bodies(&roles.site).len() == 6).await;
    let answer = roles.gateway.send(Method::DELETE, "/system/sources", &json!({ "name": "sensors" })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(jetstream.get_stream("SKEP_TOPIC_SENSORS").await.is_err(), "its stream goes with it");
}

#[tokio::test]
async fn more_than_fits_into_the_window_becomes_events_and_none_is_lost() {
    const FLOOD: usize = 3000;
    let roles = Roles::start([]).await;
    let jetstream = context(&roles.site).await;
    made(&jetstream, "FLOOD", &["flood"]).await;
    roles.gateway.listen_to("flood", json!({ "nats": { "stream": "FLOOD", "start": "all" } })).await;
    let mut acks = Vec::new();
    for number in 0..FLOOD {
        acks.push(jetstream.publish("flood", number.to_string().into()).await.unwrap());
    }
    for ack in acks {
        ack.await.unwrap();
    }
    let mut events = crate::nats::stream(&roles.site, "SKEP_EVENTS").await;
    wait_until("all are events", async || events.info().await.unwrap().state.messages == FLOOD as u64).await;
    wait_until("none is pending", async || roles.gateway.source("flood").await["pending"] == 0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(events.info().await.unwrap().state.messages, FLOOD as u64);
}

#[tokio::test]
async fn a_login_of_another_account_is_a_secret_and_never_shown() {
    let platform = crate::harness::Platform::start([noting()]).await;
    let (user, password) = crate::own_nats::user(&platform.site, "publisher");
    let secret = json!({ "name": "shop", "value": format!("{user}:{password}\n") });
    assert_eq!(platform.gateway.send(Method::POST, "/system/secrets", &secret).await.status, 201);
    let nats = json!({ "subjects": ["orders"], "credentials": "shop" });
    platform.gateway.listen_to("orders", json!({ "nats": nats, "routes": [{ "to": "book" }] })).await;
    let options = async_nats::ConnectOptions::with_user_and_password(user, password.clone());
    let shop = options.connect(platform.site.nats.to_string()).await.unwrap();
    wait_until("the source answers", async || shop.request("orders", "one".into()).await.is_ok()).await;
    platform.site.wait_for_runs(1).await;
    let shown = answer_to(platform.gateway.get("/system/sources")).await.text();
    assert!(shown.contains("orders") && !shown.contains(&password), "{shown}");
    assert!(!platform.up.stderr().contains(&password));
}

#[tokio::test]
async fn a_consumer_that_was_left_behind_goes_when_a_queue_worker_starts_and_others_stay() {
    let mut roles = Roles::start([noting()]).await;
    let jetstream = context(&roles.site).await;
    let stream = made(&jetstream, "PAYMENTS", &["payments.>"]).await;
    let has_consumer = async |name: &str| stream.get_consumer::<jetstream::consumer::pull::Config>(name).await.is_ok();
    let other =
        |name: &str| jetstream::consumer::pull::Config { durable_name: Some(name.to_owned()), ..Default::default() };
    // Nobody of skep made these, whatever their names are.
    stream.create_consumer(other("mine")).await.unwrap();
    let source = json!({ "nats": { "stream": "PAYMENTS" }, "routes": [{ "to": "book" }] });
    for name in ["gone", "kept", "replaced", "moved"] {
        roles.gateway.listen_to(name, source.clone()).await;
        wait_until("it has its consumer", async || has_consumer(&format!("skep-{name}")).await).await;
    }
    publish(&jetstream, "payments.new", 0..1).await;
    for name in ["gone", "kept", "replaced", "moved"] {
        roles.gateway.wait_for_events(name, 1).await;
    }
    roles.worker.kill();
    for name in ["gone", "replaced"] {
        let answer = roles.gateway.send(Method::DELETE, "/system/sources", &json!({ "name": name })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    stream.delete_consumer("skep-replaced").await.unwrap();
    stream.create_consumer(other("skep-replaced")).await.unwrap();
    let elsewhere = json!({ "name": "moved", "nats": { "subjects": ["elsewhere.>"] }, "routes": [{ "to": "book" }] });
    let answer = roles.gateway.send(Method::PUT, "/system/sources", &elsewhere).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(has_consumer("skep-gone").await && has_consumer("skep-moved").await);
    roles.worker = roles.site.start_worker().await;
    wait_until("what nobody reads with is gone", async || {
        !has_consumer("skep-gone").await && !has_consumer("skep-moved").await
    })
    .await;
    for name in ["mine", "skep-kept", "skep-replaced"] {
        assert!(has_consumer(name).await, "{name}");
    }
    publish(&jetstream, "payments.new", 1..2).await;
    roles.gateway.wait_for_events("kept", 2).await;
}

#[tokio::test]
async fn no_consumer_goes_because_the_registry_was_lost() {
    let mut roles = Roles::start([noting()]).await;
    let jetstream = context(&roles.site).await;
    let stream = made(&jetstream, "PAYMENTS", &["payments.>"]).await;
    let has_consumer = async |name: &str| stream.get_consumer::<jetstream::consumer::pull::Config>(name).await.is_ok();
    for name in ["lost", "removed"] {
        let source = json!({ "nats": { "stream": "PAYMENTS" }, "routes": [{ "to": "book" }] });
        roles.gateway.listen_to(name, source).await;
        wait_until("it has its consumer", async || has_consumer(&format!("skep-{name}")).await).await;
    }
    publish(&jetstream, "payments.new", 0..1).await;
    roles.gateway.wait_for_events("lost", 1).await;
    roles.gateway.wait_for_events("removed", 1).await;
    roles.worker.kill();
    roles.controller.kill();
    jetstream.delete_stream("KV_SKEP_SOURCES").await.unwrap();
    roles.controller = roles.site.start_controller().await;
    roles.worker = roles.site.start_worker().await;
    // A source that is made, and removed while no queue-worker runs, shows that the next one has looked.
    let source = json!({ "nats": { "stream": "PAYMENTS", "start": "all" }, "routes": [{ "to": "book" }] });
    roles.gateway.listen_to("later", source).await;
    roles.gateway.wait_for_events("later", 1).await;
    roles.worker.kill();
    let answer = roles.gateway.send(Method::DELETE, "/system/sources", &json!({ "name": "later" })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    roles.worker = roles.site.start_worker().await;
    wait_until("the consumer of the removed one is gone", async || !has_consumer("skep-later").await).await;
    assert!(has_consumer("skep-lost").await && has_consumer("skep-removed").await);
}
