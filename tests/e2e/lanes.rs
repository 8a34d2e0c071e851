//! Where a call is stored first: in the lane of its function, as our hash and as the server's own `partition()` have it, in another lane while its function is called very often, or in the backlog that its function has.

use std::{collections::HashMap, pin::pin, time::Duration};

use async_nats::jetstream::{self, stream};
use futures_util::{StreamExt, TryStreamExt, future::join_all};
use skep_bus::{Bus, Location, Submitted};
use skep_protocol::{Call, FunctionName, LANES, is_bulk, lane_of};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{invocation, messages_of, start},
    harness::{DEADLINE, Site},
    nats,
};

#[tokio::test]
async fn our_lanes_are_those_of_the_servers_partition() {
    let site = Site::new([]);
    let _server = site.start_nats().await;
    let jetstream = jetstream::new(nats::client(&site).await);
    let config = stream::Config {
        name: "LANES".to_owned(),
        subjects: vec!["published.*".to_owned()],
        storage: stream::StorageType::Memory,
        subject_transform: Some(stream::SubjectTransform {
            source: "published.*".to_owned(),
            destination: "lane.{{partition(16,1)}}.{{wildcard(1)}}".to_owned(),
        }),
        ..Default::default()
    };
    let stream = jetstream.create_stream(config).await.unwrap();
    let mut names: Vec<String> = (0..300).map(|number| format!("function-{number}")).collect();
    names.extend(["a", "0", "figlet", "webhook-stash", "github-summary"].map(str::to_owned));
    names.push("x".repeat(63));
    for name in &names {
        let published = jetstream.publish(format!("published.{name}"), "".into()).await.unwrap();
        let sequence = published.await.unwrap().sequence;
        let stored = stream.get_raw_message(sequence).await.unwrap();
        let lane = lane_of(&name.parse::<FunctionName>().unwrap());
        assert_eq!(stored.subject.as_str(), format!("lane.{lane}.{name}"));
    }
}

/// Stored calls of lanes for many calls, and of the others.
async fn stored(site: &Site) -> (usize, usize) {
    let stream = nats::stream(site, "SKEP_INVOKE").await;
    let mut counts = (0, 0);
    for lane in 0..LANES {
        let subjects = stream.info_with_subjects(format!("skep.invoke.{lane}.>")).await.unwrap();
        let found = subjects.try_collect::<Vec<_>>().await.unwrap().len();
        *(if is_bulk(lane) { &mut counts.0 } else { &mut counts.1 }) += found;
    }
    counts
}

#[tokio::test]
async fn a_function_that_is_called_very_often_makes_room_in_its_lane() {
    let (site, _server, bus) = start().await;
    // Calls are counted by the second, and the one that began with the connection must not end among them.
    sleep(Duration::from_secs(1)).await;
    let calls: Vec<Call> = (0..600).map(|number| invocation("busy", &format!("call-{number}"))).collect();
    for submitted in join_all(calls.iter().map(|call| bus.calls.submit(call))).await {
        submitted.unwrap();
    }
    assert_eq!(stored(&site).await, (600 - 256, 256));
    // What may come again has one place, where the second one is refused.
    let mine = Call { has_callers_id: true, ..invocation("busy", "mine") };
    bus.calls.submit(&mine).await.unwrap();
    bus.calls.submit(&invocation("quiet", "first")).await.unwrap();
    assert_eq!(stored(&site).await, (600 - 256, 256 + 2));
}

/// Lists backlogs until a call that waits there has waited long enough for new ones to follow it.
async fn wait_in_backlog(bus: &Bus) {
    bus.queues.backlogs().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    bus.queues.backlogs().await.unwrap();
}

