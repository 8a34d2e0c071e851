//! The bus against a real server: what is stored once, what is refused, and what housekeeping leaves alone.

use std::time::Duration;

use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use http::HeaderMap;
use skep_bus::{Budget, Bus, BusConfig, Delivery, Error, Kept, Login, Monitors, RegistryEvent, Role, Submitted};
use skep_protocol::{
    Call, CallId, CallRecord, CallState, CallStatus, DefaultNamespace, FunctionDeployment, FunctionName,
    FunctionRecord, LANES, Subjects, lane_of,
};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::{
    harness::{Program, Site, wait_until},
    nats,
    source_registry::source_record,
};

pub(crate) const HOUR: Budget = Budget { age: Duration::from_secs(3600), bytes: 1 << 30 };

pub(crate) async fn start() -> (Site, Program, Bus) {
    let site = Site::new([]);
    let server = site.start_nats().await;
    let bus = connect(&site).await;
    (site, server, bus)
}

pub(crate) async fn connect(site: &Site) -> Bus {
    connect_with(site, HOUR).await
}

pub(crate) async fn connect_with(site: &Site, letters: Budget) -> Bus {
    let config = BusConfig {
        servers: site.nats_url.parse().unwrap(),
        login: site.nats_user_file().map(|file| Login::read_password(&file).unwrap()),
        role: Role::Controller,
        logs: true,
        subjects: Subjects::default(),
        default_namespace: DefaultNamespace::default(),
        name: "test".to_owned(),
        patience: Duration::from_secs(60),
        kept: Kept {
            replicas: 1,
            records: HOUR,
            letters,
            event_bytes: 1 << 30,
            audit_log: None,
            versions: 20,
            published: None,
            bodies: 1 << 30,
            large_body: None,
            strip_credentials: false,
        },
        monitors: Monitors::At(Vec::new()),
    };
    Bus::connect(&config).await.unwrap()
}

pub(crate) fn invocation(function: &str, id: &str) -> Call {
    Call {
        body: Bytes::from_static(b"body").into(),
        ..Call::new(id.parse().unwrap(), function.parse().unwrap(), OffsetDateTime::now_utc())
    }
}

pub(crate) fn record(id: &CallId, body: &'static str) -> CallRecord {
    let accepted = CallStatus::accepted(id.clone(), "f", OffsetDateTime::now_utc());
    let status = CallStatus { state: CallState::Succeeded, status: Some(200), ..accepted };
    CallRecord {
        status,
        headers: HeaderMap::new(),
        body: Bytes::from_static(body.as_bytes()).into(),
        returned: HeaderMap::new(),
    }
}

pub(crate) async fn take(bus: &Bus, function: &str, count: usize) -> Vec<Delivery<Call>> {
    let mut queue = bus.queues.lane(lane_of(&function.parse::<FunctionName>().unwrap()));
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(queue.next(count - taken.len(), &CancellationToken::new()).await.unwrap());
    }
    taken
}

pub(crate) async fn queued(site: &Site) -> u64 {
    messages_of(site, "SKEP_INVOKE").await
}

pub(crate) async fn messages_of(site: &Site, stream: &str) -> u64 {
    let jetstream = jetstream::new(nats::client(site).await);
    jetstream.get_stream(stream).await.unwrap().cached_info().state.messages
}

#[tokio::test]
async fn a_call_id_is_accepted_once_while_queued_and_once_recorded() {
    let (_site, _server, bus) = start().await;
    let mut call = invocation("f", "once");
    assert_eq!(bus.calls.submit(&call).await.unwrap(), Submitted::Accepted);
    assert_eq!(bus.calls.submit(&call).await.unwrap(), Submitted::Duplicate);
    let status = bus.calls.status(&call.call_id).await.unwrap().unwrap();
    assert_eq!((status.state, status.function.as_str()), (CallState::Queued, "f"));

    bus.outcomes.store_record(&record(&call.call_id, "first")).await.unwrap();
    take(&bus, "f", 1).await[0].ack().await;
    let stopped = CancellationToken::new();
    stopped.cancel();
    for lane in 0..LANES {
        // Every lane has been opened once, or housekeeping would spare what it may still hold.
        bus.queues.lane(lane).next(1, &stopped).await.unwrap();
    }
    wait_until("the finished call is purged", async || bus.housekeeping.purge_finished().await.unwrap() == 1).await;
    call.has_callers_id = true;
    assert_eq!(bus.calls.submit(&call).await.unwrap(), Submitted::Duplicate, "its record is kept");
}

#[tokio::test]
async fn the_first_record_of_a_call_stays() {
    let (_site, _server, bus) = start().await;
    let id: CallId = "r".parse().unwrap();
    assert!(bus.calls.record(&id).await.unwrap().is_none());
    assert_eq!(bus.outcomes.store_record(&record(&id, "first")).await.unwrap(), Submitted::Accepted);
    assert_eq!(bus.outcomes.store_record(&record(&id, "second")).await.unwrap(), Submitted::Duplicate);
    assert_eq!(bus.calls.record(&id).await.unwrap().unwrap().body.in_message(), "first");
}

