//! Schedules as their users meet them: declared, listed, changed, paused, fired, backfilled, and brought along by functions.

use futures_util::StreamExt;
use http::Method;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::{Function, Gateway, Platform, Site, metrics_of, wait_for, wait_until};

/// Far enough away that nothing of it happens during a test.
const RARELY: &str = "30d";

pub(crate) async fn declare(gateway: &Gateway, name: &str, mut spec: Value) -> Value {
    spec["name"] = name.into();
    let answer = gateway.send(Method::POST, "/system/sources", &spec).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

/// The ids of calls that wait for their time.
pub(crate) async fn planned(site: &Site) -> Vec<String> {
    let delayed = crate::nats::stream(site, "SKEP_DELAYED").await;
    let mut subjects = delayed.info_with_subjects("skep.delayed.wait.*.*").await.unwrap();
    let mut ids = Vec::new();
    while let Some(subject) = subjects.next().await {
        ids.push(subject.unwrap().0.rsplit('.').next().unwrap().to_owned());
    }
    ids.sort();
    ids
}

/// The states of the calls of a schedule that have ended, by their ids, with the reasons.
pub(crate) async fn ended(gateway: &Gateway, beginning: &str) -> Vec<(String, String, String)> {
    let listed = gateway.get("/system/calls?limit=1000").send().await.unwrap().json::<Value>().await.unwrap();
    let calls = listed.as_array().cloned().unwrap();
    let text = |call: &Value, key: &str| call[key].as_str().unwrap_or_default().to_owned();
    let ours = calls.iter().filter(|call| text(call, "callId").starts_with(beginning));
    let ended = ours.filter(|call| ["succeeded", "failed", "dead", "cancelled"].contains(&&*text(call, "state")));
    let mut ended: Vec<_> =
        ended.map(|call| (text(call, "callId"), text(call, "state"), text(call, "reason"))).collect();
    ended.sort();
    ended
}

async fn wait_for_planned(site: &Site, count: usize) -> Vec<String> {
    wait_for(&format!("{count} planned calls"), async || Some(planned(site).await).filter(|ids| ids.len() == count))
        .await
}

#[tokio::test]
async fn a_schedule_is_declared_with_its_next_times_and_bad_ones_are_refused() {
    let platform = Platform::start([Function::cat()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let spec = json!({ "cron": "0 3 * * *", "timezone": "Europe/Berlin", "routes": [{ "to": "cat" }] });
    let reported = declare(gateway, "nightly", spec.clone()).await;
    assert_eq!((&reported["kind"], &reported["path"]), (&json!("schedule"), &Value::Null));
    let next = reported["next"].as_array().unwrap();
    assert!(next.len() == 3 && next.iter().all(|time| time.as_str().unwrap().contains("T03:00:00+0")), "{reported}");
    let ids = wait_for_planned(site, 2).await;
    assert!(ids.iter().all(|id| id.starts_with("cron-nightly_cat-")), "{ids:?}");
    for (key, value, expected) in [
        ("cron", json!("0 0 30 2 *"), "cron: \"0 0 30 2 *\" never fires"),
        ("timezone", json!("Europe/Berln"), "did you mean Europe/Berlin?"),
        ("overlap", json!("wait"), "overlap: "),
        ("every", json!("1h"), "every: cannot be together with cron"),
        ("preset", json!("github"), "preset: is for sources of the kind webhook"),
    ] {
        let mut bad = spec.clone();
        (bad["name"], bad[key]) = (json!("bad"), value);
        let answer = gateway.send(Method::POST, "/system/sources", &bad).await;
        assert!(answer.status == 400 && answer.text().contains(expected), "{answer:?}");
    }
    let answer = gateway.send(Method::POST, "/hooks/nightly", &json!({})).await;
    assert_eq!(answer.status, 404, "nobody sends it events");
    let shown = site.client(&["sources", "list"]).await.said();
    assert!(shown.contains("schedule") && shown.contains("T03:00:00+0"), "{shown}");
    let times = site.client(&["sources", "next", "nightly", "-n", "4"]).await.said();
    assert_eq!(times.lines().count(), 4, "{times}");
}

#[tokio::test]
async fn what_waits_of_a_schedule_follows_its_declaration() {
    let platform = Platform::start([Function::cat()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let spec = |body: &str| json!({ "name": "rare", "every": RARELY, "body": body, "routes": [{ "to": "cat" }] });
    declare(gateway, "rare", spec("one")).await;
    let ids = wait_for_planned(site, 2).await;
    let body = async || {
        let delayed = crate::nats::stream(site, "SKEP_DELAYED").await;
        let first = delayed.get_last_raw_message_by_subject(&format!("skep.delayed.wait.cat.{}", ids[0])).await;
        first.ok().map(|message| String::from_utf8_lossy(&message.payload).into_owned())
    };
    assert_eq!(body().await.unwrap(), "one");
    assert_eq!(gateway.send(Method::PUT, "/system/sources", &spec("two")).await.status, 200);
    wait_until("the same times are planned with the new body", async || body().await.as_deref() == Some("two")).await;
    for (what, count) in [("pause", 0), ("resume", 2)] {
        let answer = gateway.send(Method::POST, &format!("/system/sources/rare/{what}"), &json!({})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let now = wait_for_planned(site, count).await;
        assert!(count == 0 || now == ids, "{now:?}");
    }
    let mut disabled = spec("two");
    disabled["disabled"] = json!(true);
    assert_eq!(gateway.send(Method::PUT, "/system/sources", &disabled).await.status, 200);
    wait_for_planned(site, 0).await;
    assert_eq!(gateway.send(Method::PUT, "/system/sources", &spec("two")).await.status, 200);
    wait_for_planned(site, 2).await;
    assert_eq!(gateway.send(Method::DELETE, "/system/sources", &json!({ "name": "rare" })).await.status, 200);
    wait_for_planned(site, 0).await;
    let audit = site.client(&["audit"]).await;
    audit.code_is(0);
}

#[tokio::test]
async fn an_occurrence_is_an_event_and_its_call_says_what_it_is() {
    let platform = Platform::start([Function::echo_http()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let spec = json!({
        "every": "1s", "overlap": "allow", "timezone": "Asia/Kolkata", "type": "tick", "body": { "job": 1 },
        "path": "/run", "headers": { "X-Env": "test" }, "routes": [{ "to": "echo" }],
    });
    declare(gateway, "ticks", spec).await;
    let event = wait_for("an event of the schedule", async || {
        let listed = gateway.get("/system/sources/ticks/events").send().await.ok()?.json::<Value>().await.ok()?;
        listed["events"].as_array()?.first().cloned()
    })
    .await;
    let (id, call) = (event["id"].as_str().unwrap(), event["calls"][0]["callId"].as_str().unwrap());
    assert_eq!(call, format!("cron-ticks_echo-{id}"));
    assert_eq!(gateway.finished(call).await["state"], "succeeded");
    let request = gateway.result(call).await.json();
    let headers = request["headers"].as_object().unwrap();
    let header = |name: &str| {
        let found = headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_str()).unwrap_or_default().to_owned()
    };
    let planned = OffsetDateTime::parse(&header("X-Skep-Planned-At"), &Rfc3339).unwrap();
    assert_eq!(planned.offset().as_hms(), (5, 30, 0), "{request}");
    assert_eq!(OffsetDateTime::parse(event["receivedAt"].as_str().unwrap(), &Rfc3339).unwrap(), planned);
    for (name, value) in [
        ("X-Skep-Source", "ticks"),
        ("X-Skep-Event-Type", "tick"),
        ("X-Topic", "cron-function"),
        ("X-Connector", "cron-connector"),
        ("X-Env", "test"),
        ("Content-Type", "application/json"),
    ] {
        assert_eq!(header(name), value, "{request}");
    }
    let replayed = gateway.send(Method::POST, "/system/sources/ticks/replay", &json!({ "ids": [id] })).await.json();
    assert_eq!(gateway.finished(replayed["calls"][0]["callId"].as_str().unwrap()).await["state"], "succeeded");
    site.client(&["sources", "pause", "ticks"]).await.code_is(0);
    wait_for_planned(site, 0).await;
    let metrics = metrics_of(site.admin).await;
    assert!(metrics.contains("queue_worker_schedule_calls_total{outcome=\"fired\",route=\"echo\",source=\"ticks\"}"));
    assert!(metrics.contains("controller_schedule_planned_total{source=\"ticks\"}"));
    assert!(metrics.contains("queue_worker_schedule_lateness_seconds_count "));
    site.client(&["audit"]).await.code_is(0);
}

#[tokio::test]
async fn fire_and_backfill_make_calls_of_their_own() {
    let platform = Platform::start([Function::counted()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    declare(gateway, "rare", json!({ "every": RARELY, "routes": [{ "to": "counted" }] })).await;
    let fired = site.client(&["sources", "fire", "rare", "--json"]).await.said();
    let fired: Value = serde_json::from_str(&fired).unwrap();
    let call = fired["occurrences"][0]["calls"][0]["callId"].as_str().unwrap();
    assert!(call.starts_with("cron-rare_counted-now-"), "{fired}");
    assert_eq!(gateway.finished(call).await["state"], "succeeded");
    let backfill = ["sources", "backfill", "rare", "--from", "90d", "--id", "again", "--json"];
    let mut ids = Vec::new();
    // Asked for again, it makes no call twice.
    for _ in 0..2 {
        let filled: Value = serde_json::from_str(&site.client(&backfill).await.said()).unwrap();
        ids = filled["occurrences"].as_array().unwrap().iter().map(|one| one["calls"][0]["callId"].clone()).collect();
        assert_eq!(ids.len(), 3, "{filled}");
    }
    for id in &ids {
        assert_eq!(gateway.finished(id.as_str().unwrap()).await["state"], "succeeded");
    }
    let runs = site.runs();
    assert_eq!(runs[1..].iter().map(|run| json!(run)).collect::<Vec<_>>(), ids, "each once, the oldest first");
    let time = |value: &Value| OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap();
    let last = gateway.source("rare").await["lastEventAt"].clone();
    assert_eq!(time(&last), time(&fired["occurrences"][0]["plannedAt"]), "times of the past are not the last event");
    for (path, body, expected) in [
        ("backfill", json!({}), "from is missing"),
        ("backfill", json!({ "from": "1h", "to": "2099-01-01T00:00:00Z" }), "to: must not be later than now"),
        ("backfill", json!({ "from": "1h", "overlap": "maybe" }), "overlap: \"maybe\" is not one of"),
        ("fire?overlap=maybe", json!({}), "overlap: \"maybe\" is not one of"),
    ] {
        let answer = gateway.send(Method::POST, &format!("/system/sources/rare/{path}"), &body).await;
        assert!(answer.status == 400 && answer.text().contains(expected), "{answer:?}");
    }
    site.client(&["audit"]).await.code_is(0);
}

#[tokio::test]
async fn annotations_make_a_schedule_that_changes_and_goes_with_its_function() {
    let scheduled = |schedule: &str| {
        Function::counted().annotation("topic", "other, cron-function").annotation("schedule", schedule)
    };
    let platform = Platform::start([scheduled("0 3 * * *; 0 4 * * *")]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let source = async || {
        let sources = gateway.get("/system/sources").send().await.unwrap().json::<Value>().await.unwrap();
        sources.as_array().unwrap().iter().find(|source| source["name"] == "cron-counted").cloned()
    };
    let made = wait_for("the source of the function", async || source().await).await;
    assert_eq!(made["spec"]["cron"], json!(["0 3 * * *", "0 4 * * *"]));
    assert_eq!((&made["spec"]["overlap"], &made["function"]), (&json!("allow"), &json!("counted")));
    for (method, body) in [
        (Method::PUT, json!({ "name": "cron-counted", "every": "1h" })),
        (Method::DELETE, json!({ "name": "cron-counted" })),
    ] {
        let answer = gateway.send(method, "/system/sources", &body).await;
        assert!(answer.status == 409 && answer.text().contains("function counted"), "{answer:?}");
    }
    let bad = scheduled("every day").deployment(site.folder());
    let answer = gateway.send(Method::PUT, "/system/functions", &bad).await;
    assert!(answer.status == 400 && answer.text().contains("annotation schedule: "), "{answer:?}");
    let often = scheduled("* * * * * *").deployment(site.folder());
    assert_eq!(gateway.send(Method::PUT, "/system/functions", &often).await.status, 202);
    wait_until("it runs each second", async || {
        site.runs().iter().any(|id| id.starts_with("cron-cron-counted_function-"))
    })
    .await;
    let answer = gateway.send(Method::DELETE, "/system/functions", &json!({ "functionName": "counted" })).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    wait_until("the source goes with the function", async || source().await.is_none()).await;
    wait_for_planned(site, 0).await;
}
