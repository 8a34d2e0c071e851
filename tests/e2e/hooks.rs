//! Webhooks that become events: verified, stored once, and one call for each route.

use std::collections::HashSet;

use serde_json::json;

use crate::harness::{Function, Platform, wait_until};

/// Writes its name and what it is told of the event, and then answers.
fn route(name: &str) -> Function {
    let line = "$Http_X_Skep_Route $Http_X_Skep_Event_Id $Http_X_Skep_Event_Type $Http_X_Skep_Verified $Http_X_Topic";
    Function::new(name, &format!(r#"sh -c 'echo "{line}" >> runs; cat'"#)).annotation("skep.sandbox", "off")
}

#[tokio::test]
async fn a_signed_push_runs_both_of_its_functions_once() {
    let platform = Platform::start([route("deploy"), route("audit")]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let push_only = json!({ "type": "push" });
    let routes = json!([{ "to": "deploy", "filter": push_only }, { "to": "audit", "filter": push_only }]);
    gateway.declare("github", json!({ "preset": "github", "routes": routes })).await;
    let answer = gateway.push("github", "delivery-1").await;
    assert_eq!((answer.header("x-skep-duplicate"), answer.body.len()), ("", 0));
    assert!(!answer.header("x-skep-durability").is_empty());
    site.wait_for_runs(2).await;
    let again = gateway.push("github", "delivery-1").await;
    assert_eq!(again.header("x-skep-duplicate"), "true");
    gateway.push("github", "delivery-2").await;
    site.wait_for_runs(4).await;
    wait_until("all calls have ended", async || {
        crate::harness::answer_to(gateway.get("/system/calls?state=succeeded"))
            .await
            .text()
            .matches("ev-github-")
            .count()
            == 4
    })
    .await;
    let runs = site.runs();
    let expected = ["deploy", "audit"]
        .into_iter()
        .flat_map(|to| ["1", "2"].map(|number| format!("{to} delivery-{number} push signature github.push")));
    assert_eq!(runs.iter().cloned().collect::<HashSet<_>>(), expected.collect());
    assert_eq!(runs.len(), 4);
}
