//! Scaling under labels that change, wrong clocks, figures that cannot be, and a controller that comes back.

use std::{path::Path, time::Duration};

use futures_util::{StreamExt, future::join_all};
use http::Method;
use serde_json::{Value, from_slice, json};

use crate::{
    autoscale::{Load, nap, replicas, see},
    clocks::Clocks,
    harness::{Answer, Function, Gateway, Platform, Roles, Site, free_address, wait_for, wait_until},
    nats,
};

const ON: [&str; 2] = ["--autoscale", "on"];

fn scaled_site(function: Function) -> Site {
    let mut site = Site::new([function]);
    site.environment.push(("SKEP_AUTOSCALE", "on".to_owned()));
    site
}

fn assert_all_succeeded(answers: &[Answer]) {
    let failed: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(failed.is_empty() && !answers.is_empty(), "{} of {}: {failed:?}", failed.len(), answers.len());
}

async fn update(gateway: &Gateway, function: &Function, folder: &Path) -> Answer {
    gateway.send(Method::PUT, "/system/functions", &function.deployment(folder)).await
}

#[tokio::test]
async fn labels_that_contradict_each_other_are_refused_and_the_message_names_one() {
    let platform = Platform::start_with(&ON, []).await;
    for (labels, named) in [
        (vec![("min", "5"), ("max", "2")], "scale.min"),
        (vec![("max", "0")], "scale.max"),
        (vec![("min", "-1")], "scale.min"),
        (vec![("max", "99999999999999999999")], "scale.max"),
        (vec![("target", "1e3")], "scale.target"),
        (vec![("target-proportion", "NaN")], "scale.target-proportion"),
        (vec![("down.window", "1h")], "scale.down.window"),
        (vec![("type", "RPS")], "scale.type"),
        (vec![("zero", "perhaps")], "scale.zero"),
    ] {
        let add = |function: Function, (label, value): &(&str, &str)| {
            function.label(&format!("com.openfaas.scale.{label}"), value)
        };
        let function = labels.iter().fold(Function::cat(), add);
        let body = function.deployment(platform.site.folder());
        let refused = platform.gateway.send(Method::POST, "/system/functions", &body).await;
        refused.assert_refused(400);
        assert!(refused.text().contains(named), "{labels:?}: {refused:?}");
    }
    assert!(platform.gateway.function("cat").await.is_none(), "nothing was deployed");
}

#[tokio::test]
async fn labels_that_change_under_load_count_at_once_and_no_call_fails() {
    let platform = Platform::start_with(&ON, [nap()]).await;
    let load = Load::begin(&platform.gateway, "nap", 8);
    wait_until("there are more replicas", async || replicas(&platform.gateway, "nap").await >= 4).await;
    for (labels, expected) in [
        ([("max", "2"), ("min", "1")], 2),
        ([("max", "7"), ("min", "6")], 6),
        ([("max", "3"), ("min", "3")], 3),
        // Eight calls that come in at random need some slots more than eight.
        ([("max", "5"), ("min", "1")], 5),
    ] {
        let function = labels
            .iter()
            .fold(nap(), |function, (label, value)| function.label(&format!("com.openfaas.scale.{label}"), value));
        let updated = update(&platform.gateway, &function, platform.site.folder()).await;
        assert_eq!(updated.status, 202, "{updated:?}");
        let what = format!("{expected} replicas with {labels:?}");
        wait_until(&what, async || replicas(&platform.gateway, "nap").await == expected).await;
    }
    assert_all_succeeded(&load.end().await);
}

#[tokio::test]
async fn replicas_follow_the_calls_of_a_gateway_whose_clock_is_wrong() {
    for ahead in [3600, -3600] {
        let mut site = scaled_site(nap());
        let nats = site.start_nats().await;
        let controller = site.start_controller().await;
        let worker = site.start_worker().await;
        Clocks::new(site.folder()).set(&mut site, ahead);
        let gateway = site.start_gateway(&[]).await;
        site.deploy(&nap()).await;
        let load = Load::begin(&site.gateway, "nap", 8);
        wait_until("there are more replicas", async || replicas(&site.gateway, "nap").await >= 4).await;
        assert_all_succeeded(&load.end().await);
        wait_until("there is one replica again", async || replicas(&site.gateway, "nap").await == 1).await;
        drop((gateway, worker, controller, nats));
    }
}

