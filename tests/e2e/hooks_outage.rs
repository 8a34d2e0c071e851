//! A secret that was wrong for a thousand events: all of them run once when it is put right.

use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::harness::{Function, Platform, answer_to, signature, wait_until};

const EVENTS: usize = 1000;
/// More than are released in one go.
const FORGERIES: usize = 501;
const SECRET: &str = "the secret that GitHub has";

#[tokio::test]
async fn a_thousand_events_with_a_wrong_secret_all_run_once_when_it_is_put_right() {
    let log = Function::new("log", r#"sh -c 'echo "$Http_X_Skep_Event_Id" >> runs'"#);
    let platform = Platform::start([log.label("com.openfaas.scale.min", "2")]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let routes = json!([{ "to": "log", "filter": { "type": "push" } }]);
    gateway.declare("github", json!({ "preset": "github", "unverified": "hold", "routes": routes })).await;
    let body = r#"{"ref":"refs/heads/main"}"#;
    let send = async |secret: &str, id: String| {
        let request = gateway.unsigned_webhook("github", "push", &id, body);
        let answer = answer_to(request.header("X-Hub-Signature-256", signature(secret, body.as_bytes()))).await;
        assert_eq!((answer.status, answer.header("x-skep-event-id")), (202, ""), "{answer:?}");
    };
    let forge = |number| send("another secret", format!("forgery-{number}"));
    stream::iter(0..FORGERIES).for_each_concurrent(20, forge).await;
    let deliver = |number| send(SECRET, format!("delivery-{number}"));
    stream::iter(0..EVENTS).for_each_concurrent(20, deliver).await;
    assert!(site.runs().is_empty(), "nothing runs that is not verified");

    gateway.add_secret("github", SECRET).await;
    let mut released = 0;
    wait_until("all are released", async || {
        let done = site.client(&["sources", "release", "github", "--all", "--json"]).await;
        let done: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        released += done["released"].as_array().unwrap().len();
        released == EVENTS && done["refused"].as_array().unwrap().len() == FORGERIES
    })
    .await;
    wait_until("all have run", async || {
        let audit = site.client(&["audit", "--json"]).await;
        let report: serde_json::Value = serde_json::from_str(&audit.stdout).unwrap();
        report["functions"][0]["succeeded"] == EVENTS && audit.code == Some(0)
    })
    .await;
    let mut runs = site.runs();
    runs.sort();
    let mut expected: Vec<_> = (0..EVENTS).map(|number| format!("delivery-{number}")).collect();
    expected.sort();
    assert_eq!(runs, expected);
}
