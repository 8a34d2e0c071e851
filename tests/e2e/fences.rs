//! What is stored once, also in streams that lack skep's own settings, and what a newer skep has stored.

use async_nats::{
    HeaderMap,
    jetstream::{self, stream},
};
use futures_util::future::join_all;
use skep_bus::{Location, Moved, Submitted};
use skep_protocol::lane_of;

use crate::{
    bus::{invocation, messages_of, queued, record, start},
    harness::{Function, Platform, wait_for},
    nats,
};

#[tokio::test]
async fn a_stream_that_would_take_a_second_message_gets_none() {
    let (site, _server, bus) = start().await;
    let jetstream = jetstream::new(nats::client(&site).await);
    // As if the streams had been created without the settings that skep asks for.
    for name in ["SKEP_INVOKE", "SKEP_CALLS", "SKEP_DEAD", "SKEP_BACKLOG"] {
        let config = jetstream.get_stream(name).await.unwrap().cached_info().config.clone();
        let config = stream::Config {
            max_messages_per_subject: -1,
            discard: stream::DiscardPolicy::Old,
            discard_new_per_subject: false,
            ..config
        };
        jetstream.update_stream(config).await.unwrap();
    }
    let call = invocation("f", "twice");
    let record = record(&call.call_id, "first");
    for expected in [Submitted::Accepted, Submitted::Duplicate] {
        assert_eq!(bus.calls.submit(&call).await.unwrap(), expected);
        assert_eq!(bus.outcomes.store_record(&record).await.unwrap(), expected);
    }
    // Also where many are stored with one commit, one of which is there already.
    let calls: Vec<_> = (0..40).map(|number| invocation("f", &format!("twice-{}", number / 2))).collect();
    let submitted = join_all(calls.iter().map(|call| bus.calls.submit(call))).await;
    let accepted = submitted.into_iter().filter(|submitted| *submitted.as_ref().unwrap() == Submitted::Accepted);
    assert_eq!((accepted.count(), queued(&site).await), (20, 21));
    for expected in [Moved::Written, Moved::Superseded] {
        assert_eq!(bus.queues.relocate(&invocation("f", "own"), Location::Backlog).await.unwrap(), expected);
    }
    assert_eq!((messages_of(&site, "SKEP_CALLS").await, messages_of(&site, "SKEP_BACKLOG").await), (1, 1));
}

#[tokio::test]
async fn a_call_that_a_newer_skep_has_stored_is_kept_as_a_dead_letter_that_says_so() {
    let platform = Platform::start([Function::counted()]).await;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("Skep-Call-Id", "future"),
        ("Skep-Function", "counted"),
        ("Skep-Method", "POST"),
        ("Skep-Accepted-At", "2026-01-01T00:00:00Z"),
        ("Skep-Version", "2.0"),
    ] {
        headers.insert(name, value);
    }
    let subject = format!("skep.invoke.{}.counted.future", lane_of(&"counted".parse().unwrap()));
    let jetstream = jetstream::new(nats::client(&platform.site).await);
    jetstream.publish_with_headers(subject, headers, "work".into()).await.unwrap().await.unwrap();
    let dead = nats::stream(&platform.site, "SKEP_DEAD").await;
    let letter =
        wait_for("the dead letter", async || dead.get_last_raw_message_by_subject("skep.dead.>").await.ok()).await;
    let reason = letter.headers.get("Skep-Reason").unwrap().as_str();
    assert!(reason.contains("version 2.0") && reason.contains("upgrade skep"), "{reason}");
    assert_eq!((&letter.payload[..], platform.site.runs().len()), (&b"work"[..], 0));
}