#[tokio::test]
async fn a_call_of_a_function_with_a_backlog_is_submitted_to_it_and_announced_once() {
    let (site, _server, bus) = start().await;
    let mut news = pin!(bus.calls.news(None).await.unwrap());
    let function: FunctionName = "slow".parse().unwrap();
    let mut backlog = bus.queues.backlog(&function);
    backlog.prepare().await.unwrap();
    let moved = invocation("slow", "moved");
    bus.calls.submit(&moved).await.unwrap();
    bus.queues.relocate(&moved, Location::Backlog).await.unwrap();
    let (backlogs, unread) = bus.queues.backlogs().await.unwrap();
    assert_eq!((backlogs.len(), backlogs[0].waiting, unread), (1, 1, 0));
    wait_in_backlog(&bus).await;

    bus.calls.submit(&invocation("slow", "direct")).await.unwrap();
    assert_eq!((messages_of(&site, "SKEP_INVOKE").await, messages_of(&site, "SKEP_BACKLOG").await), (1, 2));
    let direct = "direct".parse().unwrap();
    assert_eq!(bus.calls.status(&direct).await.unwrap().unwrap().function, "slow");
    // What may come again has one place, and others have no backlog.
    bus.calls.submit(&Call { has_callers_id: true, ..invocation("slow", "mine") }).await.unwrap();
    bus.calls.submit(&invocation("quick", "last")).await.unwrap();
    assert_eq!((messages_of(&site, "SKEP_INVOKE").await, messages_of(&site, "SKEP_BACKLOG").await), (3, 2));

    let deliveries = backlog.next(10, &CancellationToken::new()).await.unwrap();
    let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.content.as_ref().unwrap().call_id.as_str()).collect();
    assert_eq!(ids, ["moved", "direct"]);
    let mut announced: HashMap<String, u32> = HashMap::new();
    while announced.len() < 4 {
        let news = timeout(DEADLINE, news.next()).await.expect("each call is announced").unwrap();
        *announced.entry(news.call_id.to_string()).or_default() += 1;
    }
    assert!(announced.values().all(|times| *times == 1), "{announced:?}");

    // All of it is taken, so the function may keep up again.
    bus.queues.backlogs().await.unwrap();
    bus.calls.submit(&invocation("slow", "later")).await.unwrap();
    assert_eq!(messages_of(&site, "SKEP_INVOKE").await, 4);
}

#[tokio::test]
async fn a_call_that_the_backlog_of_its_function_has_no_room_for_is_stored_in_its_lane() {
    let (site, _server, bus) = start().await;
    bus.queues.backlog(&"slow".parse().unwrap()).prepare().await.unwrap();
    let first = invocation("slow", "first");
    bus.queues.relocate(&first, Location::Backlog).await.unwrap();
    wait_in_backlog(&bus).await;
    let mut config = nats::stream(&site, "SKEP_BACKLOG").await.cached_info().config.clone();
    config.max_messages = 1;
    jetstream::new(nats::client(&site).await).update_stream(config).await.unwrap();
    bus.calls.submit(&invocation("slow", "second")).await.unwrap();
    assert_eq!((messages_of(&site, "SKEP_INVOKE").await, messages_of(&site, "SKEP_BACKLOG").await), (1, 1));
}

#[tokio::test]
async fn the_call_of_an_event_is_in_the_lane_that_was_decided_and_in_no_other() {
    let (site, _server, bus) = start().await;
    let call = Call { has_callers_id: true, in_bulk: true, ..invocation("busy", "ev-1") };
    for (is_first, expected) in
        [(true, Submitted::Accepted), (true, Submitted::Duplicate), (false, Submitted::Duplicate)]
    {
        assert_eq!(bus.calls.submit_derived(&call, is_first).await.unwrap(), expected);
        assert_eq!(stored(&site).await, (1, 0));
    }
    // A further attempt of it is in the lane of its function.
    nats::stream(&site, "SKEP_INVOKE").await.purge().await.unwrap();
    bus.calls.submit(&Call { in_bulk: false, ..call.clone() }).await.unwrap();
    assert_eq!(bus.calls.submit_derived(&call, false).await.unwrap(), Submitted::Duplicate);
    assert_eq!(stored(&site).await, (0, 1));
}
