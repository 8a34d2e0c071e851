//! NATS goes away in every way there is, and comes back: the door says so at once, nothing is lost, and all goes on by itself.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::TryStreamExt;
use rustix::process::Signal;

use crate::{
    harness::{Cluster, Function, Relay, Roles, Site, answer_to, free_address, wait_until},
    nats,
};

/// A caller does not wait longer than this for the door.
const DOOR: Duration = Duration::from_secs(15);

/// Roles that reach NATS over a wire, with calls that run, wait for a place, and wait for their time.
async fn start() -> (Roles, Relay, Vec<String>) {
    let mut site = Site::new([Function::gated(), Function::counted()]);
    let relay = Relay::start(site.nats).await;
    site.nats_url = format!("nats://{}", relay.address);
    let roles = Roles::start_at(site).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(roles.gateway.queue("gated", "x").await);
    }
    ids.push(roles.gateway.queue_later("counted", "2s").await);
    roles.site.wait_for_runs(1).await;
    (roles, relay, ids)
}

/// Whether a call is accepted now; the door answers in any case.
async fn is_accepted(roles: &Roles, id: &str) -> bool {
    let request = roles.gateway.post("/async-function/counted").header("X-Call-Id", id).timeout(DOOR);
    let answer = answer_to(request.body("x")).await;
    assert!([202, 503].contains(&answer.status), "{answer:?}");
    if answer.status == 503 {
        assert!(!answer.header("retry-after").is_empty() && !answer.header("x-skep-error").is_empty(), "{answer:?}");
    }
    answer.status == 202
}

async fn is_refused_and_synchronous_calls_go_on(roles: &Roles) {
    wait_until("the door says that NATS is away", async || !is_accepted(roles, "refused").await).await;
    assert_eq!(roles.gateway.call("counted", "sync").await.text(), "sync");
}

async fn all_goes_on(roles: &Roles, ids: &[String]) {
    let back = Instant::now();
    wait_until("calls are accepted again", async || is_accepted(roles, "after").await).await;
    assert_eq!(roles.gateway.finished("after").await["state"], "succeeded");
    eprintln!("a new call had run {:.1} s after NATS was back", back.elapsed().as_secs_f64());
    roles.site.open_gate();
    for id in ids {
        let status = roles.gateway.finished(id).await;
        assert_eq!(status["state"], "succeeded", "{status}");
    }
}

#[tokio::test]
async fn nats_that_is_stopped_and_started_loses_nothing() {
    let (mut roles, _relay, ids) = start().await;
    roles.nats.signal(Signal::TERM);
    roles.nats.ended().await;
    is_refused_and_synchronous_calls_go_on(&roles).await;
    roles.nats = roles.site.start_nats().await;
    all_goes_on(&roles, &ids).await;
}

#[tokio::test]
async fn nats_that_stands_still_for_half_a_minute_loses_nothing() {
    let (roles, _relay, ids) = start().await;
    roles.nats.suspend().await;
    let still = Instant::now();
    is_refused_and_synchronous_calls_go_on(&roles).await;
    // What is tested is a pause that is longer than all deadlines.
    tokio::time::sleep(Duration::from_secs(30).saturating_sub(still.elapsed())).await;
    roles.nats.signal(Signal::CONT);
    all_goes_on(&roles, &ids).await;
}

