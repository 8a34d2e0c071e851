//! Waiting and moving on the bus: a step that is done twice, even by two workers, makes one call.

use std::time::Duration;

use skep_bus::{Bus, Delivery, Location, Moved};
use skep_protocol::{Call, CallState, LastAttempt};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::bus::{invocation, messages_of, queued, record, start, take};

fn after_attempt(id: &str, number: u64, wait: time::Duration) -> Call {
    let next_at = OffsetDateTime::now_utc() + wait;
    let reason = "the function\nanswered 500".to_owned();
    let last_attempt = LastAttempt { number, status: Some(500), reason, next_at, past: Vec::new() };
    Call { last_attempt: Some(last_attempt), ..invocation("f", id) }
}

async fn park(bus: &Bus, call: &Call) -> Moved {
    bus.queues.relocate(call, Location::until_due(call)).await.unwrap()
}

async fn due(bus: &Bus) -> Delivery<Call> {
    let mut queue = bus.queues.due();
    loop {
        if let Some(delivery) = queue.next(1, &CancellationToken::new()).await.unwrap().pop() {
            return delivery;
        }
    }
}

#[tokio::test]
async fn a_call_that_is_moved_twice_is_in_its_lane_once() {
    let (site, _server, bus) = start().await;
    bus.calls.submit(&invocation("f", "a")).await.unwrap();
    let first = take(&bus, "f", 1).await.remove(0);
    let next = after_attempt("a", 1, time::Duration::milliseconds(100));
    assert_eq!(park(&bus, &next).await, Moved::Written);
    assert_eq!(park(&bus, &next).await, Moved::Superseded, "a worker that repeats itself changes nothing");
    // The first attempt's message is still there, as after a crash.
    let moved = due(&bus).await;
    let again = moved.content.as_ref().unwrap();
    assert_eq!(again.attempts(), 1);
    for _ in 0..3 {
        bus.queues.relocate(again, Location::Shared { moved_since: moved.stored_at() }).await.unwrap();
    }
    assert_eq!(queued(&site).await, 1);
    moved.ack().await;
    first.ack().await;
    let second = take(&bus, "f", 1).await.remove(0);
    let read = second.content.as_ref().unwrap();
    assert_eq!((read.attempts(), &read.body.in_message()[..]), (1, &b"body"[..]));
    assert_eq!(read.last_attempt.as_ref().unwrap().reason, "the function answered 500");
}

#[tokio::test]
async fn an_attempt_that_is_behind_does_not_replace_a_later_one() {
    let (_site, _server, bus) = start().await;
    assert_eq!(park(&bus, &after_attempt("a", 3, time::Duration::HOUR)).await, Moved::Written);
    assert_eq!(park(&bus, &after_attempt("a", 2, time::Duration::HOUR)).await, Moved::Superseded);
    assert_eq!(park(&bus, &after_attempt("a", 4, time::Duration::HOUR)).await, Moved::Written);
    let status = bus.calls.status(&"a".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((status.state, status.attempts), (CallState::Retrying, 4));

    // Nor does one whose call has ended come back.
    let id = "b".parse().unwrap();
    bus.outcomes.store_record(&record(&id, "done")).await.unwrap();
    assert_eq!(park(&bus, &after_attempt("b", 1, time::Duration::HOUR)).await, Moved::Superseded);
    assert_eq!(bus.calls.status(&id).await.unwrap().unwrap().state, CallState::Succeeded);
}

#[tokio::test]
async fn a_run_that_takes_long_does_not_replace_a_later_attempt_that_is_due() {
    let (site, _server, bus) = start().await;
    let call = invocation("f", "a");
    bus.calls.submit(&call).await.unwrap();
    // Two workers have it, as when one of them stood still for too long.
    let stalled = take(&bus, "f", 1).await.remove(0);
    let next = after_attempt("a", 1, time::Duration::milliseconds(100));
    assert_eq!(park(&bus, &next).await, Moved::Written);
    let moved = due(&bus).await;

    let (long_after, lasts) = (Duration::from_millis(50), Duration::from_millis(200));
    stalled.hold_call(&bus.queues, &call, long_after, tokio::time::sleep(lasts)).await;
    let waiting = messages_of(&site, "SKEP_DELAYED").await;
    assert_eq!(waiting, 1, "the one whose time has come, and no schedule of an earlier attempt");
    bus.queues
        .relocate(moved.content.as_ref().unwrap(), Location::Shared { moved_since: moved.stored_at() })
        .await
        .unwrap();
    moved.ack().await;
    let second = take(&bus, "f", 1).await.remove(0);
    assert_eq!(second.content.as_ref().unwrap().attempts(), 1);
}
