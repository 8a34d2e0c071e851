//! What a call id gives access to: only a call with the same request.

use async_nats::{HeaderMap, jetstream};
use http::Method;

use crate::{
    harness::{Answer, Function, Gateway, Platform, Site, answer_to, wait_until},
    nats,
};

/// Sends a request under the id `order-7` and waits for its result, as anyone who reaches the gateway may.
async fn ask(gateway: &Gateway, path: &str, kind: &str, body: &'static str) -> Answer {
    let request = gateway.post(path).header("X-Call-Id", "order-7").header("Prefer", "wait=30");
    answer_to(request.header("Content-Type", kind).body(body)).await
}

fn assert_is_in_use(answer: &Answer) {
    answer.assert_refused(422);
    assert_eq!(answer.header("x-skep-error"), "call_id_in_use");
    assert!(!answer.text().contains("4111"), "{answer:?}");
}

#[tokio::test]
async fn nobody_gets_the_result_of_a_call_by_its_id_alone() {
    let mut site = Site::new([Function::counted(), Function::cat()]);
    std::fs::create_dir(site.path("credentials")).unwrap();
    std::fs::write(site.path("credentials/basic-auth-user"), "queen").unwrap();
    std::fs::write(site.path("credentials/basic-auth-password"), "of hearts").unwrap();
    let stranger = site.gateway.clone();
    site.gateway = site.gateway.clone().with_credentials("queen", "of hearts");
    let folder = site.path("credentials");
    let _up = site.up(&["--basic-auth", "--secret-mount-path", folder.to_str().unwrap()]).await;
    let (path, kind, card) = ("/async-function/counted/pay?by=card", "text/plain", "card 4111");

    let first = ask(&stranger, path, kind, card).await;
    assert_eq!((first.status, first.text().as_str()), (200, card));
    for (path, kind, body) in [
        (path, kind, "x"),
        (path, kind, ""),
        (path, "application/json", card),
        ("/async-function/counted/pay?by=cash", kind, card),
        ("/async-function/counted/pay", kind, card),
        ("/async-function/counted/paid?by=card", kind, card),
        ("/async-function/cat/pay?by=card", kind, card),
    ] {
        assert_is_in_use(&ask(&stranger, path, kind, body).await);
    }
    // The caller did not see the answer and sends the same request again.
    let again = ask(&stranger, path, kind, card).await;
    assert_eq!((again.status, again.text().as_str()), (200, card));
    assert_eq!(again.header("x-skep-duplicate"), "true");
    assert_eq!(site.runs(), ["order-7"]);
    let status = site.gateway.call_status("order-7").await.unwrap();
    assert!(status.get("fingerprint").is_none(), "{status}");
}

#[tokio::test]
async fn another_request_is_refused_while_the_call_is_queued_running_dead_or_cancelled() {
    let platform = Platform::start([Function::gated(), Function::failing().attempts(1)]).await;
    let gateway = &platform.gateway;
    let refused = async |id: &str, function: &str| {
        assert_is_in_use(&gateway.queue_as(id, function, "another's").await);
        let same = gateway.queue_as(id, function, "mine").await;
        assert_eq!((same.status, same.header("x-skep-duplicate")), (202, "true"), "{id}: {same:?}");
    };
    let later = gateway.post("/async-function/gated").header("X-Call-Id", "later").header("X-Skep-Delay", "1h");
    assert_eq!(answer_to(later.body("mine")).await.status, 202);
    refused("later", "gated").await;

    gateway.queue_as("running", "gated", "mine").await;
    gateway.state("running", "running").await;
    refused("running", "gated").await;
    assert_eq!(answer_to(gateway.request(Method::DELETE, "/system/calls/running")).await.status, 202);
    gateway.state("running", "cancelled").await;
    refused("running", "gated").await;

    gateway.queue_as("dead", "failing", "mine").await;
    assert_eq!(gateway.finished("dead").await["state"], "dead");
    refused("dead", "failing").await;
}

