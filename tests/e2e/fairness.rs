//! Functions that cannot keep up, and the others of their lane.

use std::time::Duration;

use skep_protocol::{FunctionName, lane_of};

use crate::{
    harness::{Function, Gateway, Platform, Program, Roles, Site, answer_to, free_address, wait_until},
    nats,
};

/// More than a function is let hold of its lane.
const MANY: usize = 200;

/// A function whose calls stand in the same lane as those of `gated`.
fn neighbour() -> Function {
    let lane = lane_of(&"gated".parse().unwrap());
    let name = (0..).map(|number| format!("neighbour-{number}"));
    let name = name.into_iter().find(|name| lane_of(&name.parse::<FunctionName>().unwrap()) == lane).unwrap();
    Function::new(&name, "cat")
}

async fn messages(site: &Site, stream: &str) -> u64 {
    nats::stream(site, stream).await.get_info().await.unwrap().state.messages
}

async fn queue_many(gateway: &Gateway, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(gateway.queue("gated", "x").await);
    }
    ids
}

/// Waits until all that the function has not begun has left its lane.
async fn wait_for_backlog(site: &Site, calls: usize) {
    let wanted = u64::try_from(calls - 16).unwrap();
    wait_until("what cannot run is set aside", async || messages(site, "SKEP_BACKLOG").await >= wanted).await;
}

async fn all_succeed(gateway: &Gateway, ids: &[String]) {
    for id in ids {
        let status = gateway.finished(id).await;
        assert_eq!(status["state"], "succeeded", "{status}");
    }
}

