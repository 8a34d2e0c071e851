//! A service that may give work to functions, and nothing else: deploy/nats-accounts.conf.

use std::fs;

use async_nats::{Client, ConnectOptions, HeaderMap, jetstream};
use futures_util::{FutureExt, StreamExt};
use serde_json::Value;

use crate::harness::{DEADLINE, Function, Program, Roles, Site, repository};

/// Roles on a server with both accounts.
async fn start() -> Roles {
    let mut site = Site::new([Function::cat(), Function::counted()]);
    let files = ["deploy/nats.conf", "deploy/nats-accounts.conf"];
    let configuration = files.map(|file| fs::read_to_string(repository().join(file)).unwrap()).concat();
    let configuration = configuration.replace("$SKEP_NATS_PASSWORD", "ours").replace("$SHOP_NATS_PASSWORD", "theirs");
    site.nats_configuration = site.path("nats.conf");
    fs::write(&site.nats_configuration, configuration).unwrap();
    let user = site.path("skep-user");
    fs::write(&user, "skep:ours\n").unwrap();
    site.bus_arguments.extend(["--nats-user-password-file".to_owned(), user.to_str().unwrap().to_owned()]);
    Roles::<Program>::start_at(site).await
}

async fn connect(roles: &Roles, user: &str, password: &str) -> Client {
    let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    options.request_timeout(Some(DEADLINE)).connect(roles.site.nats.to_string()).await.unwrap()
}

#[tokio::test]
async fn a_publisher_gives_work_to_functions_and_gets_its_answers() {
    let roles = start().await;
    let shop = connect(&roles, "shop", "theirs").await;
    let answer = shop.request("skep.call.cat", "honey".into()).await.unwrap();
    assert_eq!(&answer.payload[..], b"honey");

    let mut headers = HeaderMap::new();
    headers.insert("X-Call-Id", "jar-1");
    let stored = shop.request_with_headers("skep.publish.counted", headers, "wax".into()).await.unwrap();
    let stored: Value = serde_json::from_slice(&stored.payload).unwrap();
    assert_eq!((&stored["stream"], &stored["seq"]), (&"SKEP_PUBLISH".into(), &1.into()));
    roles.gateway.state("jar-1", "succeeded").await;
}

#[tokio::test]
async fn a_publisher_hears_of_nothing_and_reaches_nothing_else() {
    let roles = start().await;
    let (shop, skep) = (connect(&roles, "shop", "theirs").await, connect(&roles, "skep", "ours").await);
    let id = roles.gateway.queue("cat", "secret").await;
    let waits = roles.gateway.queue_later("cat", "1h").await;
    assert_eq!(roles.gateway.finished(&id).await["state"], "succeeded");

    // JetStream, results, letters, the registry, the controller, other calls.
    for subject in [
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.INFO.SKEP_CALLS",
        "$JS.API.STREAM.PURGE.SKEP_INVOKE",
        "$JS.API.STREAM.DELETE.SKEP_INVOKE",
        "$JS.API.DIRECT.GET.KV_SKEP_FUNCTIONS.$KV.SKEP_FUNCTIONS.spec.cat",
        "$JS.API.CONSUMER.CREATE.SKEP_CALLS",
        "$KV.SKEP_FUNCTIONS.spec.cat",
        &format!("$JS.API.DIRECT.GET.SKEP_CALLS.skep.calls.done.{id}"),
        "$SYS.REQ.SERVER.PING",
        "skep.control.list",
        "skep.control.delete",
        "skep.invoke.0.cat.mine",
        "skep.dead.cat.mine",
        "skep.calls.done.mine",
        "skep.running.mine",
    ] {
        let answer = shop.request(subject.to_owned(), r#"{"function":"cat"}"#.into()).await;
        // Nothing answers there, or the server itself refuses: this login has no JetStream.
        let is_refused =
            |answer: &async_nats::Message| String::from_utf8_lossy(&answer.payload).contains(r#""error":{"code":"#);
        assert!(answer.as_ref().ok().is_none_or(is_refused), "{subject}: {answer:?}");
    }
    shop.publish(format!("skep.cancel.{waits}"), "".into()).await.unwrap();

    let mut received = shop.subscribe(">").await.unwrap();
    shop.flush().await.unwrap();
    let secret = roles.gateway.queue("cat", "secret").await;
    assert_eq!(roles.gateway.finished(&secret).await["state"], "succeeded");
    assert_eq!(roles.gateway.call("cat", "secret").await.text(), "secret");
    shop.flush().await.unwrap();
    assert!(received.next().now_or_never().is_none(), "nothing of skep's own reaches him");
    drop(received);

    // An answer goes only to the publisher, whatever reply subject it names.
    let mut control = skep.subscribe("skep.control.>").await.unwrap();
    let mut own = shop.subscribe("skep.control.delete").await.unwrap();
    for client in [&shop, &skep] {
        client.flush().await.unwrap();
    }
    shop.publish_with_reply("skep.call.cat", "skep.control.delete", r#"{"function":"cat"}"#.into()).await.unwrap();
    own.next().await.unwrap();
    assert!(control.next().now_or_never().is_none());

    assert_eq!(roles.gateway.call("cat", "still").await.text(), "still");
    assert_eq!(roles.gateway.call_status(&waits).await.unwrap()["state"], "scheduled");
    let jetstream = jetstream::new(skep);
    assert!(jetstream.get_stream("SKEP_INVOKE").await.is_ok());
    assert!(roles.gateway.function("cat").await.is_some());
}
