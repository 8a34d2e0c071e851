//! What becomes of occurrences of a schedule that overlap, or that nobody could run in time.

use http::Method;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    harness::{DEADLINE, Function, Platform, Roles, wait_for, wait_until},
    schedules::{declare, ended},
};

async fn each_second(platform: &Platform, overlap: &str) {
    let spec = json!({ "every": "1s", "overlap": overlap, "routes": [{ "to": "gated" }] });
    declare(&platform.gateway, "ticks", spec).await;
}

async fn pause(platform: &Platform) {
    let answer = platform.gateway.send(Method::POST, "/system/sources/ticks/pause", &json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn an_occurrence_is_skipped_while_an_earlier_one_runs() {
    let platform = Platform::start([Function::gated()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    each_second(&platform, "skip").await;
    let skipped = wait_for("three skipped calls", async || {
        let ended = ended(gateway, "cron-ticks_gated-").await;
        Some(ended).filter(|ended| ended.len() >= 3)
    })
    .await;
    site.wait_for_runs(1).await;
    let runs = site.runs();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let expected = format!("skipped: {} is still running", runs[0]);
    assert!(skipped.iter().all(|(_, state, reason)| state == "cancelled" && *reason == expected), "{skipped:?}");
    site.open_gate();
    site.wait_for_runs(2).await;
    pause(&platform).await;
    let dead = gateway.get("/system/dead").send().await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(dead["letters"].as_array().map_or(0, Vec::len), 0, "{dead}");
    site.client(&["audit"]).await.code_is(0);
}

#[tokio::test]
async fn one_occurrence_waits_in_a_queue_and_runs_next() {
    let platform = Platform::start([Function::gated()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    each_second(&platform, "queue").await;
    let skipped = wait_for("two skipped calls", async || {
        let ended = ended(gateway, "cron-ticks_gated-").await;
        Some(ended).filter(|ended| ended.len() >= 2)
    })
    .await;
    pause(&platform).await;
    site.wait_for_runs(1).await;
    assert_eq!(site.runs().len(), 1);
    site.open_gate();
    site.wait_for_runs(2).await;
    let second = site.runs()[1].clone();
    assert!(second < skipped[0].0, "the one that waited came before those that were skipped: {second} {skipped:?}");
    assert_eq!(gateway.finished(&second).await["state"], "succeeded");
}

#[tokio::test]
async fn a_later_occurrence_replaces_one_that_runs() {
    let platform = Platform::start([Function::gated()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    each_second(&platform, "replace").await;
    site.wait_for_runs(3).await;
    pause(&platform).await;
    let first = site.runs()[0].clone();
    let status = gateway.finished(&first).await;
    assert_eq!(status["state"], "cancelled", "{status}");
    site.open_gate();
    wait_until("the last one ends by itself", async || {
        ended(gateway, "cron-ticks_gated-").await.iter().any(|(_, state, _)| state == "succeeded")
    })
    .await;
}

fn plan_of(source: &str) -> String {
    format!("plan.{source}")
}

async fn registry_of_sources(roles: &Roles) -> async_nats::jetstream::kv::Store {
    let mut jetstream = async_nats::jetstream::new(roles.site.nats_client().await);
    jetstream.set_timeout(DEADLINE);
    jetstream.get_key_value("SKEP_SOURCES").await.unwrap()
}

/// Waits until the controller has written until when a schedule is planned, which it does after it has planned the calls.
pub(crate) async fn wait_for_plan(roles: &Roles, source: &str) {
    let (sources, now) = (registry_of_sources(roles).await, OffsetDateTime::now_utc());
    wait_until("the plan is written", async || {
        let Some(plan) = sources.get(plan_of(source)).await.unwrap() else { return false };
        let plan: Value = serde_json::from_slice(&plan).unwrap();
        OffsetDateTime::parse(plan["plannedUntil"].as_str().unwrap(), &Rfc3339).unwrap() > now
    })
    .await;
}

/// Says that a schedule was planned until some hours ago and not since, as after an outage.
pub(crate) async fn forget_plan(roles: &Roles, source: &str, hours: i64) {
    let (sources, key) = (registry_of_sources(roles).await, plan_of(source));
    let mut plan: Value = serde_json::from_slice(&sources.get(&*key).await.unwrap().unwrap()).unwrap();
    let then = (OffsetDateTime::now_utc() - time::Duration::hours(hours)).format(&Rfc3339).unwrap();
    (plan["plannedUntil"], plan["listedUntil"]) = (json!(then), json!(then));
    sources.put(&*key, plan.to_string().into()).await.unwrap();
}

async fn after_outage(missed: &str, expected: usize) -> (Roles, Vec<String>) {
    let mut roles = Roles::start([Function::counted()]).await;
    // In half an hour, so that none is due meanwhile.
    let offset = (OffsetDateTime::now_utc().unix_timestamp() + 1800) % 3600;
    let spec = json!({ "every": "1h", "offset": offset.max(1), "missed": missed, "routes": [{ "to": "counted" }] });
    declare(&roles.gateway, "hourly", spec).await;
    wait_until("it is planned", async || crate::schedules::planned(&roles.site).await.len() == 2).await;
    wait_for_plan(&roles, "hourly").await;
    roles.controller.kill();
    forget_plan(&roles, "hourly", 5).await;
    roles.controller = roles.site.start_controller().await;
    wait_until("missed occurrences are listed", async || {
        let listed = roles.gateway.get("/system/sources/hourly/events").send().await.unwrap();
        listed.json::<Value>().await.unwrap()["events"].as_array().map_or(0, Vec::len) >= 5
    })
    .await;
    roles.site.wait_for_runs(expected).await;
    let runs = roles.site.runs();
    (roles, runs)
}

#[tokio::test]
async fn after_an_outage_the_latest_occurrence_runs() {
    let (roles, runs) = after_outage("latest", 1).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    let events =
        roles.gateway.get("/system/sources/hourly/events").send().await.unwrap().json::<Value>().await.unwrap();
    let newest = &events["events"][0];
    assert_eq!((&newest["outcome"], &newest["calls"][0]["callId"]), (&json!("routed"), &json!(runs[0])), "{events}");
    assert_eq!(events["events"][1]["outcome"], "ignored", "{events}");
    let event = roles.site.client(&["sources", "event", "hourly", newest["id"].as_str().unwrap()]).await.said();
    assert!(event.contains("succeeded") || event.contains("running") || event.contains("queued"), "{event}");
}

#[tokio::test]
async fn after_an_outage_all_occurrences_run_one_after_the_other() {
    let (_, runs) = after_outage("all", 5).await;
    let mut sorted = runs.clone();
    sorted.sort();
    assert_eq!(runs, sorted, "the oldest first");
}

#[tokio::test]
async fn after_an_outage_no_occurrence_runs_if_that_is_wanted() {
    let (_, runs) = after_outage("skip", 0).await;
    assert_eq!(runs.len(), 0, "{runs:?}");
}