#[tokio::test]
async fn a_stuck_function_holds_no_other_and_pins_nothing() {
    let neighbour = neighbour();
    let platform = Platform::start_with(&["--long-after", "2s"], [Function::gated(), neighbour.clone()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let ids = queue_many(gateway, MANY).await;
    wait_for_backlog(site, MANY).await;
    for _ in 0..50 {
        let id = gateway.queue(&neighbour.name, "quick").await;
        assert_eq!(gateway.finished(&id).await["state"], "succeeded");
    }
    wait_until("nothing stays in the lanes", async || messages(site, "SKEP_INVOKE").await == 0).await;
    site.wait_for_runs(16).await;
    assert_eq!(site.runs().len(), 16, "as many run as may");
    assert_eq!(gateway.call_status(&ids[MANY - 1]).await.unwrap()["state"], "queued");
    let listed = answer_to(gateway.get("/system/calls?state=queued,running&limit=1000")).await.json();
    assert_eq!(listed.as_array().unwrap().len(), MANY, "each is listed once");

    site.open_gate();
    all_succeed(gateway, &ids).await;
    let (mut runs, mut wanted) = (site.runs(), ids);
    runs.sort();
    wanted.sort();
    assert_eq!(runs, wanted, "each has run once");
    let left = async || messages(site, "SKEP_BACKLOG").await + messages(site, "SKEP_INVOKE").await;
    wait_until("nothing is left", async || left().await == 0).await;
    let backlog = nats::stream(site, "SKEP_BACKLOG").await;
    let queues = async || backlog.get_info().await.unwrap().state.consumer_count;
    wait_until("its queue is gone", async || queues().await == 0).await;
    // A worker that still read it would make it again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(queues().await, 0);
    let log = platform.up.stderr();
    assert!(!log.contains("a backlog cannot be read"), "{log}");
}

#[tokio::test]
async fn what_was_set_aside_is_known_by_its_id_and_can_be_cancelled() {
    let platform = Platform::start([Function::gated()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let mut ids = queue_many(gateway, 60).await;
    assert_eq!(gateway.queue_as("mine", "gated", "x").await.status, 202);
    wait_for_backlog(site, 61).await;
    let again = gateway.queue_as("mine", "gated", "x").await;
    assert_eq!((again.status, again.header("x-skep-duplicate")), (202, "true"));
    site.wait_for_runs(16).await;
    let runs = site.runs();
    let cancelled = ids.remove(ids.iter().position(|id| !runs.contains(id)).unwrap());
    assert_eq!(gateway.cancel(&cancelled).await.status, 202);
    assert_eq!(gateway.call_status(&cancelled).await.unwrap()["state"], "cancelled");

    site.open_gate();
    ids.push("mine".to_owned());
    all_succeed(gateway, &ids).await;
    let (mut runs, mut wanted) = (site.runs(), ids);
    runs.sort();
    wanted.sort();
    assert_eq!(runs, wanted);
}

/// How often something was stored in the lanes.
async fn stored_in_lanes(site: &Site) -> u64 {
    nats::stream(site, "SKEP_INVOKE").await.get_info().await.unwrap().state.last_sequence
}

#[tokio::test]
async fn new_calls_of_a_function_with_a_backlog_go_there_directly_until_it_keeps_up_again() {
    let platform = Platform::start([Function::gated()]).await;
    let (gateway, site) = (&platform.gateway, &platform.site);
    let mut ids = queue_many(gateway, 60).await;
    wait_for_backlog(site, 60).await;
    wait_until("a call is stored in the backlog alone", async || {
        let before = stored_in_lanes(site).await;
        ids.push(gateway.queue("gated", "x").await);
        stored_in_lanes(site).await == before
    })
    .await;
    let direct = ids[ids.len() - 1].clone();
    assert_eq!(gateway.call_status(&direct).await.unwrap()["state"], "queued");
    let listed = answer_to(gateway.get("/system/calls?state=queued,running&limit=1000")).await.json();
    assert_eq!(listed.as_array().unwrap().len(), ids.len(), "each is listed once");

    // The next one goes there too, and is cancelled there.
    let cancelled = gateway.queue("gated", "x").await;
    assert_eq!(gateway.cancel(&cancelled).await.status, 202);
    assert_eq!(gateway.finished(&cancelled).await["state"], "cancelled");

    site.open_gate();
    all_succeed(gateway, &ids).await;
    let (mut runs, mut wanted) = (site.runs(), ids);
    runs.sort();
    wanted.sort();
    assert_eq!(runs, wanted, "each has run once");
    wait_until("calls go to the lane again", async || {
        let before = stored_in_lanes(site).await;
        gateway.queue("gated", "x").await;
        stored_in_lanes(site).await > before
    })
    .await;
}

#[tokio::test]
async fn a_backlog_outlives_its_workers_and_its_queue() {
    let mut roles = Roles::start([Function::gated()]).await;
    let ids = queue_many(&roles.gateway, MANY).await;
    wait_until("some are set aside", async || messages(&roles.site, "SKEP_BACKLOG").await > 0).await;
    roles.worker.kill();
    // Nothing knows about it any more, not even the server.
    nats::stream(&roles.site, "SKEP_BACKLOG").await.delete_consumer("gated").await.unwrap();
    roles.worker = roles.site.start_worker().await;
    wait_for_backlog(&roles.site, MANY).await;
    roles.site.open_gate();
    all_succeed(&roles.gateway, &ids).await;
}

#[tokio::test]
async fn the_backlog_of_a_function_that_is_removed_is_kept_as_dead_letters() {
    let platform = Platform::start([Function::gated()]).await;
    let ids = queue_many(&platform.gateway, 60).await;
    wait_for_backlog(&platform.site, 60).await;
    let body = serde_json::json!({ "functionName": "gated" });
    assert_eq!(platform.gateway.send(http::Method::DELETE, "/system/functions", &body).await.status, 202);
    let status = platform.gateway.finished(&ids[59]).await;
    assert_eq!(status["state"], "dead", "{status}");
    wait_until("none waits", async || messages(&platform.site, "SKEP_BACKLOG").await == 0).await;
}

#[tokio::test]
async fn what_the_backlog_has_no_room_for_stays_in_its_lane() {
    let platform = Platform::start([Function::gated()]).await;
    let jetstream = async_nats::jetstream::new(nats::client(&platform.site).await);
    let config = jetstream.get_stream("SKEP_BACKLOG").await.unwrap().cached_info().config.clone();
    let config = async_nats::jetstream::stream::Config { max_messages: 5, ..config };
    jetstream.update_stream(config).await.unwrap();
    let ids = queue_many(&platform.gateway, 100).await;
    wait_until("it is full", async || messages(&platform.site, "SKEP_BACKLOG").await == 5).await;
    platform.site.open_gate();
    all_succeed(&platform.gateway, &ids).await;
}

#[tokio::test]
async fn two_workers_share_what_the_replicas_take() {
    let roles = Roles::start([Function::gated()]).await;
    let other = roles.site.start_worker_with(free_address(), &[]).await;
    let knows_two = |worker: &Program| worker.stderr().contains("workers=2");
    wait_until("they know of each other", async || knows_two(&roles.worker) && knows_two(&other)).await;
    let ids = queue_many(&roles.gateway, 60).await;
    wait_for_backlog(&roles.site, 60).await;
    // A call that has begun may not have written it yet.
    roles.site.wait_for_runs(16).await;
    assert_eq!(roles.site.runs().len(), 16);
    roles.site.open_gate();
    all_succeed(&roles.gateway, &ids).await;
}
