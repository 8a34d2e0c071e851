//! Calls that name no function in their path: `POST /` with `X-Function`, and Alexa.

use serde_json::json;

use crate::harness::{Function, Platform, answer_to, repository};

const ALEXA: &str = r#"{"version":"1.0","session":{"new":true,"sessionId":"amzn1.echo-api.session.1",
    "application":{"applicationId":"amzn1.ask.skill.1"}},
    "request":{"type":"IntentRequest","intent":{"name":"HostnameIntent","slots":{}}}}"#;

fn hostname_intent() -> Function {
    Function::new("hostname-intent", "./hostname-intent.py").folder(repository().join("functions/hostname-intent"))
}

#[tokio::test]
async fn a_header_names_the_function() {
    let platform = Platform::start([Function::cat(), hostname_intent()]).await;
    let post = || platform.gateway.post("/");
    let answer = answer_to(post().header("X-Function", "cat").body("hello")).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert!(!answer.header("x-call-id").is_empty());
    assert_eq!(answer_to(post().header("X-Function", "cat.openfaas-fn").body("hello")).await.text(), "hello");
    answer_to(post().header("X-Function", "unknown").body("hello")).await.assert_refused(404);
    answer_to(post().header("X-Function", "Not A Name").body("hello")).await.assert_refused(400);

    for body in ["hello", ALEXA] {
        let neither = answer_to(post().body(body)).await;
        neither.assert_refused(400);
        assert!(neither.text().contains("X-Function"), "it says how to call: {}", neither.text());
    }
}

#[tokio::test]
async fn an_alexa_request_goes_to_the_function_of_its_intent_when_that_is_switched_on() {
    let platform = Platform::start_with(&["--alexa-routing"], [Function::cat(), hostname_intent()]).await;
    let answer = answer_to(platform.gateway.post("/").body(ALEXA)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let speech = answer.json()["response"]["outputSpeech"]["text"].as_str().unwrap().to_owned();
    assert!(speech.starts_with("This is the host "), "{speech}");

    let header_wins = answer_to(platform.gateway.post("/").header("X-Function", "cat").body(ALEXA)).await;
    assert_eq!(header_wins.text(), ALEXA);
    let nobody = ALEXA.replace("HostnameIntent", "NobodyIntent");
    answer_to(platform.gateway.post("/").body(nobody)).await.assert_refused(404);
    let not_alexa = [json!({}), json!({ "session": { "sessionId": "" } }), json!("sessionId")];
    for body in not_alexa {
        answer_to(platform.gateway.post("/").json(&body)).await.assert_refused(400);
    }
}
