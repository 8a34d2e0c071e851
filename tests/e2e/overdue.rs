//! Delayed calls that the server should have moved on and has not, as after it was killed.

use std::{fs, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{self, stream::Stream},
};
use rustix::process::Signal;
use skep_bus::{Bus, DelayedCalls, Location};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{connect, invocation, start, take},
    harness::{Site, wait_until},
    nats,
};

async fn delayed(site: &Site) -> Stream {
    nats::stream(site, "SKEP_DELAYED").await
}

async fn waits(site: &Site) -> u64 {
    delayed(site).await.get_info().await.unwrap().state.messages
}

async fn send_on(bus: &Bus, calls: &mut DelayedCalls) -> usize {
    bus.housekeeping.send_on_overdue(calls, 100, Duration::ZERO).await.unwrap()
}

/// Puts a call that waits an hour into the state in which the server has forgotten when it is due.
async fn forget(site: &Site, id: &str) {
    let stream = delayed(site).await;
    let subject = format!("skep.delayed.wait.f.{id}");
    let message = stream.get_last_raw_message_by_subject(&subject).await.unwrap();
    let mut headers = HeaderMap::new();
    for (name, values) in message.headers.iter().filter(|(name, _)| !name.to_string().starts_with("Nats-")) {
        values.iter().for_each(|value| headers.append(name.clone(), value.clone()));
    }
    stream.delete_message(message.sequence).await.unwrap();
    let jetstream = jetstream::new(nats::client(site).await);
    jetstream.publish_with_headers(subject, headers, message.payload).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn a_schedule_that_the_server_has_forgotten_is_sent_on_its_way() {
    let (site, _server, bus) = start().await;
    for id in ["a", "b"] {
        let run_at = Some(time::OffsetDateTime::now_utc() + time::Duration::HOUR);
        bus.calls.submit(&skep_protocol::Call { run_at, ..invocation("f", id) }).await.unwrap();
    }
    let mut calls = DelayedCalls::default();
    assert_eq!(send_on(&bus, &mut calls).await, 0, "their time has not come");
    forget(&site, "b").await;
    assert_eq!(send_on(&bus, &mut calls).await, 1);
    let mut due = bus.queues.due();
    let mut moved = Vec::new();
    while moved.is_empty() {
        moved = due.next(1, &CancellationToken::new()).await.unwrap();
    }
    assert_eq!(moved[0].content.as_ref().unwrap().call_id.as_str(), "b");
}

#[tokio::test]
async fn a_due_call_that_comes_back_after_its_ack_is_in_its_lane_once() {
    let (site, mut server, bus) = start().await;
    let run_at = Some(time::OffsetDateTime::now_utc() + time::Duration::milliseconds(200));
    bus.calls.submit(&skep_protocol::Call { run_at, ..invocation("f", "a") }).await.unwrap();
    let mut due = bus.queues.due();
    let mut moved = Vec::new();
    while moved.is_empty() {
        moved = due.next(1, &CancellationToken::new()).await.unwrap();
    }
    // The server's files as they are before the ack, but for what its consumer knows.
    let folder = site.nats_data.join("jetstream/$G/streams/SKEP_DELAYED/msgs");
    let copy = site.path("msgs");
    copy_folder(&folder, &copy);
    let lane = Location::Shared { moved_since: moved[0].stored_at() };
    bus.queues.relocate(moved[0].content.as_ref().unwrap(), lane).await.unwrap();
    moved[0].ack().await;
    wait_until("it is acknowledged", async || waits(&site).await == 0).await;
    let mut calls = DelayedCalls::default();
    assert_eq!(send_on(&bus, &mut calls).await, 0);
    server.signal(Signal::TERM);
    server.ended().await;
    fs::remove_dir_all(&folder).unwrap();
    copy_folder(&copy, &folder);

    let server = site.start_nats().await;
    let bus = connect(&site).await;
    eprintln!("{} messages came back", waits(&site).await);
    // What was read before is read again, because the server was started again.
    send_on(&bus, &mut calls).await;
    assert_eq!(waits(&site).await, 0, "nothing stays behind");
    assert_eq!(take(&bus, "f", 1).await.len(), 1);
    drop(server);
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}