#[tokio::test]
async fn of_many_requests_with_one_id_at_the_same_moment_one_is_accepted_and_the_others_are_refused() {
    let platform = Platform::start([Function::counted()]).await;
    let bodies: Vec<String> = (0..32).map(|number| number.to_string()).collect();
    let submits = bodies.iter().map(|body| {
        let request = platform.gateway.post("/async-function/counted").header("X-Call-Id", "one");
        answer_to(request.header("Prefer", "wait=30").body(body.clone()))
    });
    let answers = futures_util::future::join_all(submits).await;
    let accepted: Vec<_> = bodies.iter().zip(&answers).filter(|(_, answer)| answer.status == 200).collect();
    assert_eq!(accepted.len(), 1, "{answers:?}");
    assert_eq!(&accepted[0].1.text(), accepted[0].0);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_is_in_use(answer);
    }
    assert_eq!(platform.site.runs(), ["one"]);
}

#[tokio::test]
async fn the_pieces_of_a_large_body_count_as_well() {
    let platform = Platform::start_with(&["--large-body", "64KB"], [Function::counted()]).await;
    let send = async |last: u8| {
        let mut body = vec![b'x'; 300_000];
        body.push(last);
        let request = platform.gateway.post("/async-function/counted").header("X-Call-Id", "large");
        answer_to(request.header("Prefer", "wait=30").body(body)).await
    };
    assert_eq!(send(b'a').await.body.last(), Some(&b'a'));
    assert_is_in_use(&send(b'b').await);
    let again = send(b'a').await;
    assert_eq!((again.status, again.header("x-skep-duplicate")), (200, "true"));
    assert_eq!(platform.site.runs(), ["large"]);
}

#[tokio::test]
async fn published_work_with_the_id_of_another_call_is_a_dead_letter_and_the_same_work_is_the_same_call() {
    let platform = Platform::start([Function::counted()]).await;
    let publish = async |body: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("X-Call-Id", "order-7");
        let jetstream = jetstream::new(nats::client(&platform.site).await);
        let stored = jetstream.publish_with_headers("skep.publish.counted", headers, body.into()).await.unwrap();
        stored.await.unwrap();
    };
    publish("mine").await;
    platform.gateway.state("order-7", "succeeded").await;
    publish("mine").await;
    publish("another's").await;
    let letters = async || answer_to(platform.gateway.get("/system/dead")).await.json();
    wait_until("a letter", async || letters().await.as_array().is_some_and(|letters| !letters.is_empty())).await;
    let letter = &letters().await[0];
    assert!(letter["reason"].as_str().unwrap().contains("order-7 belongs to another call"), "{letter}");
    assert_ne!(letter["callId"], "order-7");
    // Over HTTP it is the same call, too.
    let same = platform.gateway.queue_as("order-7", "counted", "mine").await;
    assert_eq!((same.status, same.header("x-skep-duplicate")), (202, "true"));
    assert_eq!(platform.site.runs(), ["order-7"]);
}

#[tokio::test]
async fn a_call_that_does_not_tell_what_it_was_asked_for_shows_its_result_to_nobody() {
    let platform = Platform::start([Function::counted()]).await;
    // As an older version wrote it: with an id of the caller's own, and without a fingerprint.
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("Skep-Call-Id", "old"),
        ("Skep-Callers-Id", "true"),
        ("Skep-Function", "counted"),
        ("Skep-Method", "POST"),
        ("Skep-Accepted-At", "2026-11-25T00:00:00Z"),
    ] {
        headers.insert(name, value);
    }
    let lane = skep_protocol::lane_of(&"counted".parse().unwrap());
    let jetstream = jetstream::new(nats::client(&platform.site).await);
    let subject = format!("skep.invoke.{lane}.counted.old");
    jetstream.publish_with_headers(subject, headers, "secret".into()).await.unwrap().await.unwrap();
    platform.gateway.state("old", "succeeded").await;
    let request =
        platform.gateway.post("/async-function/counted").header("X-Call-Id", "old").header("Prefer", "wait=1");
    let answer = answer_to(request.body("secret")).await;
    assert_eq!((answer.status, answer.header("x-skep-duplicate"), answer.text().as_str()), (202, "true", ""));
    assert_eq!(platform.gateway.result("old").await.text(), "secret");
}
