//! Calls that are stored at about the same time, and so with one commit.

use futures_util::future::join_all;
use skep_bus::{Bus, Submitted};

use crate::{
    bus::{invocation, queued, start},
    harness::{Site, wait_until},
};

async fn submit_all(bus: &Bus, ids: impl IntoIterator<Item = String>) -> Vec<(String, skep_bus::Result<Submitted>)> {
    let submit = async |id: String| {
        let submitted = bus.calls.submit(&invocation("f", &id)).await;
        (id, submitted)
    };
    join_all(ids.into_iter().map(submit)).await
}

/// How many stored calls were committed together with others.
async fn batched(site: &Site) -> usize {
    let stream = crate::nats::stream(site, "SKEP_INVOKE").await;
    let state = stream.get_info().await.unwrap().state;
    let mut batched = 0;
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        batched += usize::from(message.headers.get("Nats-Batch-Id").is_some());
    }
    batched
}

#[tokio::test]
async fn calls_at_the_same_time_are_committed_together_and_one_alone_is_not_held_up() {
    let (site, _server, bus) = start().await;
    bus.calls.submit(&invocation("f", "alone")).await.unwrap();
    assert_eq!(batched(&site).await, 0);
    let submitted = submit_all(&bus, (0..1500).map(|number| format!("call-{number}"))).await;
    assert!(submitted.iter().all(|(_, submitted)| matches!(submitted, Ok(Submitted::Accepted))));
    assert_eq!(queued(&site).await, 1501);
    assert!(batched(&site).await >= 500, "{}", batched(&site).await);
}

#[tokio::test]
async fn one_call_that_is_there_already_stands_in_no_others_way() {
    let (site, _server, bus) = start().await;
    bus.calls.submit(&invocation("f", "call-50")).await.unwrap();
    let ids = (0..100).map(|number| format!("call-{number}")).chain(["call-70".to_owned()]);
    let submitted = submit_all(&bus, ids).await;
    let duplicates: Vec<&str> = submitted
        .iter()
        .filter(|(_, submitted)| *submitted.as_ref().unwrap() == Submitted::Duplicate)
        .map(|(id, _)| id.as_str())
        .collect();
    assert_eq!(duplicates.len(), 2, "{duplicates:?}");
    assert!(duplicates.contains(&"call-50") && duplicates.contains(&"call-70"), "{duplicates:?}");
    assert_eq!(queued(&site).await, 100);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_the_server_was_killed() {
    let (site, mut server, bus) = start().await;
    let mut accepted = Vec::new();
    let mut round = 0;
    // The server dies in the middle of one of these.
    let killed = loop {
        let ids: Vec<String> = (0..200).map(|number| format!("call-{round}-{number}")).collect();
        round += 1;
        let kill = async {
            if round == 5 {
                server.kill();
            }
        };
        let (submitted, ()) = tokio::join!(submit_all(&bus, ids), kill);
        let is_refused = submitted.iter().any(|(_, submitted)| submitted.is_err());
        accepted.extend(submitted.into_iter().filter(|(_, submitted)| submitted.is_ok()).map(|(id, _)| id));
        if is_refused || round > 50 {
            break is_refused;
        }
    };
    assert!(killed, "a server that is away accepts nothing");
    let _server = site.start_nats().await;
    wait_until("the bus is back", async || bus.calls.status(&"nobody".parse().unwrap()).await.is_ok()).await;
    assert!(accepted.len() >= 800, "{}", accepted.len());
    for id in accepted {
        assert!(bus.calls.status(&id.parse().unwrap()).await.unwrap().is_some(), "{id} was acknowledged and is lost");
    }
}
