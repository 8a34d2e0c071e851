//! What senders of webhooks do and expect, where receivers go wrong.

use std::{collections::HashSet, fs};

use futures_util::{StreamExt, stream};
use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Function, Gateway, Platform, answer_to, signature, wait_for, wait_until};

const SECRET: &str = "It's a Secret to Everybody";

/// Declares a source that routes everything to `seen`, with a secret if it has one.
async fn declare(gateway: &Gateway, name: &str, mut spec: Value, secret: Option<&str>) {
    spec["name"] = name.into();
    spec["routes"] = json!([{ "to": "seen" }]);
    let declared = gateway.send(Method::POST, "/system/sources", &spec).await;
    assert_eq!(declared.status, 201, "{declared:?}");
    if let Some(secret) = secret {
        gateway.add_secret(name, secret).await;
    }
}

/// Writes down the source and a hash of the bytes.
fn seen() -> Function {
    Function::new("seen", r#"sh -c 'echo "$Http_X_Skep_Source $(sha256sum | cut -c1-64)" >> runs'"#)
}

/// The answer to a request when it has this status, which a new source needs a moment for.
async fn answered(status: u16, request: impl Fn() -> reqwest::RequestBuilder) -> Answer {
    wait_for(&format!("an answer {status}"), async || {
        Some(answer_to(request()).await).filter(|answer| answer.status == status)
    })
    .await
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_bytes_that_came_are_verified_stored_and_given_to_the_function() {
    let platform = Platform::start([seen()]).await;
    let gateway = &platform.gateway;
    declare(gateway, "github", json!({ "preset": "github" }), Some(SECRET)).await;
    // Compressed, with a line end that is signed, no text, and JSON that a parser would write in another way.
    let bodies: [(&str, &[u8]); 4] = [
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00"),
        ("identity", b"[{}]\r\n"),
        ("identity", b"\xff\xfe\x00"),
        ("identity", b"{ \"a\" : 1.0e0 , \"a\":2, \"\\u00e9\" :\t[] }"),
    ];
    for (number, (encoding, body)) in bodies.into_iter().enumerate() {
        let request = || {
            let request = gateway.post("/hooks/github").header("X-GitHub-Delivery", format!("bytes-{number}"));
            let request = request.header("X-Hub-Signature-256", signature(SECRET, body));
            request.header("Content-Encoding", encoding).header("Content-Type", "application/json").body(body.to_vec())
        };
        answered(202, request).await;
        let stored = answer_to(gateway.get(&format!("/system/sources/github/events/bytes-{number}/body"))).await;
        assert_eq!(stored.body, body);
    }
    platform.site.wait_for_runs(bodies.len()).await;
    let expected = bodies.iter().map(|(_, body)| format!("github {}", sha256(body)));
    let runs: HashSet<_> = platform.site.runs().into_iter().collect();
    assert_eq!(runs, expected.collect());
}

#[tokio::test]
async fn neither_equal_bytes_nor_the_ids_of_another_source_make_a_duplicate() {
    let platform = Platform::start([seen()]).await;
    let gateway = &platform.gateway;
    for name in ["one", "two"] {
        declare(gateway, name, json!({ "preset": "github" }), Some(SECRET)).await;
    }
    declare(gateway, "bare", json!({ "preset": "token" }), Some("a token")).await;
    for name in ["one", "two"] {
        let answer = answered(202, || gateway.webhook(name, "push", "same", "{}")).await;
        assert_eq!((answer.header("x-skep-event-id"), answer.header("x-skep-duplicate")), ("same", ""));
    }
    let without_id = || gateway.post("/hooks/bare").header("X-Skep-Token", "a token").body("{}");
    let first = answered(202, without_id).await;
    let second = answered(202, without_id).await;
    assert_ne!(first.header("x-skep-event-id"), second.header("x-skep-event-id"));
    assert_eq!((first.header("x-skep-duplicate"), second.header("x-skep-duplicate")), ("", ""));
    platform.site.wait_for_runs(4).await;
    let mut sources: Vec<_> =
        platform.site.runs().iter().map(|run| run.split(' ').next().unwrap().to_owned()).collect();
    sources.sort();
    assert_eq!(sources, ["bare", "bare", "one", "two"]);
}

/// Twilio's own example.
const CALL: &str = "CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212";

#[tokio::test]
async fn a_signed_address_is_the_one_of_the_source_whatever_a_proxy_makes_of_it() {
    let platform = Platform::start([seen()]).await;
    let gateway = &platform.gateway;
    let spec = json!({ "preset": "twilio", "url": "https://mycompany.com/myapp.php" });
    declare(gateway, "sms", spec, Some("12345")).await;
    let call = |path: &str, body: &'static str| {
        let request = gateway.post(path).header("X-Twilio-Signature", "0/KCTR6DLpKmkAf8muzZqo1nDgQ=");
        request.header("Content-Type", "application/x-www-form-urlencoded").body(body)
    };
    let forwarded = |request: reqwest::RequestBuilder| {
        let request = request.header("Host", "inside:8080").header("X-Forwarded-Host", "evil.example");
        request.header("X-Forwarded-Proto", "http")
    };
    // A slash more makes no redirect, which a sender would take for a failure.
    for path in ["/hooks/sms?foo=1&bar=2", "/hooks/sms/?foo=1&bar=2"] {
        let answer = answered(200, || forwarded(call(path, CALL))).await;
        assert_eq!((answer.text().as_str(), answer.header("content-type")), ("<Response/>", "text/xml"));
    }
    assert_eq!(answer_to(call("/hooks/sms?foo=1&bar=3", CALL)).await.status, 401);
    assert_eq!(answer_to(call("/hooks/sms?foo=1&bar=2", "Digits=1")).await.status, 401);
}

#[tokio::test]
async fn each_item_of_a_batch_is_verified_and_the_answer_is_what_the_provider_asks_for() {
    let platform = Platform::start([seen()]).await;
    let gateway = &platform.gateway;
    let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    declare(gateway, "adyen", json!({ "preset": "adyen" }), Some(key)).await;
    // Adyen's own example.
    let item = |value: u32| {
        json!({ "NotificationRequestItem": {
            "additionalData": { "hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=" },
            "amount": { "currency": "EUR", "value": value }, "eventCode": "AUTHORISATION",
            "merchantAccountCode": "TestMerchant", "merchantReference": "TestPayment-1407325143704",
            "pspReference": "7914073381342284", "success": "true",
        } })
    };
    let send = |items: Vec<Value>| gateway.post("/hooks/adyen").json(&json!({ "notificationItems": items }));
    let good = answered(200, || send(vec![item(1130), item(1130)])).await;
    assert_eq!(good.text(), "[accepted]");
    for forged in [vec![item(1130), item(999_999)], vec![item(999_999), item(1130)], vec![]] {
        assert_eq!(answer_to(send(forged)).await.status, 401);
    }
}

#[tokio::test]
async fn challenges_come_by_other_verbs_and_have_no_event_signed() {
    let platform = Platform::start([seen()]).await;
    let gateway = &platform.gateway;
    declare(gateway, "x", json!({ "preset": "x" }), Some("consumer")).await;
    // Before it has a secret: Trello asks when the webhook is made.
    declare(gateway, "trello", json!({ "preset": "trello", "url": "https://example.com/hooks/trello" }), None).await;
    let crc = |token: &str| gateway.get("/hooks/x").query(&[("crc_token", token)]);
    let answer = answered(200, || crc("challenge-1")).await;
    let signed = answer.json()["response_token"].as_str().unwrap().to_owned();
    // It comes again, and again.
    assert_eq!(answered(200, || crc("challenge-1")).await.json()["response_token"], signed);
    answered(200, || gateway.request(Method::HEAD, "/hooks/trello")).await;
    // A text that could be an event is not signed; the answer would be a signature of it.
    for oracle in [r#"{"tweet_create_events":[]}"#, "[1]", "a b", ""] {
        let refused = answer_to(crc(oracle)).await;
        assert_ne!(refused.status, 200, "{oracle}");
        assert!(!refused.text().contains("sha256="), "{refused:?}");
    }
    // What was signed is no event either, since it is no JSON: it says nothing that its sender did not know.
    let listed = answer_to(gateway.get("/system/sources/x/events")).await.json();
    assert_eq!(listed["events"], json!([]));
    assert!(platform.site.runs().is_empty());
}

#[tokio::test]
async fn a_slow_function_keeps_no_sender_waiting() {
    let platform = Platform::start([Function::gated()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    gateway.declare("github", json!({ "preset": "github", "routes": [{ "to": "gated" }] })).await;
    gateway.push("github", "delivery-1").await;
    let event = gateway.routed_event("github", "delivery-1").await;
    let call = event["calls"][0]["callId"].as_str().unwrap().to_owned();
    // The sender has its answer, and the function has not ended. The other run is that of the ping.
    site.wait_for_runs(2).await;
    assert!(gateway.call_status(&call).await.is_none_or(|status| status["state"] != "succeeded"));
    fs::write(site.path("gate"), "").unwrap();
    assert_eq!(gateway.finished(&call).await["state"], "succeeded");
}

#[tokio::test]
async fn a_thousand_events_outlive_a_wrong_secret() {
    const EVENTS: usize = 1000;
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let filter = json!({ "type": "push" });
    let spec = json!({ "preset": "github", "unverified": "hold", "routes": [{ "to": "counted", "filter": filter }] });
    gateway.declare("github", spec).await;
    let body = r#"{"ref":"refs/heads/main"}"#;
    let mac = signature("the secret that was put wrong", body.as_bytes());
    let sent = stream::iter(0..EVENTS).map(async |number| {
        let request = gateway.unsigned_webhook("github", "push", &format!("held-{number}"), body);
        answer_to(request.header("X-Hub-Signature-256", &mac)).await.status
    });
    let answers: Vec<_> = sent.buffer_unordered(32).collect().await;
    assert!(answers.iter().all(|status| *status == 202), "{answers:?}");
    assert!(site.runs().is_empty());
    gateway.add_secret("github", "the secret that was put wrong").await;
    let mut released = 0;
    wait_until("all are let in", async || {
        let answer = gateway.send(Method::POST, "/system/sources/github/release", &json!({ "all": true })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        released += answer.json()["released"].as_array().unwrap().len();
        released == EVENTS
    })
    .await;
    wait_until("each has run", async || site.runs().len() >= EVENTS).await;
    let runs = site.runs();
    assert_eq!(runs.iter().collect::<HashSet<_>>().len(), EVENTS, "each is a call of its own");
    assert_eq!(runs.len(), EVENTS, "and none has run twice");
}

#[tokio::test]
async fn what_was_held_is_checked_at_the_time_at_which_it_came() {
    let platform = Platform::start([seen()]).await;
    let gateway = &platform.gateway;
    let scheme = json!({
        "hmac": "sha256",
        "signature": { "from": "header:X-Signature", "pick": "sha256={sig}", "encoding": "hex" },
        "timestamp": { "from": "header:X-Time", "unit": "s", "tolerance": "3s" },
        "signed": "{timestamp}.{body}",
    });
    declare(gateway, "timed", json!({ "unverified": "hold", "verify": [scheme] }), Some("a wrong secret")).await;
    let now = || time::OffsetDateTime::now_utc().unix_timestamp();
    // Only one that came in time is held for its secret alone.
    let (sent, id) = wait_for("it is held because of its secret", async || {
        let sent = now();
        let mac = signature("the secret", format!("{sent}.{{}}").as_bytes());
        let request = gateway.post("/hooks/timed").header("X-Time", sent).header("X-Signature", mac).body("{}");
        let answer = answer_to(request).await;
        let held = answer_to(gateway.get("/system/sources/timed/held")).await;
        let held = (answer.status == 202).then(|| held.json())?[0].clone();
        let id = held["id"].as_str()?.to_owned();
        held["reason"].as_str()?.contains("fits no secret").then_some((sent, id))
    })
    .await;
    wait_until("its time is over", async || now() > sent + 4).await;
    gateway.add_secret("timed", "the secret").await;
    wait_until("it is let in", async || {
        let release = gateway.send(Method::POST, "/system/sources/timed/release", &json!({ "ids": [&id] })).await;
        release.json()["released"].as_array().is_some_and(|released| released.len() == 1)
    })
    .await;
    platform.site.wait_for_runs(1).await;
}

#[tokio::test]
async fn cloudevents_shake_hands_and_come_in_each_mode() {
    let reported = Function::new("told", r#"sh -c 'echo "$Http_Ce_Id $Http_Ce_Type $(cat)" >> runs'"#);
    let platform = Platform::start([reported]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let spec = json!({ "name": "ce", "preset": "cloudevents", "routes": [{ "to": "told", "send": "cloudevents" }] });
    assert_eq!(gateway.send(Method::POST, "/system/sources", &spec).await.status, 201);
    gateway.add_secret("ce", "the token").await;
    let shake = || {
        let asked =
            gateway.request(Method::OPTIONS, "/hooks/ce").header("WebHook-Request-Origin", "events.example.com");
        asked.header("WebHook-Request-Rate", "120")
    };
    let allowed = answered(200, shake).await;
    let names = ["webhook-allowed-origin", "webhook-allowed-rate", "allow"];
    assert_eq!(names.map(|name| allowed.header(name)), ["events.example.com", "*", "POST"]);
    let post = |kind: &str, body: &Value| {
        let request = gateway.post("/hooks/ce").header("Content-Type", kind).body(body.to_string());
        request.header("Authorization", "Bearer the token")
    };
    let event = |id: &str| json!({ "specversion": "1.0", "id": id, "source": "/shop", "type": "com.example.sold", "data": { "id": id } });
    let binary = || {
        let attributes =
            [("ce-specversion", "1.0"), ("ce-id", "a"), ("ce-source", "/shop"), ("ce-type", "com.example.sold")];
        let request = post("application/json", &json!({ "id": "a" }));
        attributes.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    answered(202, binary).await;
    let structured = answer_to(post("application/cloudevents+json", &event("b"))).await;
    assert_eq!(structured.status, 202, "{structured:?}");
    // Source and id are what an event is, in whichever mode it comes.
    let again = answer_to(post("application/cloudevents+json", &event("a"))).await;
    assert_eq!((again.status, again.header("x-skep-duplicate")), (202, "true"), "{again:?}");
    let batch = |ids: &[&str]| Value::Array(ids.iter().map(|id| event(id)).collect());
    let mut broken = batch(&["x", "y"]);
    broken[1].as_object_mut().unwrap().remove("type");
    answer_to(post("application/cloudevents-batch+json", &broken)).await.assert_refused(400);
    assert_eq!(answer_to(post("application/cloudevents-batch+json", &batch(&["c", "d"]))).await.status, 202);
    let forged = gateway.post("/hooks/ce").header("Content-Type", "application/cloudevents+json");
    let forged = forged.header("Authorization", "Bearer another").body(event("e").to_string());
    answer_to(forged).await.assert_refused(401);
    site.wait_for_runs(4).await;
    let mut runs = site.runs();
    runs.sort();
    let expected = ["a", "b", "c", "d"].map(|id| format!(r#"{id} com.example.sold {{"id":"{id}"}}"#));
    assert_eq!(runs, expected);
}
