//! Requests that are made to do harm: each is an event as it came or is refused in skep's words, and the next one is taken.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Function, Gateway, Platform, answer_to, raw, signature, wait_until};

const SECRET: &str = "It's a Secret to Everybody";

/// A request as a sender writes it on the wire, with its signature.
fn signed(more: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\
         X-Hub-Signature-256: {}\r\n{more}\r\n",
        signature(SECRET, body)
    );
    [head.as_bytes(), body].concat()
}

/// Writes down what it was given, as far as headers go.
fn seen() -> Function {
    Function::new(
        "seen",
        r#"sh -c 'cat > /dev/null; env | grep ^Http_X_Own | sort | tr "\n" ";" >> runs; echo >> runs'"#,
    )
}

async fn platform_with(routes: Value) -> Platform {
    let platform = Platform::start([seen()]).await;
    platform.gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    platform
}

/// What became of the route `seen` of an event, in words.
async fn ignored(gateway: &Gateway, id: &str) -> String {
    gateway.event("github", id).await["ignored"][0]["reason"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn json_that_is_nested_ten_thousand_levels_deep_is_an_event_and_breaks_nothing() {
    let filter = json!({ "type": "push", "body.ref": "main", "body.deep[0][0]": { "exists": true } });
    let platform = platform_with(json!([{ "to": "seen", "filter": filter, "send": "json:deep" }])).await;
    let gateway = &platform.gateway;
    for (id, open, close) in [("arrays", "[", "]"), ("objects", r#"{"a":"#, "}"), ("never-closed", "[", "")] {
        let body = format!(r#"{{"ref":"main","deep":{}1{}}}"#, open.repeat(10_000), close.repeat(10_000));
        assert_eq!(answer_to(gateway.webhook("github", "push", id, &body)).await.status, 202, "{id}");
        let stored = answer_to(gateway.get(&format!("/system/sources/github/events/{id}/body"))).await;
        assert_eq!(stored.text(), body, "{id}");
        let reason = ignored(gateway, id).await;
        assert!(reason.starts_with("body.") && reason.contains("absent"), "{id}: {reason}");
    }
    let good = r#"{"ref":"main","deep":[[1]]}"#;
    assert_eq!(answer_to(gateway.webhook("github", "push", "good", good)).await.status, 202);
    platform.site.wait_for_runs(1).await;
}

#[tokio::test]
async fn headers_that_come_twice_are_too_many_or_no_text_decide_nothing_by_chance() {
    let platform = platform_with(json!([{ "to": "seen", "filter": { "type": "push" } }])).await;
    let (gateway, listen) = (&platform.gateway, platform.site.listen);
    let send = async |more: &str| raw::exchange(listen, signed(more, b"{}")).await;
    // An id that is there with two values names nothing, so that no proxy decides which one counts.
    let twice = send("X-GitHub-Event: push\r\nX-GitHub-Delivery: one\r\nX-GitHub-Delivery: two\r\n").await;
    assert!(twice.starts_with("HTTP/1.1 202 "), "{twice}");
    for id in ["one", "two"] {
        assert_eq!(answer_to(gateway.get(&format!("/system/sources/github/events/{id}"))).await.status, 404);
    }
    // A wrong signature beside the good one takes nothing away, and gives nothing either.
    let both = send("X-GitHub-Event: push\r\nX-GitHub-Delivery: both\r\nX-Hub-Signature-256: sha256=00\r\n").await;
    assert!(both.starts_with("HTTP/1.1 202 "), "{both}");
    let many: String = (0..200).map(|number| format!("X-Own-{number}: 1\r\n")).collect();
    let refused = send(&many).await;
    assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    let long = send(&format!("X-Own: {}\r\n", "x".repeat(80 << 10))).await;
    assert!(long.starts_with("HTTP/1.1 431 "), "{long}");
    platform.site.wait_for_runs(2).await;
    // What is no text is no reason to lose an event.
    let request = signed("X-GitHub-Event: push\r\nX-GitHub-Delivery: bytes\r\nX-Own: a?b\r\n", b"{}");
    let request: Vec<u8> = request.into_iter().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
    let bytes = raw::exchange(listen, request).await;
    assert!(bytes.starts_with("HTTP/1.1 202 ") || bytes.starts_with("HTTP/1.1 400 "), "{bytes}");
    assert_eq!(answer_to(gateway.webhook("github", "push", "after", "{}")).await.status, 202);
}

#[tokio::test]
async fn a_body_in_chunks_is_verified_whole_and_bounded() {
    let platform = Platform::start([seen()]).await;
    let (gateway, listen) = (&platform.gateway, platform.site.listen);
    let routes = json!([{ "to": "seen", "filter": { "type": "push" } }]);
    gateway.declare("github", json!({ "preset": "github", "max_body": "64KiB", "routes": routes })).await;
    let head = |body: &[u8], more: &str| {
        let mac = signature(SECRET, body);
        format!(
            "POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
             X-GitHub-Event: push\r\nX-Hub-Signature-256: {mac}\r\n{more}\r\n"
        )
    };
    let body = br#"{"ref":"refs/heads/main"}"#;
    let mut chunks = String::new();
    for byte in body {
        chunks.push_str(&format!("1\r\n{}\r\n", char::from(*byte)));
    }
    let good = raw::exchange(listen, format!("{}{chunks}0\r\n\r\n", head(body, "X-GitHub-Delivery: chunks\r\n"))).await;
    assert!(good.starts_with("HTTP/1.1 202 "), "{good}");
    let stored = answer_to(gateway.get("/system/sources/github/events/chunks/body")).await;
    assert_eq!(stored.body, &body[..]);
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let endless = raw::exchange(listen, format!("{}{}", head(b"", ""), chunk.repeat(5))).await;
    assert!(endless.starts_with("HTTP/1.1 413 "), "{endless}");
    for broken in ["zz\r\nx\r\n", "-1\r\nx\r\n", "ffffffffffffffffff\r\nx\r\n"] {
        let answer = raw::exchange(listen, format!("{}{broken}", head(b"x", ""))).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{broken}: {answer}");
    }
    // Two lengths are how requests are smuggled past a proxy.
    let both = raw::exchange(listen, format!("{}{chunks}0\r\n\r\n", head(body, "Content-Length: 3\r\n"))).await;
    assert!(both.starts_with("HTTP/1.1 400 "), "{both}");
    assert_eq!(answer_to(gateway.webhook("github", "push", "after", "{}")).await.status, 202);
    platform.site.wait_for_runs(2).await;
}

#[tokio::test]
async fn a_replay_ends_with_its_source() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let routes = json!([{ "to": "counted", "filter": { "type": "push" } }]);
    gateway.declare("github", json!({ "preset": "github", "paused": true, "routes": routes })).await;
    for id in ["one", "two", "three"] {
        gateway.push("github", id).await;
    }
    let asked = json!({ "outcome": "paused", "rate": "6/m", "replay": "slow" });
    let replaying = gateway.send(Method::POST, "/system/sources/github/replay", &asked);
    let removing = async {
        site.wait_for_runs(1).await;
        gateway.send(Method::DELETE, "/system/sources", &json!({ "name": "github" })).await
    };
    let (replayed, removed) = tokio::join!(replaying, removing);
    assert_eq!(removed.status, 200, "{removed:?}");
    replayed.assert_refused(404);
    assert_eq!(replayed.header("x-skep-error"), "unknown_source");
    // Another source of its name has none of its calls to make.
    gateway.wait_for_no_source("github").await;
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    gateway.push("github", "four").await;
    wait_until("the event of the new source has run", async || site.runs().len() >= 2).await;
    assert_eq!(site.runs().len(), 2, "the first of the replay, and that of the new source");
}

#[tokio::test]
async fn one_source_that_holds_as_much_as_it_may_refuses_and_others_hold_on() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    for name in ["github", "other"] {
        let spec = json!({ "preset": "github", "unverified": "hold", "routes": [{ "to": "counted" }] });
        gateway.declare(name, spec).await;
    }
    // As many as a source may hold, in a test of few.
    let context = async_nats::jetstream::new(crate::nats::client(site).await);
    let mut held = context.get_stream("SKEP_HELD").await.unwrap().cached_info().config.clone();
    assert_eq!(held.max_messages_per_subject, 10_000);
    held.max_messages_per_subject = 3;
    context.update_stream(held).await.unwrap();
    let send = async |source: &str, number: u32| {
        answer_to(gateway.unsigned_webhook(source, "push", &number.to_string(), "{}")).await.status
    };
    for number in 0..3 {
        assert_eq!(send("github", number).await, 202);
    }
    assert_eq!(send("github", 3).await, 401, "a sender that is refused tries again, or tells its user");
    assert_eq!(send("other", 4).await, 202);
    let listed = answer_to(gateway.get("/system/sources/github/held")).await.json();
    let held = listed.as_array().unwrap().iter().filter(|held| held["id"].as_str().unwrap().starts_with("held-"));
    assert_eq!(held.count(), 3, "{listed}");
}
