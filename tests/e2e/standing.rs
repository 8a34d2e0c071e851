//! What is to become of many deliveries, looked up together.

use bytes::Bytes;
use futures_util::future::join_all;
use skep_bus::{Bus, Delivery, life::NextStep};
use skep_protocol::Call;

use crate::{
    bus::{invocation, record, start, take},
    nats,
};

/// More than are looked up with one request.
const MANY: usize = 200;

async fn next_steps(bus: &Bus, deliveries: &[Delivery<Call>]) -> Vec<skep_bus::Result<NextStep>> {
    join_all(deliveries.iter().map(|delivery| bus.queues.next_step(delivery, delivery.content.as_ref().unwrap(), true)))
        .await
}

#[tokio::test]
async fn of_many_calls_with_large_results_each_is_known_to_have_ended() {
    // More than the server hands out for one request.
    const LARGE: usize = 4 << 20;
    let (_site, _server, bus) = start().await;
    for number in 0..40 {
        let call = invocation("f", &format!("call-{number}"));
        bus.calls.submit(&call).await.unwrap();
        let mut record = record(&call.call_id, "");
        record.body = Bytes::from(vec![0; LARGE]).into();
        bus.outcomes.store_record(&record).await.unwrap();
    }
    let deliveries = take(&bus, "f", 40).await;
    for step in next_steps(&bus, &deliveries).await {
        assert_eq!(step.unwrap(), NextStep::Finished);
    }
}

#[tokio::test]
async fn of_many_calls_exactly_those_with_a_record_have_ended() {
    let (site, _server, bus) = start().await;
    let ended = |number: usize| number.is_multiple_of(3);
    for number in 0..MANY {
        let call = invocation("f", &format!("call-{number}"));
        bus.calls.submit(&call).await.unwrap();
        if ended(number) {
            let mut record = record(&call.call_id, "x");
            // One with a callback is kept under another subject.
            record.status.callback_url = number.is_multiple_of(2).then(|| "https://example.com".parse().unwrap());
            bus.outcomes.store_record(&record).await.unwrap();
        }
    }
    let deliveries = take(&bus, "f", MANY).await;
    let steps = next_steps(&bus, &deliveries).await;
    for (number, step) in steps.into_iter().enumerate() {
        let expected = if ended(number) { NextStep::Finished } else { NextStep::Run };
        assert_eq!(step.unwrap(), expected, "call-{number}");
    }

    // If nothing can answer, nothing is run.
    let stream = nats::stream(&site, "SKEP_CALLS").await;
    async_nats::jetstream::new(nats::client(&site).await)
        .delete_stream(&stream.cached_info().config.name)
        .await
        .unwrap();
    for step in next_steps(&bus, &deliveries[..3]).await {
        let error = step.unwrap_err().chain();
        assert!(error.contains("calls cannot be looked up: 503"), "{error}");
    }
}