#[tokio::test]
async fn figures_that_cannot_be_harm_nobody() {
    let platform = Platform::start_with(&ON, [nap()]).await;
    let client = nats::client(&platform.site).await;
    let most = u64::MAX;
    let calls = |name: &str| {
        json!({ "name": name, "arrived": most, "done": 1, "busyMs": most, "longestMs": most, "inFlight": most,
            "held": most, "times": vec![most; 40] })
    };
    for number in 0..200 {
        let functions = [calls("nap"), calls(&format!("nobody-{number}"))];
        let report = json!({ "sender": format!("stranger-{number}"), "seq": most, "ms": most, "functions": functions });
        client.publish("skep.activity", report.to_string().into()).await.unwrap();
    }
    let stats = json!({ "at": "2026-01-01T00:00:00Z", "seq": most, "ms": most, "functions": [], "totals": calls("x") });
    client.publish("skep.stats", stats.to_string().into()).await.unwrap();
    for junk in ["", "{", "[]", "{\"functions\":7}", "null"] {
        client.publish("skep.activity", junk.into()).await.unwrap();
        client.publish("skep.stats", junk.into()).await.unwrap();
    }
    client.flush().await.unwrap();
    wait_until("it has as many as it may have", async || replicas(&platform.gateway, "nap").await == 5).await;
    assert_eq!(platform.gateway.call("nap", "").await.status, 200);
    see(&platform.site, "each second goes on", |function| function["scaling"]["reason"].is_string()).await;
    assert_eq!(platform.site.panics(), [""; 0]);
}

/// Looks at each second that a controller publishes, until some have gone by, and returns who counts them.
async fn seconds(site: &Site, number: usize) -> Vec<(u64, Value)> {
    let mut seconds = nats::client(site).await.subscribe("skep.stats").await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < number {
        let next = tokio::time::timeout(Duration::from_secs(60), seconds.next()).await.unwrap().unwrap();
        let second: Value = from_slice(&next.payload).unwrap();
        seen.push((second["seq"].as_u64().unwrap(), second["functions"][0]["replicas"].clone()));
    }
    seen
}

#[tokio::test]
async fn a_controller_that_was_suspended_decides_nothing_when_another_one_leads() {
    let function = nap().env("max_inflight", "2").label("com.openfaas.scale.down.window", "60s");
    let mut roles = Roles::start_at(scaled_site(function)).await;
    let ids = join_all((0..200).map(|_| roles.gateway.queue("nap", ""))).await;
    wait_until("there are more replicas", async || replicas(&roles.gateway, "nap").await == 5).await;
    roles.controller.suspend().await;
    // As on another machine.
    roles.site.controller_admin = free_address();
    roles.site.data = roles.site.path("other-data");
    let other = roles.site.start_controller().await;
    let leads = async || Some(seconds(&roles.site, 1).await.remove(0)).filter(|(seq, _)| *seq > 2);
    wait_for("the other one leads", leads).await;
    assert_eq!(replicas(&roles.gateway, "nap").await, 5, "it begins with what there was");
    roles.controller.signal(rustix::process::Signal::CONT);
    let seen = seconds(&roles.site, 8).await;
    assert!(seen.windows(2).all(|two| two[1].0 == two[0].0 + 1), "one counts the seconds: {seen:?}");
    // On a busy machine a function may be missing in a second.
    let known: Vec<_> = seen.iter().map(|(_, replicas)| replicas).filter(|replicas| !replicas.is_null()).collect();
    assert!(!known.is_empty() && known.iter().all(|replicas| **replicas == 5), "{seen:?}");
    for id in ids {
        assert_eq!(roles.gateway.finished(&id).await["state"], "succeeded");
    }
    drop(other);
}
