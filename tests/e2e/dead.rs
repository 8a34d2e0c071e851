//! Dead letters, as an operator sees them: listed, shown, redriven, removed.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Function, Platform, Receiver, answer_to, wait_for};

/// Fails until the file `well` is there, and does not end while the file `gate` is.
fn sick() -> Function {
    let script = "while [ -e gate ]; do sleep 0.1; done; if [ -e well ]; then cat; else echo sorry; exit 3; fi";
    Function::new("sick", &format!("sh -c '{script}'")).annotation("com.openfaas.retry.attempts", "1")
}

async fn ask(platform: &Platform, method: Method, path: &str) -> Answer {
    answer_to(platform.gateway.request(method, path)).await
}

async fn dead_letters(platform: &Platform, query: &str) -> Vec<Value> {
    let answer = ask(platform, Method::GET, &format!("/system/dead{query}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().unwrap().clone()
}

async fn dead(platform: &Platform, id: &str, body: &'static str) -> Value {
    let request = platform.gateway.post("/async-function/sick/path?x=1").header("X-Call-Id", id);
    assert_eq!(answer_to(request.header("X-Order", "7").body(body)).await.status, 202);
    let status = platform.gateway.finished(id).await;
    assert_eq!(status["state"], "dead", "{status}");
    status
}

#[tokio::test]
async fn a_letter_is_listed_shown_and_sent_again_under_its_own_id() {
    let platform = Platform::start([sick()]).await;
    dead(&platform, "one", "honey").await;
    let listed = dead_letters(&platform, "?function=sick").await;
    assert_eq!(listed.len(), 1);
    // Its log line is in the span of its delivery, and comes after its record.
    let span = "delivery{call_id=one function=sick attempt=1}";
    wait_for("its log line", async || platform.up.stderr().contains(span).then_some(())).await;
    let letter = &listed[0];
    assert_eq!((&letter["callId"], &letter["kind"], &letter["attempts"]), (&json!("one"), &json!("call"), &json!(1)));
    assert_eq!(letter["lastStatus"], 500);

    let shown = ask(&platform, Method::GET, "/system/dead/one").await.json();
    assert_eq!(
        (&shown["text"], &shown["request"]["path"], &shown["request"]["query"]),
        (&json!("honey"), &json!("/path"), &json!("x=1"))
    );
    assert!(shown["lastAnswer"].as_str().unwrap().contains("sorry"), "{shown}");
    assert!(shown["request"]["headers"].as_array().unwrap().contains(&json!(["x-order", "7"])), "{shown}");

    std::fs::write(platform.site.path("well"), "").unwrap();
    assert_eq!(ask(&platform, Method::POST, "/system/dead/one/redrive").await.status, 202);
    let status = platform.gateway.state("one", "succeeded").await;
    assert_eq!(platform.gateway.result("one").await.text(), "honey");
    assert_eq!(status["history"].as_array().unwrap().len(), 1, "{status}");
    assert!(dead_letters(&platform, "").await.is_empty());
}

#[tokio::test]
async fn a_request_may_be_changed_before_it_is_sent_again() {
    let platform = Platform::start([sick()]).await;
    dead(&platform, "two", "honey").await;
    std::fs::write(platform.site.path("well"), "").unwrap();
    for bad in [
        json!({ "path": "no-slash" }),
        json!({ "path": "/two\r\nlines" }),
        json!({ "path": "/a?b" }),
        json!({ "query": "a\rb" }),
        json!({ "query": "a#b" }),
        json!({ "body": "!" }),
        json!({ "headers": { "a b": "1" } }),
        json!({ "x": 1 }),
    ] {
        platform.gateway.send(Method::POST, "/system/dead/two/redrive", &bad).await.assert_refused(400);
    }
    let sent = platform.gateway.send(Method::POST, "/system/dead/two/redrive", &json!({ "text": "wax" })).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED);
    platform.gateway.state("two", "succeeded").await;
    assert_eq!(platform.gateway.result("two").await.text(), "wax");
}

#[tokio::test]
async fn a_change_that_comes_too_late_is_refused() {
    let platform = Platform::start([sick()]).await;
    dead(&platform, "late", "honey").await;
    let stream = crate::nats::stream(&platform.site, "SKEP_DEAD").await;
    let letter = stream.get_last_raw_message_by_subject("skep.dead.sick.late").await.unwrap();
    // The gate keeps it running when it is sent again.
    std::fs::write(platform.site.path("well"), "").unwrap();
    std::fs::write(platform.site.path("gate"), "").unwrap();
    let redrive =
        async |changes: &Value| platform.gateway.send(Method::POST, "/system/dead/late/redrive", changes).await;
    assert_eq!(redrive(&json!({ "text": "wax" })).await.status, 202);
    // The letter is back, as if the gateway had died before it removed it.
    let client = crate::nats::client(&platform.site).await;
    client.publish_with_headers(letter.subject, letter.headers, letter.payload).await.unwrap();
    wait_for("the letter", async || Some(dead_letters(&platform, "").await).filter(|all| all.len() == 1)).await;

    for other in [json!({ "text": "mead" }), json!({ "text": "wax", "path": "/else" }), json!({})] {
        let refused = redrive(&other).await;
        refused.assert_refused(409);
        assert!(refused.text().contains("another request"), "{refused:?}");
    }
    assert_eq!(dead_letters(&platform, "").await.len(), 1, "it stays");
    assert_eq!(redrive(&json!({ "text": "wax" })).await.status, 202, "the same once more is the same");
    assert!(dead_letters(&platform, "").await.is_empty());
    std::fs::remove_file(platform.site.path("gate")).unwrap();
    platform.gateway.state("late", "succeeded").await;
    assert_eq!(platform.gateway.result("late").await.text(), "wax");
}

#[tokio::test]
async fn a_letter_that_dies_again_remembers_both_ends() {
    let platform = Platform::start([sick()]).await;
    dead(&platform, "three", "x").await;
    assert_eq!(ask(&platform, Method::POST, "/system/dead/three/redrive").await.status, 202);
    let ends = wait_for("the second end", async || {
        let shown = ask(&platform, Method::GET, "/system/dead/three").await;
        let history = (shown.status == 200).then(|| shown.json()["request"]["history"].clone())?;
        Some(history).filter(|history| history.as_array().is_some_and(|history| history.len() == 2))
    });
    let ends = ends.await;
    assert!(ends[0]["deadAt"].as_str() < ends[1]["deadAt"].as_str(), "{ends}");
}

#[tokio::test]
async fn many_are_sent_again_or_removed_by_function_and_reason() {
    let platform = Platform::start([sick(), Function::cat()]).await;
    for id in ["a", "b", "c"] {
        dead(&platform, id, "x").await;
    }
    assert_eq!(dead_letters(&platform, "?function=cat").await.len(), 0);
    assert_eq!(dead_letters(&platform, "?reason=no-such-reason").await.len(), 0);
    let first = dead_letters(&platform, "?limit=1").await;
    let rest = dead_letters(&platform, &format!("?after={}", first[0]["sequence"])).await;
    assert_eq!((first.len(), rest.len()), (1, 2));

    std::fs::write(platform.site.path("well"), "").unwrap();
    ask(&platform, Method::POST, "/system/dead-redrive?rate=0").await.assert_refused(400);
    ask(&platform, Method::POST, "/system/dead-redrive?rate=0.1").await.assert_refused(400);
    let done = ask(&platform, Method::POST, "/system/dead-redrive?function=sick&limit=2&rate=50").await.json();
    assert_eq!(done["done"], 2, "{done}");
    for id in ["a", "b"] {
        platform.gateway.state(id, "succeeded").await;
    }
    let removed = ask(&platform, Method::DELETE, "/system/dead?function=sick").await.json();
    assert_eq!(removed["done"], 1, "{removed}");
    assert!(dead_letters(&platform, "").await.is_empty());
    assert_eq!(platform.gateway.call_status("c").await.unwrap()["state"], "dead");
}

#[tokio::test]
async fn a_callback_is_delivered_after_all() {
    let platform = Platform::start([Function::cat()]).await;
    let receiver = Receiver::refusing(1, StatusCode::GONE).await;
    let request = platform.gateway.post("/async-function/cat").header("X-Callback-Url", &receiver.url);
    let id = answer_to(request.body("honey")).await.header("x-call-id").to_owned();
    wait_for("its letter", async || Some(dead_letters(&platform, "?kind=callback").await).filter(|all| all.len() == 1))
        .await;
    let sent = ask(&platform, Method::POST, &format!("/system/dead/{id}/redrive?kind=callback")).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    let callbacks = receiver.wait_for(2).await;
    assert!(callbacks.iter().all(|callback| callback.header("x-call-id") == id && &callback.body[..] == b"honey"));
    assert_eq!(platform.gateway.result(&id).await.text(), "honey");
    assert!(dead_letters(&platform, "").await.is_empty());
    // Who looks at the call sees that the receiver has it after all.
    let steps = async || {
        let status = platform.gateway.call_status(&id).await.unwrap();
        let steps =
            status["timeline"].as_array().unwrap().iter().map(|step| step["event"].as_str().unwrap().to_owned());
        steps.skip_while(|step| step != "givenup").collect::<Vec<_>>()
    };
    wait_for("its last step", async || Some(steps().await).filter(|steps| *steps == ["givenup", "delivered"])).await;
}

#[tokio::test]
async fn credentials_of_a_letter_are_shown_to_who_asks_for_them_alone() {
    let platform = Platform::start([sick()]).await;
    let request = platform.gateway.post("/async-function/sick").header("X-Call-Id", "secret");
    let request = request.header("Authorization", "Bearer TOPSECRET").header("Cookie", "sid=TOPSECRET");
    let request = request.header("X-Callback-Url", "http://user:TOPSECRET@127.0.0.1:9/hook").header("X-Shade", "blue");
    assert_eq!(answer_to(request.header("X-Api-Key", "TOPSECRET").body("x")).await.status, 202);
    platform.gateway.state("secret", "dead").await;

    let shown = ask(&platform, Method::GET, "/system/dead/secret").await;
    assert!(!shown.text().contains("TOPSECRET"), "{shown:?}");
    let headers = shown.json()["request"]["headers"].clone();
    for (name, value) in [
        ("authorization", "(hidden)"),
        ("cookie", "(hidden)"),
        ("x-api-key", "(hidden)"),
        ("x-callback-url", "http://127.0.0.1:9/hook"),
        ("x-shade", "blue"),
    ] {
        assert!(headers.as_array().unwrap().contains(&json!([name, value])), "{name}: {headers}");
    }
    let revealed = ask(&platform, Method::GET, "/system/dead/secret?reveal=true").await.json();
    let headers = &revealed["request"]["headers"];
    assert!(headers.as_array().unwrap().contains(&json!(["authorization", "Bearer TOPSECRET"])), "{headers}");
    assert!(!headers.to_string().contains("user:TOPSECRET"), "{headers}");

    let shown = platform.site.client(&["dead", "show", "secret"]).await.said();
    assert!(shown.contains("(hidden)") && !shown.contains("TOPSECRET"), "{shown}");
    assert!(platform.site.client(&["dead", "show", "secret", "--reveal"]).await.said().contains("Bearer TOPSECRET"));
}

#[tokio::test]
async fn credentials_are_not_stored_where_they_are_not_to_be() {
    let platform = Platform::start_with(&["--strip-credentials"], [sick()]).await;
    let request = platform.gateway.post("/async-function/sick").header("X-Call-Id", "bare").header("X-Shade", "blue");
    let request = request.header("Authorization", "Bearer TOPSECRET").header("Cookie", "sid=TOPSECRET");
    assert_eq!(answer_to(request.body("x")).await.status, 202);
    platform.gateway.state("bare", "dead").await;
    let revealed = ask(&platform, Method::GET, "/system/dead/bare?reveal=true").await.text();
    assert!(!revealed.contains("TOPSECRET") && revealed.contains("x-shade"), "{revealed}");
    let stream = crate::nats::stream(&platform.site, "SKEP_DEAD").await;
    let letter = stream.get_last_raw_message_by_subject("skep.dead.sick.bare").await.unwrap();
    assert!(!format!("{:?}", letter.headers).contains("TOPSECRET"));
}

#[tokio::test]
async fn what_is_no_letter_is_not_found_and_a_deleted_function_gets_none() {
    let platform = Platform::start([sick()]).await;
    for method in [Method::GET, Method::DELETE] {
        ask(&platform, method, "/system/dead/nothing").await.assert_refused(404);
    }
    ask(&platform, Method::POST, "/system/dead/nothing/redrive").await.assert_refused(404);
    dead(&platform, "late", "x").await;
    let delete = json!({ "functionName": "sick" });
    assert_eq!(platform.gateway.send(Method::DELETE, "/system/functions", &delete).await.status, 202);
    ask(&platform, Method::POST, "/system/dead/late/redrive").await.assert_refused(404);
    assert_eq!(dead_letters(&platform, "").await.len(), 1, "it stays");
    assert_eq!(ask(&platform, Method::DELETE, "/system/dead/late").await.status, 200);
    assert!(dead_letters(&platform, "").await.is_empty());
}
