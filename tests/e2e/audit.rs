//! The ledger: every call is counted once by what became of it, and one that was lost behind skep's back is named.

use std::time::Duration;

use async_nats::jetstream;
use futures_util::StreamExt;
use serde_json::{Value, json};
use skep_bus::{Location, Submitted};
use skep_protocol::{AuditKind, AuditProgress, FunctionName, lane_of};
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::{
    bus::{invocation, record, start, take},
    harness::{Function, Platform, Receiver, Roles, Site, answer_to, metrics_of, wait_for, wait_until},
    nats,
};

/// What `skep audit --json` says, and its exit code.
async fn audit(site: &Site) -> (Option<i32>, Value) {
    let ran = site.client(&["audit", "--json"]).await;
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    (ran.code, report)
}

/// The counts of a function that are not zero, once all adds up.
async fn counts(site: &Site, function: &str) -> Value {
    let (code, report) = audit(site).await;
    assert_eq!((code, &report["findings"]), (Some(0), &json!([])), "{report}");
    let functions = report["functions"].as_array().unwrap();
    let counted = functions.iter().find(|counted| counted["function"] == function);
    let counted = counted.unwrap_or_else(|| panic!("{function} is not in {report}")).as_object().unwrap();
    counted.iter().filter(|(_, count)| count.as_u64().is_some_and(|count| count > 0)).map(pair).collect()
}

fn pair((name, count): (&String, &Value)) -> (String, Value) {
    (name.clone(), count.clone())
}

/// What is named: kinds and call ids.
fn named(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    let mut named: Vec<_> = findings.map(|finding| (text(&finding["kind"]), text(&finding["callId"]))).collect();
    named.sort();
    named
}

fn missing(ids: &[&str]) -> Vec<(String, String)> {
    let mut named: Vec<_> = ids.iter().map(|id| ("missing".to_owned(), (*id).to_owned())).collect();
    named.sort();
    named
}

/// Removes a message from a stream without skep's knowledge.
async fn steal(site: &Site, stream: &str, subject: &str) {
    let stream = nats::stream(site, stream).await;
    let message = stream.direct_get_last_for_subject(subject).await.unwrap();
    assert!(stream.delete_message(message.sequence).await.unwrap());
}

/// Waits until the receipts of what was accepted a moment ago are written.
async fn receipts(site: &Site, call_id: &str) {
    let stream = nats::stream(site, "SKEP_LEDGER").await;
    wait_until("its receipt is written", async || {
        let last = stream.get_info().await.unwrap().state.last_sequence;
        for sequence in 1..=last {
            let message = stream.direct_get(sequence).await;
            if message.is_ok_and(|message| String::from_utf8_lossy(&message.payload).contains(call_id)) {
                return true;
            }
        }
        false
    })
    .await;
}

#[tokio::test]
async fn calls_are_counted_by_what_became_of_them_also_after_kill_9_and_a_redrive() {
    let functions = [Function::cat(), Function::failing().attempts(1), Function::gated()];
    let mut platform = Platform::start(functions).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    assert_eq!(site.client(&["audit"]).await.said(), "No calls.\n\nAll adds up.\n");
    for _ in 0..3 {
        gateway.finished(&gateway.queue("cat", "x").await).await;
    }
    let publisher = nats::client(site).await;
    publisher.publish("skep.publish.cat", "x".into()).await.unwrap();
    publisher.flush().await.unwrap();
    let taken_back = gateway.queue_later("cat", "1h").await;
    assert_eq!(gateway.cancel(&taken_back).await.status, 202);
    gateway.queue_later("cat", "1h").await;
    let dead = gateway.queue("failing", "x").await;
    assert_eq!(gateway.finished(&dead).await["state"], "dead");
    let runs = gateway.queue("gated", "x").await;
    gateway.state(&runs, "running").await;
    let cat = json!({ "accepted": 6, "succeeded": 4, "cancelled": 1, "inFlight": 1 });
    wait_until("what was published is counted", async || counts(site, "cat").await == cat).await;
    assert_eq!(counts(site, "failing").await, json!({ "accepted": 1, "dead": 1 }));
    assert_eq!(counts(site, "gated").await, json!({ "accepted": 1, "inFlight": 1 }));

    platform.up.kill();
    wait_until("all processes are gone", async || platform.site.processes().is_empty()).await;
    platform.up = platform.site.up(&[]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    assert_eq!(counts(site, "cat").await, cat);
    assert_eq!(counts(site, "gated").await, json!({ "accepted": 1, "inFlight": 1 }));
    site.open_gate();
    assert_eq!(site.client(&["dead", "redrive", &dead]).await.said(), format!("{dead} is on its way\n"));
    gateway.state(&dead, "succeeded").await;
    gateway.state(&runs, "succeeded").await;
    assert_eq!(counts(site, "failing").await, json!({ "accepted": 1, "succeeded": 1 }));
    assert_eq!(counts(site, "gated").await, json!({ "accepted": 1, "succeeded": 1 }));
    let said = site.client(&["audit"]).await.said();
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["FUNCTION", "ACCEPTED", "SUCCEEDED"], "{said}");
    assert_eq!(lines[1], ["cat", "6", "4", "0", "0", "1", "0", "1", "0"], "{said}");
    assert!(said.ends_with("\nAll adds up.\n"), "{said}");
}

