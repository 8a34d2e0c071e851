//! The audit log: how it is listed, how long it is kept, and what is done when it cannot be written.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::{
    audit_log::Watched,
    harness::{Answer, Function, Gateway, Platform, Program, Roles, answer_to, metrics_of, wait_for, wait_until},
    nats,
};

const LOST: &str = "gateway_audit_log_lost_total";

async fn scale(gateway: &Gateway, replicas: u64) -> Answer {
    gateway.send(Method::POST, "/system/scale-function/cat", &json!({ "replicas": replicas })).await
}

#[tokio::test]
async fn the_log_is_listed_in_parts_and_by_what_is_asked_for() {
    let watched = Watched::start(&[], [Function::cat()]).await;
    let admin = &watched.site.gateway;
    for replicas in 1..=5 {
        assert_eq!(scale(admin, replicas).await.status, 202);
    }
    let all = wait_for("all entries", async || Some(watched.entries("").await).filter(|all| all.len() >= 6)).await;
    assert_eq!(all.len(), 6, "{all:?}");
    let sequences: Vec<_> = all.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    assert!(sequences.is_sorted_by(|one, next| one > next), "the newest is first: {sequences:?}");

    let (mut parts, mut after) = (Vec::new(), String::new());
    loop {
        let answer = answer_to(admin.get(&format!("/system/audit-log?limit=4&after={after}"))).await;
        let part = answer.json().as_array().unwrap().clone();
        assert!(part.len() <= 4);
        parts.extend(part);
        after = answer.header("x-skep-next").to_owned();
        if after.is_empty() {
            break;
        }
    }
    assert_eq!(parts, all);

    let (middle, oldest) = (all[2]["at"].as_str().unwrap(), all[5]["at"].as_str().unwrap());
    assert_eq!(watched.entries(&format!("since={middle}")).await, all[..3]);
    assert_eq!(watched.entries(&format!("until={middle}")).await, all[3..]);
    assert_eq!(watched.entries(&format!("until={oldest}")).await, [] as [Value; 0]);
    assert_eq!(watched.entries("since=1h&action=deploy,delete").await, all[5..]);
    assert_eq!(watched.entries("actor=admin&object=cat").await, all[..5]);
    assert_eq!(watched.entries("actor=nobody").await, [] as [Value; 0]);
    for (query, named) in [
        ("since=yesterday", "since: "),
        ("until=x", "until: "),
        ("action=fold", "action: "),
        ("limit=0", "limit: "),
        ("limit=many", "limit: "),
        ("after=w7", "after: "),
    ] {
        let answer = answer_to(admin.get(&format!("/system/audit-log?{query}"))).await;
        answer.assert_refused(400);
        assert!(answer.text().starts_with(named), "{query}: {answer:?}");
    }
    for role in ["read", "invoke", "deploy"] {
        let holder = watched.holder(role, &["--role", role]).await;
        answer_to(holder.get("/system/audit-log")).await.assert_refused(403);
    }
    let limited = watched.holder("limited", &["--role", "admin", "--namespace", "dev"]).await;
    answer_to(limited.get("/system/audit-log")).await.assert_refused(403);
    let other = watched.holder("other", &["--role", "admin"]).await;
    assert_eq!(answer_to(other.get("/system/audit-log")).await.status, 200);
}

