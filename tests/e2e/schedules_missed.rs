//! Missed occurrences are an event of skep's own, once for each gap.

use http::Method;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    harness::{Function, Gateway, Roles, Site, answer_to, wait_until},
    schedules::{declare, ended, planned},
    schedules_policies::{forget_plan, wait_for_plan},
};

/// Writes each event that it gets into the file `runs`.
fn alert() -> Function {
    // In one piece, because two may come at once.
    Function::new("alert", r#"sh -c 'event=$(cat); printf "%s\n" "$event" >> runs'"#)
}

async fn alerting(gateway: &Gateway) {
    let platform = json!({ "skep": ["schedule-missed"], "routes": [{ "to": "alert" }] });
    declare(gateway, "platform", platform).await;
}

/// The events that the function got, each as JSON.
fn alerts(site: &Site) -> Vec<Value> {
    site.runs().iter().map(|run| serde_json::from_str(run).unwrap()).collect()
}

fn time_of(text: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap()
}

/// Five times of an hourly schedule are missed while there is no controller.
async fn after_a_gap(missed: &str) -> Roles {
    let mut roles = Roles::start([alert(), Function::cat()]).await;
    alerting(&roles.gateway).await;
    // In half an hour, so that none is due meanwhile.
    let offset = (OffsetDateTime::now_utc().unix_timestamp() + 1800) % 3600;
    let spec = json!({ "every": "1h", "offset": offset.max(1), "missed": missed, "routes": [{ "to": "cat" }] });
    declare(&roles.gateway, "hourly", spec).await;
    wait_until("it is planned", async || planned(&roles.site).await.len() == 2).await;
    wait_for_plan(&roles, "hourly").await;
    roles.controller.kill();
    forget_plan(&roles, "hourly", 5).await;
    roles.controller = roles.site.start_controller().await;
    roles
}

#[tokio::test]
async fn a_gap_is_told_once_with_its_number_and_its_ends() {
    let mut roles = after_a_gap("skip").await;
    roles.site.wait_for_runs(1).await;
    let first = alerts(&roles.site).remove(0);
    let expected = (&json!("schedule-missed"), &json!("hourly"), &json!(5), &json!(0));
    assert_eq!((&first["event"], &first["source"], &first["count"], &first["run"]), expected, "{first}");
    assert_eq!(time_of(&first["last"]) - time_of(&first["first"]), time::Duration::hours(4), "{first}");
    assert!(first["text"].as_str().unwrap().starts_with("schedule hourly missed 5 occurrences from 2"), "{first}");
    // A controller that was cut off before it wrote how far it had come sees the same gap again.
    roles.controller.kill();
    forget_plan(&roles, "hourly", 5).await;
    roles.controller = roles.site.start_controller().await;
    wait_until("it has seen the gap", async || {
        let answer = answer_to(roles.gateway.get("/system/sources/hourly")).await;
        let events = answer_to(roles.gateway.get("/system/sources/hourly/events")).await.json();
        answer.status == 200 && events["events"].as_array().unwrap().len() >= 5 && planned(&roles.site).await.len() == 2
    })
    .await;
    // What is declared after it is planned after it.
    declare(&roles.gateway, "later", json!({ "every": "1h", "routes": [{ "to": "cat" }] })).await;
    wait_until("the planner has gone on", async || planned(&roles.site).await.len() == 4).await;
    assert_eq!(roles.gateway.events("platform").await.len(), 1);
    let answer = roles.gateway.send(Method::DELETE, "/system/sources", &json!({ "name": "hourly" })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn the_gap_says_how_many_run_late_and_is_none_if_all_do() {
    let roles = after_a_gap("latest").await;
    roles.site.wait_for_runs(1).await;
    let first = alerts(&roles.site).remove(0);
    assert_eq!((&first["count"], &first["run"]), (&json!(5), &json!(1)), "{first}");
    let roles = after_a_gap("all").await;
    wait_until("all run", async || {
        let calls = answer_to(roles.gateway.get("/system/calls?limit=1000")).await.json();
        let ran = |call: &&Value| call["function"] == "cat" && call["state"] == "succeeded";
        calls.as_array().unwrap().iter().filter(ran).count() == 5
    })
    .await;
    assert_eq!(roles.gateway.events("platform").await.len(), 0);
}

#[tokio::test]
async fn planned_calls_that_come_due_too_late_are_told_together() {
    let mut roles = Roles::start([alert(), Function::cat()]).await;
    alerting(&roles.gateway).await;
    let spec = json!({ "every": "1s", "missed": "skip", "overlap": "allow", "routes": [{ "to": "cat" }] });
    declare(&roles.gateway, "ticks", spec).await;
    wait_until("it is planned", async || planned(&roles.site).await.len() > 20).await;
    roles.worker.kill();
    roles.controller.kill();
    let first = planned(&roles.site).await.len();
    // All that is planned comes due, and is a minute late.
    tokio::time::sleep(std::time::Duration::from_secs(60 + first as u64 + 2)).await;
    roles.controller = roles.site.start_controller().await;
    roles.worker = roles.site.start_worker().await;
    let all = || alerts(&roles.site);
    let count = || all().iter().map(|one| one["count"].as_u64().unwrap()).sum::<u64>();
    wait_until("all that was planned is reported", async || count() >= first as u64).await;
    let answer = roles.gateway.send(Method::POST, "/system/sources/ticks/pause", &json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(all().len() <= 4, "they are reported together: {:?}", all());
    assert!(all().iter().all(|one| one["source"] == "ticks" && one["run"] == 0), "{:?}", all());
    roles.site.client(&["audit"]).await.code_is(0);
}

/// Writes its schedule, the time that it is of and how many were missed into the file `runs`, and takes two seconds.
fn late() -> Function {
    let script = r#"echo "$Http_X_Skep_Source $Http_X_Skep_Planned_At $Http_X_Skep_Missed" >> runs; sleep 2"#;
    Function::new("late", &format!("sh -c '{script}'"))
}

#[tokio::test]
async fn after_an_outage_the_newest_or_each_planned_call_runs_and_says_for_how_many() {
    let mut roles = Roles::start([alert(), late()]).await;
    alerting(&roles.gateway).await;
    for missed in ["latest", "all"] {
        let spec = json!({ "every": "20s", "missed": missed, "routes": [{ "to": "late" }] });
        declare(&roles.gateway, missed, spec).await;
    }
    wait_until("both are planned", async || planned(&roles.site).await.len() >= 12).await;
    let now = || OffsetDateTime::now_utc().unix_timestamp();
    // The times of a schedule that ran since, and what they said.
    let times = |source: &str, since: i64| {
        let runs = roles.site.runs();
        let of = runs.iter().filter_map(|run| run.strip_prefix(&format!("{source} "))?.split_once(' '));
        let read = of.map(|(time, said)| (time_of(&json!(time)).unix_timestamp(), said.to_owned()));
        read.filter(|(time, _)| *time > since).collect::<Vec<_>>()
    };
    wait_until("none is under way, and none is soon", async || {
        let newest = now() / 20 * 20;
        for source in ["latest", "all"] {
            let ran = times(source, 0);
            let ended = ended(&roles.gateway, &format!("cron-{source}_")).await;
            if ended.len() < ran.len() || ran.last().is_none_or(|(time, _)| *time != newest) {
                return false;
            }
        }
        now() / 20 * 20 == newest && now() % 20 < 10
    })
    .await;
    roles.worker.kill();
    roles.controller.kill();
    let gone = now();
    let back = gone / 20 * 20 + 90;
    tokio::time::sleep(std::time::Duration::from_secs((back - now()) as u64)).await;
    roles.controller = roles.site.start_controller().await;
    roles.worker = roles.site.start_worker().await;
    let missed = back / 20 - gone / 20;
    let all = || times("all", gone).into_iter().filter(|(time, _)| *time <= back).collect::<Vec<_>>();
    wait_until("each of the one runs", async || all().len() as i64 == missed).await;
    assert!(all().is_sorted_by_key(|(time, _)| *time) && all()[0].1 == "1", "one after the other: {:?}", all());
    wait_until("the newest of the other runs", async || !times("latest", gone).is_empty()).await;
    // On a busy machine, one more has come while all started.
    let (newest, said) = times("latest", gone)[0].clone();
    let replaced = newest / 20 - gone / 20;
    assert!(newest >= back / 20 * 20 && said == replaced.to_string(), "the newest, for all of them: {newest} {said}");
    let reported = || roles.site.runs().into_iter().filter(|run| run.starts_with('{')).collect::<Vec<_>>();
    wait_until("what does not run is reported", async || !reported().is_empty()).await;
    let reported: Value = serde_json::from_str(&reported()[0]).unwrap();
    let expected = (&json!("latest"), &json!(replaced), &json!(1));
    assert_eq!((&reported["source"], &reported["count"], &reported["run"]), expected, "{reported}");
    roles.site.client(&["audit"]).await.code_is(0);
}