#[tokio::test]
async fn a_wire_that_is_cut_or_held_loses_nothing() {
    let (roles, relay, ids) = start().await;
    relay.cut();
    is_refused_and_synchronous_calls_go_on(&roles).await;
    relay.mend();
    wait_until("calls are accepted again", async || is_accepted(&roles, "between").await).await;
    relay.hold();
    is_refused_and_synchronous_calls_go_on(&roles).await;
    relay.mend();
    all_goes_on(&roles, &ids).await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_is_made_anew() {
    let roles = Roles::start([Function::counted()]).await;
    let jetstream = jetstream::new(nats::client(&roles.site).await);
    for stream in ["SKEP_INVOKE", "SKEP_DELAYED", "SKEP_CALLS", "SKEP_DEAD", "SKEP_PUBLISH"] {
        jetstream.delete_stream(stream).await.unwrap();
        let id = format!("after-{stream}");
        wait_until("calls are accepted", async || is_accepted(&roles, &id).await).await;
        assert_eq!(roles.gateway.finished(&id).await["state"], "succeeded", "{stream}");
        let later = roles.gateway.queue_later("counted", "1s").await;
        assert_eq!(roles.gateway.finished(&later).await["state"], "succeeded", "{stream}");
        wait_until("it is there again", async || jetstream.get_stream(stream).await.is_ok()).await;
    }
    // Work that is published has the numbers of a new stream, and ids of its own all the same.
    let runs = roles.site.runs().len();
    for round in 1..=2 {
        wait_until("it is stored", async || {
            let published = jetstream.publish("skep.publish.counted", "x".into()).await.unwrap();
            published.await.is_ok()
        })
        .await;
        roles.site.wait_for_runs(runs + round).await;
        jetstream.delete_stream("SKEP_PUBLISH").await.unwrap();
    }
}

#[tokio::test]
async fn a_consumer_that_is_deleted_is_made_anew_and_repeats_nothing() {
    let roles = Roles::start([Function::counted()]).await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(roles.gateway.queue("counted", "x").await);
    }
    for id in &ids {
        roles.gateway.finished(id).await;
    }
    for stream in ["SKEP_INVOKE", "SKEP_DELAYED", "SKEP_CALLS", "SKEP_PUBLISH"] {
        let stream = nats::stream(&roles.site, stream).await;
        let consumers: Vec<String> = stream.consumer_names().try_collect().await.unwrap();
        for consumer in consumers {
            stream.delete_consumer(&consumer).await.unwrap();
        }
    }
    let later = roles.gateway.queue_later("counted", "1s").await;
    let after = roles.gateway.queue("counted", "x").await;
    for id in [later, after] {
        assert_eq!(roles.gateway.finished(&id).await["state"], "succeeded");
        ids.push(id);
    }
    let mut runs = roles.site.runs();
    runs.sort();
    ids.sort();
    assert_eq!(runs, ids, "each call has run once");
}

#[tokio::test]
async fn a_function_is_gone_for_callers_when_nats_has_lost_its_data() {
    let mut roles = Roles::start([Function::counted()]).await;
    roles.nats.kill();
    std::fs::remove_dir_all(&roles.site.nats_data).unwrap();
    roles.nats = roles.site.start_nats().await;
    let (gateway, deployed) = (&roles.gateway, Function::counted());
    wait_until("the gateway knows it no more", async || gateway.call("counted", "x").await.status == 404).await;
    let queued = answer_to(gateway.post("/async-function/counted").body("x")).await;
    queued.assert_refused(404);
    assert_eq!(answer_to(gateway.get("/system/functions")).await.json(), serde_json::json!([]));
    // With a controller of the new registry all is as at the beginning.
    roles.controller.kill();
    roles.controller = roles.site.start_controller().await;
    roles.site.deploy(&deployed).await;
    assert_eq!(gateway.call("counted", "x").await.text(), "x");
    let id = gateway.queue("counted", "y").await;
    assert_eq!(gateway.finished(&id).await["state"], "succeeded");
}

#[tokio::test]
async fn a_role_waits_for_nats_as_long_as_it_is_told_to() {
    let site = Site::new([]);
    let mut waiting = site.begin_gateway_at(site.listen, &["--nats-wait", "0"]);
    wait_until("it waits", async || waiting.stderr().contains("waiting for it")).await;
    let mut told_to_stop = site.begin_gateway_at(free_address(), &["--nats-wait", "0"]);
    wait_until("it waits, too", async || told_to_stop.stderr().contains("waiting for it")).await;
    told_to_stop.signal(Signal::TERM);
    assert_eq!(told_to_stop.ended().await.code(), Some(0));
    let _nats = site.start_nats().await;
    let is_open = async || answer_to_maybe(site.gateway.get("/healthz")).await == Some(200);
    wait_until("it is open", is_open).await;
    assert!(waiting.status().is_none());
    assert_eq!(waiting.stderr().matches("waiting for it").count(), 1, "{}", waiting.stderr());
}