#[tokio::test]
async fn the_command_shows_it() {
    let watched = Watched::start(&[], [Function::cat()]).await;
    let (site, data) = (&watched.site, watched.site.data.to_str().unwrap());
    let run = async |more: &[&str]| site.client(&[&["audit-log", "--data-dir", data], more].concat()).await;
    assert_eq!(scale(&site.gateway, 2).await.status, 202);
    let table = run(&[]).await.said();
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["TIME", "ACTOR", "ROLE", "ADDRESS", "ACTION", "OBJECT", "RESULT"]);
    assert_eq!(lines[1][1..], ["user", "admin", "admin", "127.0.0.1", "scale", "cat", "202"]);
    assert_eq!(lines[2][1..], ["stack", "file", "deploy", "cat", "done"]);
    let listed: Value = serde_json::from_str(&run(&["--action", "scale", "--json"]).await.said()).unwrap();
    assert_eq!(listed, json!(watched.entries("action=scale").await));
    assert_eq!(run(&["--actor", "nobody"]).await.said(), "No entries.\n");
    let cut = run(&["--limit", "1"]).await.said();
    assert!(cut.lines().count() == 3 && cut.contains("There may be more"), "{cut}");
    run(&["--action", "fold"]).await.failed(2, "action: \"fold\" is not one of deploy, update");
    let help = site.client(&["audit-log", "--help"]).await.said();
    assert!(help.contains("Examples:") && help.contains("--follow") && help.contains("role admin"), "{help}");

    let follow = |more: &[&str]| {
        let mut command = site.up_command(&[]);
        command = {
            let mut other = std::process::Command::new(command.get_program());
            other.args(["audit-log", "--follow", "--data-dir", data, "--gateway", &site.gateway.url]).args(more);
            other
        };
        Program::start("follow", command, site.folder())
    };
    let (reported, as_json) = (follow(&[]), follow(&["--action", "scale", "--json"]));
    wait_until("what was there", async || {
        reported.stdout().lines().count() == 3 && as_json.stdout().lines().count() == 1
    })
    .await;
    assert_eq!(scale(&site.gateway, 1).await.status, 202);
    wait_until("what comes", async || reported.stdout().lines().count() == 4 && as_json.stdout().lines().count() == 2)
        .await;
    let last: Value = serde_json::from_str(as_json.stdout().lines().last().unwrap()).unwrap();
    assert_eq!(last, watched.entries("limit=1").await[0]);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_told_and_holds_nobody_up() {
    let mut roles = Roles::start([Function::cat()]).await;
    let (gateway, admin) = (&roles.gateway, roles.site.admin);
    let entries = answer_to(gateway.get("/system/audit-log")).await.json();
    assert_eq!(entries[0]["actor"], "anonymous", "nobody has to log in here: {entries}");
    assert_eq!(entries[0].get("role"), None);
    let lost = async || {
        let metrics = metrics_of(admin).await;
        let line = metrics.lines().find(|line| line.starts_with(LOST)).unwrap_or_default().to_owned();
        line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).unwrap_or_default()
    };
    assert_eq!(lost().await, 0);
    // The change is made, and only its entry has no place.
    let bus = nats::client(&roles.site).await;
    let jetstream = async_nats::jetstream::new(bus);
    wait_until("an entry is lost", async || {
        jetstream.delete_stream("SKEP_AUDIT").await.unwrap();
        assert_eq!(scale(gateway, 2).await.status, 202);
        lost().await > 0
    })
    .await;
    let said = roles.role_gateway.stderr();
    let line = said.lines().find(|line| line.contains("an entry of the audit log may be lost")).unwrap();
    for field in ["WARN", "actor=\"anonymous\"", "action=\"scale\"", "object=\"cat\"", "status=202"] {
        assert!(line.contains(field), "{field} is missing: {line}");
    }
    // It is made anew, and goes on.
    let is_back = async || {
        answer_to(gateway.get("/system/audit-log")).await.status == 200 && scale(gateway, 1).await.status == 202
    };
    wait_until("the log is back", async || {
        is_back().await && !answer_to(gateway.get("/system/audit-log")).await.json().as_array().unwrap().is_empty()
    })
    .await;

    // A server that stands still is waited for, and for the entry no longer than a second more.
    let before = lost().await;
    roles.nats.suspend().await;
    let began = Instant::now();
    gateway.cancel("nobody").await.assert_refused(503);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(lost().await, before + 1);
    // One that is gone is not waited for at all.
    roles.nats.kill();
    let is_gone =
        async || answer_to(gateway.get("/system/audit-log")).await.text().contains("the connection to NATS is down");
    wait_until("the gateway sees it", is_gone).await;
    let began = Instant::now();
    scale(gateway, 2).await.assert_refused(503);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(lost().await, before + 2);
    assert!(roles.role_gateway.stderr().matches("may be lost").count() >= 3);
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_an_entry_all_the_same() {
    let platform = Platform::start([Function::cat()]).await;
    let body = json!({ "replicas": 3 }).to_string();
    let request = format!(
        "POST /system/scale-function/cat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..5 {
        drop(crate::harness::raw::send(platform.site.listen, &request).await);
    }
    platform.gateway.wait_for_replicas("cat", 3).await;
    wait_until("all of them are listed", async || {
        let entries = answer_to(platform.gateway.get("/system/audit-log?action=scale")).await.json();
        entries.as_array().unwrap().len() == 5
    })
    .await;
}

#[tokio::test]
async fn it_is_kept_as_long_and_as_large_as_the_settings_say() {
    let arguments = ["--audit-log-ttl", "8s", "--audit-log-bytes", "1MiB"];
    let platform = Platform::start_with(&arguments, [Function::cat()]).await;
    assert_eq!(scale(&platform.gateway, 1).await.status, 202);
    let list = async || answer_to(platform.gateway.get("/system/audit-log")).await.json().as_array().unwrap().len();
    assert!(list().await > 0);
    let info = nats::stream(&platform.site, "SKEP_AUDIT").await;
    let config = &info.cached_info().config;
    assert_eq!((config.max_bytes, config.max_age), (1 << 20, Duration::from_secs(8)));
    assert!(config.deny_delete && config.deny_purge);
    wait_until("the entries are gone", async || list().await == 0).await;
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let platform = Platform::start_with(&["--audit-log-ttl", "0"], [Function::cat()]).await;
    assert_eq!(scale(&platform.gateway, 1).await.status, 202);
    let answer = answer_to(platform.gateway.get("/system/audit-log")).await;
    answer.assert_refused(404);
    assert_eq!(answer.header("x-skep-error"), "no_audit_log");
    assert!(answer.text().contains("--audit-log-ttl"), "{answer:?}");
    platform.site.client(&["audit-log"]).await.failed(3, "--audit-log-ttl");
    let streams = nats::client(&platform.site).await;
    assert!(async_nats::jetstream::new(streams).get_stream("SKEP_AUDIT").await.is_err());
    let said = platform.up.stderr();
    assert!(!said.contains("may be lost"), "{said}");
    wait_for("nothing is lost", async || {
        metrics_of(platform.site.admin).await.contains(&format!("{LOST} 0")).then_some(())
    })
    .await;
}
