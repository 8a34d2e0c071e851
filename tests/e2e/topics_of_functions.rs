//! The annotation `topic` takes events of each kind of source: of programs, of schedules, and of skep itself.

use std::{fs, os::unix::fs::PermissionsExt};

use http::Method;
use serde_json::{Value, json};

use crate::{
    harness::{Function, Gateway, Platform, Roles, Site, wait_until},
    schedules::{declare, planned},
};

/// Writes which event of which source it got.
fn audit(topic: &str) -> Function {
    let script = r#"echo "$Http_X_Skep_Source $Http_X_Skep_Event_Type $Http_X_Skep_Own_Event $(cat)" >> runs"#;
    Function::new("audit", &format!("sh -c '{script}'")).annotation("topic", topic)
}

async fn has_run(site: &Site, what: &str, is: impl Fn(&str) -> bool) {
    wait_until(what, async || site.runs().iter().any(|run| is(run))).await;
}

/// The routes that the newest event of a source took.
async fn routes(gateway: &Gateway, source: &str) -> Vec<String> {
    let events = gateway.events(source).await;
    let calls = events[0]["calls"].as_array().unwrap().clone();
    let mut routes: Vec<_> = calls.iter().map(|call| call["route"].as_str().unwrap().to_owned()).collect();
    routes.sort();
    routes
}

#[tokio::test]
async fn what_a_program_prints_calls_the_functions_that_name_it() {
    let platform = Platform::start([audit("rows.line"), Function::cat()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let file = site.path("print.sh");
    fs::write(&file, "#!/bin/sh\necho first\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let spec =
        json!({ "program": "./print.sh", "workdir": site.folder(), "type": "line", "routes": [{ "to": "cat" }] });
    declare(gateway, "rows", spec).await;
    has_run(site, "the function is called", |run| run == "rows line  first").await;
    assert_eq!(routes(gateway, "rows").await, ["cat", "topic_audit"]);
}

#[tokio::test]
async fn an_event_of_skep_itself_calls_the_functions_that_name_it_and_makes_no_circle() {
    let dying = Function::new("dying", "sh -c 'exit 3'").annotation("com.openfaas.retry.attempts", "1");
    let broken = Function::new("broken", "sh -c 'exit 3'").annotation("com.openfaas.retry.attempts", "1");
    let platform = Platform::start([audit("platform.*"), broken.annotation("topic", "platform"), dying]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    declare(gateway, "platform", json!({ "skep": ["dead"], "routes": [] })).await;
    assert_eq!(gateway.queue_as("order-17", "dying", "x").await.status, 202);
    has_run(site, "the function is called", |run| run.starts_with("platform dead true {")).await;
    assert_eq!(routes(gateway, "platform").await, ["topic_audit", "topic_broken"]);
    wait_until("the call of the other one has died", async || {
        let dead = gateway.get("/system/dead").send().await.unwrap().json::<Value>().await.unwrap();
        dead.as_array().unwrap().len() == 2
    })
    .await;
    assert_eq!(gateway.events("platform").await.len(), 1);
}

#[tokio::test]
async fn occurrences_call_the_functions_that_name_their_schedule_then() {
    let mut roles = Roles::start([Function::cat()]).await;
    let spec = json!({ "every": "30d", "type": "night", "routes": [{ "to": "cat" }] });
    declare(&roles.gateway, "nightly", spec).await;
    let of = |planned: &[String], route: &str| {
        planned.iter().filter(|id| id.starts_with(&format!("cron-nightly_{route}-"))).count()
    };
    // Without what is fired by hand, which waits for a moment, too.
    let planned =
        async |site: &Site| planned(site).await.into_iter().filter(|id| !id.contains("-now-")).collect::<Vec<_>>();
    wait_until("two are planned", async || planned(&roles.site).await.len() == 2).await;
    // A function that comes later is called at the times that are planned already, and no longer when it is gone.
    let deployment = audit("nightly.night").deployment(roles.site.folder());
    assert_eq!(roles.gateway.send(Method::POST, "/system/functions", &deployment).await.status, 202);
    wait_until("its calls are planned", async || of(&planned(&roles.site).await, "topic_audit") == 2).await;
    assert_eq!(of(&planned(&roles.site).await, "cat"), 2);
    let fired = roles.site.client(&["sources", "fire", "nightly"]).await.said();
    assert!(fired.contains("topic_audit"), "{fired}");
    has_run(&roles.site, "it is called", |run| run.starts_with("nightly night ")).await;
    // It is gone when the next controller comes.
    roles.controller.kill();
    roles.controller = roles.site.start_controller().await;
    assert_eq!(
        roles.gateway.send(Method::DELETE, "/system/functions", &json!({ "functionName": "audit" })).await.status,
        202
    );
    wait_until("its calls are taken back", async || {
        let planned = planned(&roles.site).await;
        (planned.len(), of(&planned, "cat")) == (2, 2)
    })
    .await;
    assert_eq!(routes(&roles.gateway, "nightly").await, ["cat", "topic_audit"]);
}
