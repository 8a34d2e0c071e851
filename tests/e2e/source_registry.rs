//! The registry of sources against a real server.

use futures_util::StreamExt;
use serde_json::json;
use skep_bus::{Source, SourceEvent};
use skep_protocol::{SourceRecord, SourceSecrets};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::bus::start;

#[tokio::test]
async fn sources_are_read_whole_and_watched_with_their_secrets() {
    let (_site, _server, bus) = start().await;
    assert!(bus.sources.list().await.unwrap().is_empty());
    let lease = bus.leadership.acquire("one", &CancellationToken::new()).await.unwrap();
    let (name, secrets) = ("b".parse().unwrap(), SourceSecrets { secrets: Vec::new(), last_number: 7 });
    for name in ["a", "b", "c"] {
        lease.put_source(&source_record(name)).await.unwrap();
    }
    lease.remove_source(&"a".parse().unwrap()).await.unwrap();
    // Without a source they do not count.
    lease.put_source_secrets(&"d".parse().unwrap(), &secrets).await.unwrap();
    let names = |found: Vec<Source>| found.into_iter().map(|source| source.record.name.into()).collect::<Vec<String>>();
    assert_eq!(names(bus.sources.list().await.unwrap()), ["b", "c"]);

    let mut events = std::pin::pin!(bus.sources.watch().await.unwrap());
    while !matches!(events.next().await.unwrap().unwrap(), SourceEvent::Current) {}
    // Each change is followed by the news that it was the last one.
    let mut next = async || loop {
        match events.next().await.unwrap().unwrap() {
            SourceEvent::Current => {}
            change => return change,
        }
    };
    let revision = lease.put_source_secrets(&name, &secrets).await.unwrap();
    match next().await {
        SourceEvent::Put { source, revision: seen } => {
            assert_eq!((&source.record.name, &source.secrets, seen), (&name, &secrets, revision));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bus.sources.get(&name).await.unwrap().unwrap().secrets, secrets);
    lease.remove_source(&name).await.unwrap();
    assert!(matches!(next().await, SourceEvent::Put { source, .. } if source.secrets == SourceSecrets::default()));
    assert!(matches!(next().await, SourceEvent::Deleted { name: gone, .. } if gone == name));
    assert!(bus.sources.get(&name).await.unwrap().is_none());
}

pub(crate) fn source_record(name: &str) -> SourceRecord {
    let at = OffsetDateTime::UNIX_EPOCH;
    let (name, spec) = (name.parse().unwrap(), json!({ "verify": "none" }));
    SourceRecord { name, spec, created_at: at, updated_at: at, paused: false, paused_at: None, function: None }
}
