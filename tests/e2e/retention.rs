//! How long results are kept, and what is said of those that are gone.

use futures_util::future::join_all;
use http::Method;
use skep_bus::Submitted;
use skep_protocol::CallId;
use time::OffsetDateTime;

use crate::{
    bus::{record, start},
    harness::{Function, Platform, answer_to, wait_until},
    nats,
};

#[tokio::test]
async fn a_function_says_how_long_its_results_are_kept() {
    let brief = Function::counted().annotation("skep.result-ttl", "10m");
    let platform = Platform::start([brief, Function::cat()]).await;
    let gateway = &platform.gateway;
    let id = gateway.queue("counted", "honey").await;
    let status = gateway.finished(&id).await;
    assert!(status["finishedAt"].as_str() < status["keptUntil"].as_str(), "{status}");
    let stream = nats::stream(&platform.site, "SKEP_CALLS").await;
    let stored = stream.direct_get_last_for_subject(format!("skep.calls.done.{id}")).await.unwrap();
    assert_eq!(stored.headers.get("Nats-TTL").unwrap().as_str(), "600s");
    let usual = gateway.queue("cat", "x").await;
    assert!(gateway.finished(&usual).await["keptUntil"].is_null());
}

#[tokio::test]
async fn a_record_goes_when_its_time_is_over_also_one_that_was_stored_with_others() {
    let (_site, _server, bus) = start().await;
    let ids: Vec<CallId> = (0..50).map(|_| CallId::generate()).collect();
    let stored = ids.iter().map(async |id| {
        let mut record = record(id, "x");
        record.status.kept_until = Some(OffsetDateTime::now_utc() + time::Duration::seconds(1));
        bus.outcomes.store_record(&record).await.unwrap()
    });
    assert!(join_all(stored).await.iter().all(|stored| *stored == Submitted::Accepted));
    let usual = CallId::generate();
    bus.outcomes.store_record(&record(&usual, "x")).await.unwrap();
    for id in &ids {
        wait_until("the record is gone", async || bus.calls.record(id).await.unwrap().is_none()).await;
    }
    assert!(bus.calls.record(&usual).await.unwrap().is_some());
    assert_eq!(bus.outcomes.store_record(&record(&ids[0], "new")).await.unwrap(), Submitted::Accepted);
}

#[tokio::test]
async fn what_is_not_kept_any_more_is_told_from_what_never_was() {
    let platform = Platform::start_with(&["--result-ttl", "5s"], [Function::cat()]).await;
    let gateway = &platform.gateway;
    let id = gateway.queue("cat", "x").await;
    let path = format!("/system/calls/{id}");
    // The record goes sooner here than a finished message is cleared away, and only after both are two looks in a row the same.
    let is_gone = async |path: &str| answer_to(gateway.get(path)).await.status == 410;
    wait_until("the record is gone", async || is_gone(&path).await && is_gone(&path).await).await;
    let gone = answer_to(gateway.get(&format!("{path}/result"))).await;
    gone.assert_refused(410);
    assert_eq!(gone.header("x-skep-error"), "call_expired");
    gateway.cancel(&id).await.assert_refused(410);
    answer_to(gateway.get(&format!("{path}/events"))).await.assert_refused(410);
    // An id that was made a moment ago, and one that does not tell.
    for id in [CallId::generate().as_str(), "order-7"] {
        answer_to(gateway.get(&format!("/system/calls/{id}"))).await.assert_refused(404);
    }
}

#[tokio::test]
async fn a_bad_time_is_refused_and_named() {
    let platform = Platform::start([]).await;
    for bad in ["soon", "0", "4m59s"] {
        let function = Function::cat().annotation("skep.result-ttl", bad).deployment(platform.site.folder());
        let answer = platform.gateway.send(Method::POST, "/system/functions", &function).await;
        answer.assert_refused(400);
        assert!(answer.text().contains("skep.result-ttl"), "{answer:?}");
    }
}
