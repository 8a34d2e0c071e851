//! The events of a quiet source among those of busy ones: how much the server is asked for, however long its stream is.

use std::time::Duration;

use async_nats::jetstream;
use futures_util::StreamExt;
use http::{HeaderMap, Method};
use skep_bus::{Bus, EventFilter};
use skep_protocol::{CallOfEvent, Decision, Event, Proof, Verified};
use time::OffsetDateTime;

use crate::harness::{DEADLINE, Site};

const MINUTE: Duration = Duration::from_secs(60);
/// Events of other sources behind the first one; each takes one place in the stream.
const OTHERS: u64 = 40_000;

fn event(id: &str, received_at: OffsetDateTime) -> Event {
    Event {
        source: "quiet".parse().unwrap(),
        id: id.parse().unwrap(),
        kind: "push".to_owned(),
        received_at,
        verified: Verified { by: Proof::None, key: None },
        decision: Decision::default(),
        method: Method::POST,
        path: String::new(),
        query: None,
        remote: None,
        headers: HeaderMap::new(),
        body: id.to_owned().into(),
        occurrence: None,
        trace: None,
    }
}

async fn store(bus: &Bus, id: &str, received_at: OffsetDateTime) {
    bus.events.store(&event(id, received_at), MINUTE).await.unwrap();
}

/// Stores messages of another source. Nobody reads them, so they need not be events.
async fn store_others(site: &Site, from: u64, to: u64) {
    let mut jetstream = jetstream::new(site.nats_client().await);
    // Each ack waits for the disk, and for those of the others before it.
    jetstream.set_timeout(DEADLINE);
    let publishes = futures_util::stream::iter(from..to).map(|number| {
        let jetstream = jetstream.clone();
        async move { jetstream.publish(format!("skep.event.busy.{number}"), "".into()).await.unwrap().await.unwrap() }
    });
    publishes.buffer_unordered(1000).collect::<Vec<_>>().await;
}

/// How many requests to JetStream some work makes.
async fn cost<T>(site: &Site, work: impl Future<Output = T>) -> (T, usize) {
    let client = site.nats_client().await;
    let mut requests = client.subscribe("$JS.API.>").await.unwrap();
    client.flush().await.unwrap();
    let done = work.await;
    client.publish("$JS.API.last", "".into()).await.unwrap();
    client.flush().await.unwrap();
    let mut count = 0;
    while requests.next().await.unwrap().subject.as_str() != "$JS.API.last" {
        count += 1;
    }
    (done, count)
}

#[tokio::test]
async fn a_quiet_source_among_busy_ones_is_listed_in_few_steps() {
    let (site, _server, bus) = crate::bus::start().await;
    let (source, all) = ("quiet".parse().unwrap(), EventFilter::default());
    let now = OffsetDateTime::now_utc();
    for id in ["first", "second"] {
        store(&bus, id, now).await;
    }
    store_others(&site, 0, OTHERS).await;
    store(&bus, "third", now).await;
    store_others(&site, OTHERS, OTHERS + 100).await;
    let ids = |page: &skep_bus::EventPage| page.events.iter().map(|event| event.id.to_string()).collect::<Vec<_>>();

    let (page, requests) = cost(&site, Box::pin(bus.events.list(&source, &all, 100, None))).await;
    let page = page.unwrap();
    assert_eq!((ids(&page), page.next), (["third", "second", "first"].map(str::to_owned).to_vec(), None));
    assert!(requests <= 20, "{requests} requests for the events of {OTHERS} places");

    // A page ends where the limit is reached, and the next one goes on there.
    let page = bus.events.list(&source, &all, 2, None).await.unwrap();
    assert_eq!(ids(&page), ["third", "second"]);
    let (rest, requests) = cost(&site, Box::pin(bus.events.list(&source, &all, 2, page.next))).await;
    assert_eq!(ids(&rest.unwrap()), ["first"]);
    assert!(requests <= 20, "{requests} requests");
    let (none, requests) = cost(&site, Box::pin(bus.events.list(&"nobody".parse().unwrap(), &all, 100, None))).await;
    assert!(none.unwrap().events.is_empty() && requests <= 20, "{requests} requests");
}