#[tokio::test]
async fn a_record_that_comes_later_ends_the_wait() {
    let (_site, _server, bus) = start().await;
    let id: CallId = "w".parse().unwrap();
    let later = async {
        tokio::task::yield_now().await;
        bus.outcomes.store_record(&record(&id, "late")).await.unwrap();
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let (found, ()) = tokio::join!(bus.calls.wait_for_record(&id, deadline), later);
    assert_eq!(found.unwrap().unwrap().body.in_message(), "late");
    let never: CallId = "never".parse().unwrap();
    assert!(bus.calls.wait_for_record(&never, tokio::time::Instant::now()).await.unwrap().is_none());
}

/// Publishes a record as part of a batch: subscribers hear of it at once, and it is stored when the batch is committed.
async fn announce_record(client: &async_nats::Client, id: &CallId) -> impl AsyncFn() {
    let in_batch = |number: u32| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Batch-Id", "announced");
        headers.insert("Nats-Batch-Sequence", number.to_string());
        let status = CallStatus {
            state: CallState::Succeeded,
            ..CallStatus::accepted(id.clone(), "f", OffsetDateTime::now_utc())
        };
        headers.insert("Skep-Status", serde_json::to_string(&status).unwrap());
        headers
    };
    let subject = format!("skep.calls.done.{id}");
    client.publish_with_headers(subject, in_batch(1), "told before".into()).await.unwrap();
    client.flush().await.unwrap();
    let mut commit = in_batch(2);
    commit.insert("Nats-Batch-Commit", "1");
    let client = client.clone();
    async move || {
        let stored = async_nats::Request::new().headers(commit.clone()).payload("other".into());
        let answer = client.send_request("skep.calls.done.another", stored).await.unwrap();
        assert!(String::from_utf8_lossy(&answer.payload).contains("\"count\":2"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_record_that_was_announced_before_anybody_waited_and_is_stored_later_ends_the_wait() {
    let (site, _server, bus) = start().await;
    let id: CallId = "told".parse().unwrap();
    let client = nats::client(&site).await;
    let commit = announce_record(&client, &id).await;
    let deadline = tokio::time::Instant::now() + 10 * crate::harness::DEADLINE;
    let mut waiting = std::pin::pin!(bus.calls.wait_for_record(&id, deadline));
    // It has subscribed and looked, in vain.
    let looked = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(looked.is_err(), "{looked:?}");
    commit().await;
    let found = tokio::time::timeout(crate::harness::DEADLINE, waiting).await.expect("it sleeps through its result");
    assert_eq!(found.unwrap().unwrap().body.in_message(), "told before");
}

#[tokio::test]
async fn housekeeping_spares_everything_from_the_first_unfinished_call_on() {
    let (site, _server, bus) = start().await;
    // Two functions of different lanes, in turns.
    let other =
        (0..).map(|n| format!("g{n}")).find(|name| lane_of(&name.parse().unwrap()) != lane_of(&"f".parse().unwrap()));
    let other = other.unwrap();
    for n in 0..10 {
        bus.calls.submit(&invocation("f", &format!("f{n}"))).await.unwrap();
        bus.calls.submit(&invocation(&other, &format!("g{n}"))).await.unwrap();
    }
    for delivery in take(&bus, "f", 10).await {
        delivery.ack().await;
    }
    let others = take(&bus, &other, 10).await;
    for delivery in others.iter().filter(|delivery| delivery.content.as_ref().unwrap().call_id.as_str() != "g4") {
        delivery.ack().await;
    }
    assert_eq!(bus.housekeeping.purge_finished().await.unwrap(), 0, "a lane that nobody has opened may hold anything");
    let stopped = CancellationToken::new();
    stopped.cancel();
    for lane in 0..LANES {
        bus.queues.lane(lane).next(1, &stopped).await.unwrap();
    }
    wait_until("finished calls are purged", async || {
        bus.housekeeping.purge_finished().await.unwrap();
        queued(&site).await <= 11
    })
    .await;
    assert_eq!(queued(&site).await, 11, "g4 and all after it stay");
    assert!(bus.calls.status(&"g4".parse().unwrap()).await.unwrap().is_some());
    others.iter().find(|delivery| delivery.content.as_ref().unwrap().call_id.as_str() == "g4").unwrap().ack().await;
    wait_until("the rest is purged", async || {
        bus.housekeeping.purge_finished().await.unwrap();
        queued(&site).await == 0
    })
    .await;
}

#[tokio::test]
async fn what_is_given_back_comes_again_and_what_is_held_does_not() {
    let (_site, _server, bus) = start().await;
    bus.calls.submit(&invocation("f", "again")).await.unwrap();
    let first = take(&bus, "f", 1).await.remove(0);
    assert_eq!(first.delivered, 1);
    first.again_after(Duration::from_millis(50)).await;
    let second = take(&bus, "f", 1).await.remove(0);
    assert_eq!(second.delivered, 2);
    let mut queue = bus.queues.lane(lane_of(&"f".parse().unwrap()));
    assert!(queue.next(1, &CancellationToken::new()).await.unwrap().is_empty(), "it is still held");
    second.ack().await;
}

#[tokio::test]
async fn a_full_stream_and_a_large_message_are_told_apart() {
    let (site, _server, bus) = start().await;
    let mut large = invocation("f", "large");
    large.body = Bytes::from(vec![0; bus.connection.largest_message() + 1]).into();
    assert!(matches!(bus.calls.submit(&large).await, Err(Error::TooLarge { .. })));

    let jetstream = jetstream::new(nats::client(&site).await);
    let config = jetstream.get_stream("SKEP_INVOKE").await.unwrap().cached_info().config.clone();
    jetstream.update_stream(stream::Config { max_messages: 1, ..config }).await.unwrap();
    assert_eq!(bus.calls.submit(&invocation("f", "fits")).await.unwrap(), Submitted::Accepted);
    assert!(matches!(bus.calls.submit(&invocation("f", "full")).await, Err(Error::Full(_))));
}

#[tokio::test]
async fn the_registry_is_read_whole_empty_or_not() {
    use futures_util::StreamExt;

    let (_site, _server, bus) = start().await;
    assert!(bus.registry.functions().await.unwrap().is_empty());
    let lease = bus.leadership.acquire("one", &CancellationToken::new()).await.unwrap();
    assert!(bus.registry.functions().await.unwrap().is_empty());
    for name in ["a", "b", "c"] {
        lease.put_function(&name.parse().unwrap(), &function_record(name)).await.unwrap();
    }
    lease.remove_function(&"b".parse().unwrap()).await.unwrap();
    let names: Vec<String> = bus.registry.functions().await.unwrap().into_iter().map(|(name, _)| name.into()).collect();
    assert_eq!(names, ["a", "c"]);

    let mut events = std::pin::pin!(bus.registry.watch().await.unwrap());
    while !matches!(events.next().await.unwrap().unwrap(), RegistryEvent::Current) {}
    let revision = lease.put_function(&"d".parse().unwrap(), &function_record("d")).await.unwrap();
    let change = events.next().await.unwrap().unwrap();
    assert!(
        matches!(change, RegistryEvent::Put { name, revision: seen, .. } if name.as_str() == "d" && seen == revision)
    );
}

#[tokio::test]
async fn a_function_that_is_written_while_the_registry_is_listed_is_in_the_list() {
    const FUNCTIONS: usize = 30;
    let (_site, _server, bus) = start().await;
    let lease = bus.leadership.acquire("one", &CancellationToken::new()).await.unwrap();
    let names: Vec<FunctionName> = (0..FUNCTIONS).map(|number| format!("f{number}").parse().unwrap()).collect();
    for name in &names {
        lease.put_function(name, &function_record(name.as_str())).await.unwrap();
    }
    let writing = async {
        for name in names.iter().cycle() {
            lease.put_function(name, &function_record(name.as_str())).await.unwrap();
        }
    };
    let listing = async {
        for _ in 0..50 {
            let found: Vec<FunctionName> =
                bus.registry.functions().await.unwrap().into_iter().map(|(name, _)| name).collect();
            let missed: Vec<_> = names.iter().filter(|name| !found.contains(name)).collect();
            assert!(missed.is_empty(), "{missed:?}");
        }
    };
    tokio::select! {
        () = writing => {}
        () = listing => {}
    }
}

#[tokio::test]
async fn what_a_former_controller_writes_is_refused() {
    let (_site, _server, bus) = start().await;
    let name = "f".parse().unwrap();
    let former = bus.leadership.acquire("one", &CancellationToken::new()).await.unwrap();
    former.put_function(&name, &function_record("f")).await.unwrap();
    let waiting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.leadership.acquire("two", &CancellationToken::new()).await.unwrap() }
    });
    // Without an end of the first, as when its process stands still, the lease has to run out.
    let present = waiting.await.unwrap();
    assert!(present.is_held() && !former.is_held());
    for refused in
        [former.put_function(&name, &function_record("f")).await.map(|_| ()), former.remove_function(&name).await]
    {
        assert!(matches!(refused, Err(skep_bus::Error::NotController)), "{refused:?}");
    }
    assert_eq!(bus.registry.functions().await.unwrap().len(), 1);
    present.remove_function(&name).await.unwrap();
    let source = source_record("github");
    for refused in [former.put_source(&source).await, former.remove_source(&source.name).await] {
        assert!(matches!(refused, Err(skep_bus::Error::NotController)), "{refused:?}");
    }
    assert!(bus.sources.list().await.unwrap().is_empty());

    // It is the same one that keeps it, whether or not the lease ran out while the server was away.
    let again = bus.leadership.acquire("two", &CancellationToken::new()).await.unwrap();
    again.put_function(&name, &function_record("f")).await.unwrap();
    again.release().await;
    bus.leadership.acquire("three", &CancellationToken::new()).await.unwrap();
}

pub(crate) fn function_record(service: &str) -> FunctionRecord {
    let deployment = FunctionDeployment { service: service.to_owned(), ..Default::default() };
    FunctionRecord::without_replicas(deployment, 1, OffsetDateTime::UNIX_EPOCH)
}