async fn answer_to_maybe(request: reqwest::RequestBuilder) -> Option<u16> {
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

#[tokio::test]
async fn refused_requests_and_connection_events_are_told_once() {
    let mut roles = Roles::start([Function::counted()]).await;
    roles.nats.kill();
    is_refused_and_synchronous_calls_go_on(&roles).await;
    for _ in 0..50 {
        assert_eq!(answer_to(roles.gateway.post("/async-function/counted").body("x")).await.status, 503);
    }
    let said = roles.role_gateway.stderr();
    assert_eq!(said.matches("requests cannot be served").count(), 1, "{said}");
    assert_eq!(said.matches("disconnected").count(), 1, "{said}");
    roles.nats = roles.site.start_nats().await;
    wait_until("the door is open again", async || is_accepted(&roles, "after").await).await;
    let up = || roles.role_gateway.stderr().matches("NATS connection is up").count();
    wait_until("the log says so", async || up() >= 2).await;
    assert_eq!(up(), 2, "at the start, and again");
}

#[tokio::test]
async fn every_role_that_is_told_to_stop_while_nats_is_away_and_nothing_runs_ends_soon() {
    let mut roles = Roles::start([Function::counted()]).await;
    roles.nats.kill();
    is_refused_and_synchronous_calls_go_on(&roles).await;
    for (name, program) in [
        ("gateway", &mut roles.role_gateway),
        ("queue-worker", &mut roles.worker),
        ("controller", &mut roles.controller),
    ] {
        let begun = Instant::now();
        program.signal(Signal::TERM);
        assert_eq!(program.ended().await.code(), Some(0), "{name}");
        let said = program.stderr();
        assert!(!said.contains("grace period") && !said.contains("did not end in time"), "{name}: {said}");
        eprintln!("without NATS the {name} ended after {:.1} s", begun.elapsed().as_secs_f64());
    }
}

#[tokio::test]
async fn what_one_of_three_servers_has_told_is_not_unknown_or_open_again() {
    let mut site = Site::new([Function::counted()]);
    let cluster = Cluster::start(&mut site).await;
    let roles = Roles::start_with(site, cluster).await;
    let gateway = &roles.gateway;
    let one = async |number: usize| {
        let id = gateway.queue("counted", number.to_string()).await;
        let result = answer_to(gateway.get(&format!("/system/calls/{id}/result?wait=300s"))).await;
        assert_eq!((result.status, result.text()), (200, number.to_string()));
        for _ in 0..5 {
            let status = gateway.call_status(&id).await.expect("it is known");
            assert_eq!(status["state"], "succeeded", "{status}");
        }
    };
    for number in 0..20 {
        futures_util::future::join_all((0..10).map(|more| one(10 * number + more))).await;
    }
}

#[tokio::test]
async fn the_loss_of_one_of_three_servers_is_seen_by_no_caller() {
    let mut site = Site::new([Function::counted()]);
    let cluster = Cluster::start(&mut site).await;
    let mut roles = Roles::start_with(site, cluster).await;
    let tier = async || answer_to(roles.gateway.get("/healthz")).await.header("x-skep-durability").to_owned();
    wait_until("the cluster is durable", async || tier().await == "fsync").await;
    let stream = nats::stream(&roles.site, "SKEP_INVOKE").await;
    let leader = stream.cached_info().cluster.clone().unwrap().leader.unwrap();
    roles.nats.kill(&leader);
    let begun = Instant::now();
    let mut ids = Vec::new();
    for number in 0..20 {
        let sync = roles.gateway.call("counted", format!("{number}")).await;
        assert_eq!((sync.status, sync.text()), (200, number.to_string()));
        ids.push(roles.gateway.queue("counted", "x").await);
    }
    eprintln!("without {leader}: 20 calls were accepted within {:.1} s", begun.elapsed().as_secs_f64());
    for id in &ids {
        assert_eq!(roles.gateway.finished(id).await["state"], "succeeded");
    }
    roles.nats.start_server(&roles.site, &leader);
    wait_until("the cluster is durable again", async || tier().await == "fsync").await;
}