#[tokio::test]
async fn many_events_behind_a_long_gap_are_listed_in_order_and_once() {
    let (site, _server, bus) = crate::bus::start().await;
    let (source, all) = ("quiet".parse().unwrap(), EventFilter::default());
    let now = OffsetDateTime::now_utc();
    let stores = futures_util::stream::iter(0..3000).map(|number| {
        let bus = &bus;
        async move { store(bus, &format!("e{number}"), now).await }
    });
    stores.buffer_unordered(100).collect::<Vec<_>>().await;
    store_others(&site, 0, 10_000).await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = bus.events.list(&source, &all, 700, before).await.unwrap();
        seen.extend(page.events.iter().map(|event| event.sequence));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 3000);
    assert!(seen.is_sorted_by(|one, other| one > other), "the newest first, and none twice");
}

#[tokio::test]
async fn a_time_is_that_of_receipt() {
    let (_site, _server, bus) = crate::bus::start().await;
    let source = "quiet".parse().unwrap();
    let now = OffsetDateTime::now_utc();
    // What was held came long before it is stored.
    for (id, age) in [("old", 90), ("held", 60), ("new", 0)] {
        store(&bus, id, now - age * MINUTE).await;
    }
    let since = |age: u32| EventFilter { since: Some(now - age * MINUTE), ..EventFilter::default() };
    for (age, expected) in [(100, 3), (61, 2), (59, 1)] {
        let listed = bus.events.list(&source, &since(age), 100, None).await.unwrap().events.len();
        let (found, next) = bus.events.list_after(&source, &since(age), 100, 0).await.unwrap();
        assert_eq!((listed, found.len(), next), (expected, expected, None), "since {age} minutes");
        assert!(
            found.iter().all(|stored| stored.event.body == stored.event.id.as_str()),
            "they come with their bodies"
        );
    }
    // From `since` on, and up to before `until`.
    let at = Some(now - 60 * MINUTE);
    let bounds =
        [EventFilter { since: at, ..EventFilter::default() }, EventFilter { until: at, ..EventFilter::default() }];
    for (filter, expected) in bounds.iter().zip([&["new", "held"][..], &["old"]]) {
        let listed = bus.events.list(&source, filter, 100, None).await.unwrap().events;
        assert_eq!(listed.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), expected);
    }
    let (found, next) = bus.events.list_after(&source, &since(100), 2, 0).await.unwrap();
    assert_eq!((found.len(), next), (2, Some(found[1].sequence)));
    let (rest, next) = bus.events.list_after(&source, &since(100), 2, next.unwrap()).await.unwrap();
    assert_eq!((rest.len(), rest[0].event.id.as_str(), next), (1, "new", None));
}

#[tokio::test]
async fn the_notes_of_replays_are_of_one_event_and_keep_their_order() {
    let (_site, _server, bus) = crate::bus::start().await;
    let now = OffsetDateTime::now_utc();
    // An id that came again when its first event was no longer kept.
    let [event, later] = [event("one", now), event("one", now + MINUTE)];
    let call = |event: &Event, replay: &str| CallOfEvent {
        route: "route.a".parse().unwrap(),
        function: "cat".parse().unwrap(),
        call_id: event.call_id(&"route.a".parse().unwrap(), Some(replay)),
        state: None,
    };
    for (event, replay) in [(&event, "b"), (&event, "a"), (&later, "c"), (&event, "b")] {
        bus.events.note_replay(event, replay, &call(event, replay)).await.unwrap();
    }
    let replays = bus.events.replays(&event.source, &event.id, event.received_at).await.unwrap();
    let reported: Vec<_> = replays.iter().map(|known| (known.replay.as_str(), known.call.call_id.clone())).collect();
    assert_eq!(reported, ["b", "a"].map(|replay| (replay, call(&event, replay).call_id)));
    assert_eq!(replays[0].call.route.as_str(), "route.a");
    assert_eq!(bus.events.replays(&later.source, &later.id, later.received_at).await.unwrap().len(), 1);
    assert!(bus.events.replays(&later.source, &"on".parse().unwrap(), now).await.unwrap().is_empty());
}
