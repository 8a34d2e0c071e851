//! Messages of sources whose headers no client library would send, and that the one skep is built on cannot read.

use async_nats::jetstream;
use serde_json::json;

use crate::{
    harness::{Function, Platform, wait_until},
    nats::client,
    unreadable_headers::{Raw, UNREADABLE},
};

#[tokio::test]
async fn messages_with_headers_that_cannot_be_read_are_events_and_all_others_go_on() {
    let platform = Platform::start([Function::counted()]).await;
    let jetstream = jetstream::new(client(&platform.site).await);
    let config = jetstream::stream::Config {
        name: "HOSTILE".to_owned(),
        subjects: vec!["hostile".to_owned()],
        ..Default::default()
    };
    let stream = jetstream.create_stream(config).await.unwrap();
    platform
        .gateway
        .listen_to("stream", json!({ "nats": { "stream": "HOSTILE" }, "routes": [{ "to": "counted" }] }))
        .await;
    platform.gateway.listen_to("core", json!({ "nats": { "subjects": ["core"] } })).await;
    // What comes before its consumer is there is none of its events.
    wait_until("it has its consumer", async || {
        stream.get_consumer::<jetstream::consumer::pull::Config>("skep-stream").await.is_ok()
    })
    .await;
    let asked = async || jetstream.client().request("core", "".into()).await.is_ok();
    wait_until("the source hears", asked).await;
    let mut raw = Raw::connect_as(&platform.site, "skep").await;
    for (headers, _) in UNREADABLE {
        raw.publish("hostile", "", headers, "kept").await;
        raw.publish("core", "", headers, "lost").await;
    }
    raw.publish("hostile", "", b"NATS/1.0\r\nX-Own: behind-them\r\n\r\n", "fine").await;
    let queued = platform.gateway.queue("counted", "from the door").await;
    assert_eq!(platform.gateway.finished(&queued).await["state"], "succeeded");
    // Each of the stream, what came behind them, and what came by the door.
    platform.site.wait_for_runs(UNREADABLE.len() + 2).await;
    assert_eq!(platform.gateway.events("stream").await.len(), UNREADABLE.len() + 1);
    wait_until("all are acknowledged", async || platform.gateway.source("stream").await["pending"] == 0).await;
    wait_until("subjects are heard again", asked).await;
}
