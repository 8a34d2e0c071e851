//! Bodies of queued calls that fit into no message: they reach their function whole, nothing of them is left behind, and nobody needs memory for them.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Method;
use reqwest::Body;
use sha2::{Digest, Sha256};
use skep_bus::Budget;
use tokio::{io::AsyncWriteExt, sync::mpsc};

use crate::{
    bus,
    harness::{Answer, Cluster, Function, Platform, Process, Roles, Site, answer_to, raw, wait_until},
    nats,
};

pub(crate) const MIB: usize = 1024 * 1024;

/// Bytes that do not repeat themselves.
pub(crate) fn large(length: usize) -> Bytes {
    (0..u32::try_from(length).unwrap()).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

pub(crate) fn sum_of(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Answers with the sum of its input, once the file `gate` is there.
fn gated_sum() -> Function {
    let script = r#"echo "$Http_X_Call_Id" >> runs; while [ ! -e gate ]; do sleep 0.1; done; sha256sum"#;
    Function::new("sum", &format!("sh -c '{script}'"))
}

pub(crate) fn sum() -> Function {
    Function::new("sum", "sha256sum")
}

pub(crate) async fn messages(site: &Site, stream: &str) -> u64 {
    nats::stream(site, stream).await.get_info().await.unwrap().state.messages
}

async fn nothing_is_kept(site: &Site) {
    wait_until("nothing of the body is kept", async || messages(site, "SKEP_REQUESTS").await == 0).await;
}

async fn is_summed(platform: (&crate::harness::Gateway, &Site), id: &str, body: &[u8]) {
    let (gateway, site) = platform;
    let status = gateway.finished(id).await;
    assert_eq!(status["state"], "succeeded", "{status}");
    assert_eq!(gateway.result(id).await.text().split(' ').next(), Some(&*sum_of(body)));
    nothing_is_kept(site).await;
}

#[tokio::test]
async fn a_large_body_reaches_its_function_whole_and_is_not_kept_for_longer() {
    let platform = Platform::start([sum()]).await;
    for length in [7 * MIB + 1, 40 * MIB + 4711] {
        let body = large(length);
        let id = platform.gateway.queue("sum", body.clone()).await;
        is_summed((&platform.gateway, &platform.site), &id, &body).await;
    }
    // A body of unknown length.
    let pieces: Vec<Bytes> = large(20 * MIB).chunks(100_001).map(Bytes::copy_from_slice).collect();
    let body = Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
    let id = platform.gateway.queue("sum", body).await;
    is_summed((&platform.gateway, &platform.site), &id, &large(20 * MIB)).await;
}

#[tokio::test]
async fn nobody_needs_memory_for_a_large_body_or_result() {
    const LENGTH: usize = 128 * MIB;
    let roles = Roles::start([Function::cat()]).await;
    let processes = roles.site.processes();
    let role = |name: &str| processes.iter().find(|process| process.command.contains(name)).unwrap();
    let (gateway, worker) = (role("skep gateway"), role("skep queue-worker"));
    // What a body needs that travels in a message.
    let id = roles.gateway.queue("cat", large(7 * MIB)).await;
    roles.gateway.finished(&id).await;
    roles.gateway.result(&id).await;
    let before = [gateway, worker].map(Process::peak_memory);
    let piece = large(MIB);
    let pieces = stream::iter(0..LENGTH / MIB).map(move |_| Ok::<_, Infallible>(piece.clone()));
    let id = roles.gateway.queue("cat", Body::wrap_stream(pieces)).await;
    assert_eq!(roles.gateway.finished(&id).await["state"], "succeeded");
    let mut result = roles.gateway.get(&format!("/system/calls/{id}/result")).send().await.unwrap();
    let mut length = 0;
    while let Some(part) = result.chunk().await.unwrap() {
        length += part.len();
    }
    assert_eq!(length, LENGTH);
    for (before, after) in before.into_iter().zip([gateway, worker].map(Process::peak_memory)) {
        assert!(after < before + 48 * MIB as u64, "{before} bytes before, {after} after");
    }
    nothing_is_kept(&roles.site).await;
}

#[tokio::test]
async fn a_worker_that_dies_in_the_middle_loses_nothing_of_a_large_body() {
    let mut roles = Roles::start([gated_sum()]).await;
    let body = large(30 * MIB);
    let id = roles.gateway.queue("sum", body.clone()).await;
    roles.site.wait_for_runs(1).await;
    roles.worker.kill();
    roles.site.open_gate();
    roles.worker = roles.site.start_worker().await;
    is_summed((&roles.gateway, &roles.site), &id, &body).await;
}

#[tokio::test]
async fn the_loss_of_one_of_three_servers_loses_nothing_of_a_large_body() {
    let mut site = Site::new([gated_sum()]);
    let cluster = Cluster::start(&mut site).await;
    let mut roles = Roles::start_with(site, cluster).await;
    let body = large(24 * MIB);
    let (first, second) = (body.slice(..12 * MIB), body.slice(12 * MIB..));
    let (pieces, source) = mpsc::channel(1);
    let source = stream::unfold(source, async |mut source| source.recv().await.map(|piece| (piece, source)));
    let upload = roles.gateway.queue("sum", Body::wrap_stream(Box::pin(source)));
    let (id, ()) = tokio::join!(upload, async {
        pieces.send(Ok::<_, Infallible>(first)).await.unwrap();
        wait_until("a part of it is stored", async || messages(&roles.site, "SKEP_REQUESTS").await > 10).await;
        let stored = nats::stream(&roles.site, "SKEP_REQUESTS").await;
        let leader = stored.cached_info().cluster.clone().unwrap().leader.unwrap();
        roles.nats.kill(&leader);
        pieces.send(Ok(second)).await.unwrap();
        drop(pieces);
    });
    // The server is still away when the body is read.
    roles.site.open_gate();
    is_summed((&roles.gateway, &roles.site), &id, &body).await;
}

#[tokio::test]
async fn what_a_gateway_leaves_that_dies_during_an_upload_is_removed_and_nothing_else() {
    let mut roles = Roles::start([gated_sum(), Function::new("sick", "false").attempts(1)]).await;
    let body = large(10 * MIB);
    let later = roles.gateway.queue_later_with("sum", "1h", body.clone()).await;
    let dead = roles.gateway.queue("sick", body.clone()).await;
    assert_eq!(roles.gateway.finished(&dead).await["state"], "dead");
    let running = roles.gateway.queue("sum", body.clone()).await;
    roles.site.wait_for_runs(1).await;
    let needed = messages(&roles.site, "SKEP_REQUESTS").await;

    let head = "POST /async-function/sum HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
    let mut upload = raw::send(roles.site.listen, head).await;
    upload.write_all(&large(20 * MIB)).await.unwrap();
    wait_until("a part of it is stored", async || messages(&roles.site, "SKEP_REQUESTS").await > needed).await;
    roles.role_gateway.kill();

    let bus = bus::connect(&roles.site).await;
    assert_eq!(
        bus.housekeeping.remove_orphaned_bodies(Duration::from_secs(3600)).await.unwrap(),
        0,
        "it may still be on its way"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bus.housekeeping.remove_orphaned_bodies(Duration::from_secs(1)).await.unwrap(), 1);
    assert_eq!(messages(&roles.site, "SKEP_REQUESTS").await, needed);

    roles.role_gateway = roles.site.start_gateway(&[]).await;
    roles.site.open_gate();
    assert_eq!(roles.gateway.finished(&running).await["state"], "succeeded");
    assert_eq!(roles.gateway.result(&running).await.text().split(' ').next(), Some(&*sum_of(&body)));
    assert_eq!(roles.gateway.cancel(&later).await.status, 202);
    let removed = answer_to(roles.gateway.request(Method::DELETE, &format!("/system/dead/{dead}"))).await;
    assert_eq!(removed.status, 200, "{removed:?}");
    nothing_is_kept(&roles.site).await;
}

#[tokio::test]
async fn the_same_large_call_again_runs_once_and_its_second_body_goes() {
    let platform = Platform::start([gated_sum()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let body = large(10 * MIB);
    for duplicate in ["", "true"] {
        let answer = gateway.queue_as("again", "sum", body.clone()).await;
        assert_eq!((answer.status, answer.header("x-skep-duplicate")), (202, duplicate));
    }
    wait_until("the second body is gone", async || messages(site, "SKEP_REQUESTS").await == 20).await;
    site.open_gate();
    is_summed((gateway, site), "again", &body).await;
    assert_eq!(site.runs(), ["again"]);
    // Also when the call has ended.
    assert_eq!(gateway.queue_as("again", "sum", body.clone()).await.header("x-skep-duplicate"), "true");
    nothing_is_kept(site).await;
}

#[tokio::test]
async fn a_large_call_that_is_taken_back_leaves_nothing() {
    let platform = Platform::start([gated_sum()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let running = gateway.queue("sum", large(10 * MIB)).await;
    site.wait_for_runs(1).await;
    let later = gateway.queue_later_with("sum", "1h", large(10 * MIB)).await;
    assert!(messages(site, "SKEP_REQUESTS").await >= 40);
    for id in [running, later] {
        assert_eq!(gateway.cancel(&id).await.status, 202);
        gateway.state(&id, "cancelled").await;
    }
    nothing_is_kept(site).await;
}

#[tokio::test]
async fn a_dead_call_keeps_its_large_body_until_it_is_sent_again() {
    let script = "if [ -e gate ]; then sha256sum; else exit 3; fi";
    let sick = Function::new("sick", &format!("sh -c '{script}'")).attempts(2);
    let platform = Platform::start([sick]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let body = large(10 * MIB);
    let ids = ["whole", "changed"];
    for id in ids {
        assert_eq!(gateway.queue_as(id, "sick", body.clone()).await.status, 202);
        assert_eq!(gateway.finished(id).await["state"], "dead");
        let letter = answer_to(gateway.get(&format!("/system/dead/{id}"))).await.json();
        assert_eq!((&letter["largeBody"], &letter["body"]), (&(10 * MIB).into(), &"".into()), "{letter}");
    }
    assert!(site.client(&["dead", "show", "whole"]).await.said().contains("Body, 10485760 bytes"));
    site.open_gate();
    let redrive = |id: &str| gateway.post(&format!("/system/dead/{id}/redrive"));
    assert_eq!(answer_to(redrive("changed").json(&serde_json::json!({ "text": "honey" }))).await.status, 202);
    gateway.state("changed", "succeeded").await;
    assert_eq!(gateway.result("changed").await.text().split(' ').next(), Some(&*sum_of(b"honey")));
    assert_eq!(answer_to(redrive("whole")).await.status, 202);
    gateway.state("whole", "succeeded").await;
    is_summed((gateway, site), "whole", &body).await;
}

#[tokio::test]
async fn what_is_refused_or_breaks_off_leaves_nothing() {
    let arguments = ["--async-body-limit", "12MiB", "--body-bytes", "12MiB", "--large-body", "100KB"];
    let platform = Platform::start_with(&arguments, [sum()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let queue = async |length: usize| -> Answer {
        // A body of unknown length.
        let pieces: Vec<Bytes> = large(length).chunks(100_001).map(Bytes::copy_from_slice).collect();
        let body = Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>)));
        answer_to(gateway.post("/async-function/sum").header("X-Skep-Delay", "1h").body(body)).await
    };
    let too_large = queue(12 * MIB + 1).await;
    too_large.assert_refused(413);
    assert!(too_large.text().contains("--async-body-limit (SKEP_ASYNC_BODY_LIMIT)"), "{too_large:?}");
    nothing_is_kept(site).await;

    let head = "POST /async-function/sum HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n";
    let mut upload = raw::send(site.listen, head).await;
    upload.write_all(&large(5 * MIB)).await.unwrap();
    wait_until("a part of it is stored", async || messages(site, "SKEP_REQUESTS").await > 0).await;
    drop(upload);
    nothing_is_kept(site).await;

    assert_eq!(queue(12 * MIB).await.status, 202);
    let full = queue(MIB).await;
    full.assert_refused(503);
    assert_eq!((full.header("x-skep-error"), full.header("retry-after")), ("queue_full", "1"));
    assert!(messages(site, "SKEP_REQUESTS").await >= 24, "what was accepted is there");
    assert_eq!(queue(100_000).await.status, 202, "a small body has its own place");
    let waits = answer_to(gateway.get("/system/calls?state=scheduled")).await.json();
    for call in waits.as_array().unwrap() {
        gateway.cancel(call["callId"].as_str().unwrap()).await;
    }
    nothing_is_kept(site).await;
    assert_eq!(queue(MIB).await.status, 202);
}

#[tokio::test]
async fn large_bodies_of_dead_calls_keep_to_the_budget_of_letters() {
    let platform = Platform::start([Function::new("sick", "false").attempts(1), sum()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    gateway.queue_later_with("sum", "1h", large(10 * MIB)).await;
    for id in ["first", "second", "third"] {
        assert_eq!(gateway.queue_as(id, "sick", large(10 * MIB)).await.status, 202);
        assert_eq!(gateway.finished(id).await["state"], "dead");
    }
    let bus = bus::connect_with(site, Budget { bytes: 25 * MIB as u64, ..bus::HOUR }).await;
    assert_eq!(bus.housekeeping.keep_dead_bodies_to_budget().await.unwrap(), 1);
    let letters = answer_to(gateway.get("/system/dead")).await.json();
    let ids: Vec<&str> = letters.as_array().unwrap().iter().map(|letter| letter["callId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["second", "third"]);
    wait_until("their lanes are purged", async || messages(site, "SKEP_INVOKE").await == 0).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bus.housekeeping.remove_orphaned_bodies(Duration::from_secs(1)).await.unwrap(), 1);
    assert_eq!(bus.housekeeping.keep_dead_bodies_to_budget().await.unwrap(), 0);
    assert_eq!(messages(site, "SKEP_REQUESTS").await, 60);
}