#[tokio::test]
async fn a_call_whose_message_or_record_is_gone_is_named() {
    let platform = Platform::start([Function::cat(), Function::failing().attempts(1)]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let later = gateway.queue_later("cat", "1h").await;
    let done = gateway.queue("cat", "x").await;
    gateway.finished(&done).await;
    let (forgotten, kept) = (gateway.queue("failing", "x").await, gateway.queue("failing", "x").await);
    for id in [&forgotten, &kept] {
        assert_eq!(gateway.finished(id).await["state"], "dead");
    }
    for id in [&later, &done, &forgotten] {
        receipts(site, id).await;
    }
    assert_eq!(audit(site).await.0, Some(0));

    steal(site, "SKEP_DELAYED", &format!("skep.delayed.wait.cat.{later}")).await;
    steal(site, "SKEP_CALLS", &format!("skep.calls.done.{done}")).await;
    steal(site, "SKEP_CALLS", &format!("skep.calls.done.{forgotten}")).await;
    let (code, report) = audit(site).await;
    let mut expected = missing(&[&later, &done]);
    expected.push(("letter_without_record".to_owned(), forgotten.clone()));
    expected.sort();
    assert_eq!((code, named(&report)), (Some(1), expected), "{report}");
    let cat = report["functions"][0].as_object().unwrap();
    assert_eq!((&cat["accepted"], &cat["missing"]), (&json!(2), &json!(2)), "{report}");
    assert_eq!((&report["functions"][1]["accepted"], &report["functions"][1]["dead"]), (&json!(2), &json!(2)));

    let reported = site.client(&["audit"]).await;
    for part in
        [later.as_str(), done.as_str(), "What does not add up", "neither a message of it nor a record", "send it again"]
    {
        assert!(reported.stdout.contains(part), "{part} is missing: {reported:?}");
    }
    reported.failed(1, "3 calls do not add up");
    // The advice helps.
    site.open_gate();
    site.client(&["dead", "redrive", &forgotten]).await.said();
    assert_eq!(gateway.queue_as(&later, "cat", "x").await.status, 202);
    assert_eq!(gateway.queue_as(&done, "cat", "x").await.status, 202);
    for id in [&later, &done, &forgotten] {
        gateway.state(id, "succeeded").await;
    }
    assert_eq!(counts(site, "cat").await, json!({ "accepted": 2, "succeeded": 2 }));
}

#[tokio::test]
async fn a_call_that_left_its_lane_and_came_nowhere_is_named() {
    let mut roles = Roles::start([Function::cat()]).await;
    let consumer = nats::lane_without_worker(&mut roles, "cat").await;
    let (site, gateway) = (&roles.site, &roles.gateway);
    let (stolen, finished, waits) =
        (gateway.queue("cat", "x").await, gateway.queue("cat", "x").await, gateway.queue("cat", "x").await);
    receipts(site, &waits).await;
    assert_eq!(counts(site, "cat").await, json!({ "accepted": 3, "inFlight": 3 }));
    let lane = lane_of(&"cat".parse::<FunctionName>().unwrap());
    steal(site, "SKEP_INVOKE", &format!("skep.invoke.{lane}.cat.{stolen}")).await;
    // A worker that acknowledges what it has not finished.
    let mut handed_out = consumer.fetch().max_messages(1).messages().await.unwrap();
    let message = handed_out.next().await.unwrap().unwrap();
    assert!(message.subject.ends_with(&finished));
    message.double_ack().await.unwrap();
    let (code, report) = audit(site).await;
    assert_eq!((code, named(&report)), (Some(1), missing(&[&stolen, &finished])), "{report}");
    assert_eq!(report["functions"][0]["inFlight"], 1);
    roles.worker = roles.site.start_worker().await;
    roles.gateway.state(&waits, "succeeded").await;
    assert_eq!(named(&audit(&roles.site).await.1), missing(&[&stolen, &finished]), "also when it was purged");
}

#[tokio::test]
async fn a_call_with_two_records_is_named() {
    let platform = Platform::start([Function::cat()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let id = gateway.queue("cat", "x").await;
    gateway.finished(&id).await;
    receipts(site, &id).await;
    let stream = nats::stream(site, "SKEP_CALLS").await;
    let record = stream.direct_get_last_for_subject(format!("skep.calls.done.{id}")).await.unwrap();
    let jetstream = jetstream::new(nats::client(site).await);
    let subject = format!("skep.calls.callback.{id}");
    jetstream.publish_with_headers(subject, record.headers, record.payload).await.unwrap().await.unwrap();
    let (code, report) = audit(site).await;
    assert_eq!((code, named(&report)), (Some(1), vec![("two_records".to_owned(), id)]), "{report}");
    assert_eq!(report["functions"][0]["accepted"], 1);
}

#[tokio::test]
async fn results_beyond_their_budget_are_expired_and_not_missing() {
    let platform = Platform::start_with(&["--result-bytes", "100KB"], [Function::cat()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    for _ in 0..150 {
        gateway.queue("cat", "x".repeat(1000)).await;
    }
    let calls = wait_for("the oldest results go", async || {
        let cat = counts(site, "cat").await;
        (cat["expired"].as_u64() > Some(0) && cat["inFlight"].is_null()).then_some(cat)
    })
    .await;
    assert_eq!(calls["accepted"], 150);
    assert_eq!(calls["expired"].as_u64().unwrap() + calls["succeeded"].as_u64().unwrap(), 150);
}

#[tokio::test]
async fn results_that_are_kept_for_less_are_expired_and_not_missing() {
    let (_site, _server, bus) = start().await;
    let (brief, usual) = (invocation("f", "brief"), invocation("g", "usual"));
    for call in [&brief, &usual] {
        assert_eq!(bus.calls.submit(call).await.unwrap(), Submitted::Accepted);
    }
    let mut ended = record(&brief.call_id, "x");
    ended.status.kept_until = Some(OffsetDateTime::now_utc() + time::Duration::seconds(1));
    bus.outcomes.store_record(&ended).await.unwrap();
    take(&bus, "f", 1).await[0].ack().await;
    take(&bus, "g", 1).await[0].ack().await;
    wait_until("the record is gone", async || bus.calls.record(&brief.call_id).await.unwrap().is_none()).await;
    let report = bus.audit.run(Duration::from_secs(3600), &watch::Sender::new(AuditProgress::default())).await.unwrap();
    let [f, g] = &report.functions[..] else { panic!("{report:?}") };
    assert_eq!((f.accepted, f.expired, g.accepted, g.missing), (1, 1, 1, 1), "{report:?}");
    let missing: Vec<&str> = report.findings.iter().map(|finding| finding.call_id.as_str()).collect();
    assert_eq!(missing, ["usual"]);
}

#[tokio::test]
async fn what_has_ended_and_is_not_taken_away_is_named() {
    let (_site, _server, bus) = start().await;
    let (in_lane, backlogged, runs) = (invocation("f", "lane"), invocation("f", "backlog"), invocation("f", "runs"));
    for call in [&in_lane, &runs] {
        assert_eq!(bus.calls.submit(call).await.unwrap(), Submitted::Accepted);
    }
    bus.queues.relocate(&backlogged, Location::Backlog).await.unwrap();
    for call in [&in_lane, &backlogged] {
        bus.outcomes.store_record(&record(&call.call_id, "x")).await.unwrap();
    }
    take(&bus, "f", 1).await[0].ack().await;
    let findings = async |gone_within| {
        let report = bus.audit.run(gone_within, &watch::Sender::new(AuditProgress::default())).await.unwrap();
        report.findings.into_iter().map(|finding| (finding.kind, finding.call_id)).collect::<Vec<_>>()
    };
    assert_eq!(findings(Duration::from_secs(3600)).await, [], "a queue-worker has an hour for it");
    wait_until("both have waited for a second", async || {
        let found = findings(Duration::from_secs(1)).await;
        let left_over = (AuditKind::LeftOver, backlogged.call_id.clone());
        found.len() == 2
            && found.contains(&left_over)
            && found.contains(&(AuditKind::NotPurged, in_lane.call_id.clone()))
    })
    .await;
}

#[tokio::test]
async fn results_that_ran_out_before_they_were_kept_for_longer_are_not_missing() {
    let mut platform = Platform::start_with(&["--result-ttl", "1s"], [Function::cat()]).await;
    let id = platform.gateway.queue("cat", "x").await;
    let path = format!("/system/calls/{id}");
    wait_until("the record is gone", async || answer_to(platform.gateway.get(&path)).await.status == 410).await;
    receipts(&platform.site, &id).await;
    platform.up.kill();
    wait_until("all processes are gone", async || platform.site.processes().is_empty()).await;
    platform.up = platform.site.up(&[]).await;
    assert_eq!(counts(&platform.site, "cat").await, json!({ "accepted": 1, "expired": 1 }));
}

#[tokio::test]
async fn a_callback_that_is_sent_again_leaves_its_call_counted() {
    let platform = Platform::start([Function::cat()]).await;
    let (site, gateway) = (&platform.site, &platform.gateway);
    let receiver = Receiver::refusing(1, http::StatusCode::NOT_FOUND).await;
    let request = gateway.post("/async-function/cat").header("X-Callback-Url", &receiver.url);
    let id = answer_to(request.body("x")).await.header("x-call-id").to_owned();
    wait_until("the callback is dead", async || {
        site.client(&["dead", "show", "--callback", &id]).await.code == Some(0)
    })
    .await;
    assert_eq!(counts(site, "cat").await, json!({ "accepted": 1, "succeeded": 1 }));
    site.client(&["dead", "redrive", "--callback", &id]).await.said();
    receiver.wait_for(2).await;
    assert_eq!(counts(site, "cat").await, json!({ "accepted": 1, "succeeded": 1 }));
}

#[tokio::test]
async fn the_figures_are_in_the_metrics_and_one_audit_runs_at_a_time() {
    let platform = Platform::start_with(&["--audit-every", "1s"], [Function::cat()]).await;
    let id = platform.gateway.queue("cat", "x").await;
    platform.gateway.finished(&id).await;
    wait_until("it is counted by itself", async || {
        let metrics = metrics_of(platform.site.admin).await;
        metrics.contains(r#"controller_audit_calls{function_name="cat",state="succeeded"} 1"#)
            && metrics.contains("controller_audit_findings 0")
            && metrics.contains("controller_audit_timestamp_seconds 1")
    })
    .await;
    let many = (0..20).map(|_| answer_to(platform.gateway.get("/system/audit").timeout(Duration::from_secs(60))));
    let answers = futures_util::future::join_all(many).await;
    let (reported, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert!(!reported.is_empty(), "{refused:?}");
    for answer in refused {
        answer.assert_refused(503);
        assert_eq!(answer.header("x-skep-error"), "audit_under_way");
    }
    let last: Value = serde_json::from_str(reported[0].text().lines().last().unwrap()).unwrap();
    assert_eq!(last["report"]["functions"][0]["accepted"], 1, "{last}");
}
