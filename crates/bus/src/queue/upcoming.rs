//! Calls that wait for their time, each with the time when it comes due, in the order in which they were stored.

use async_nats::{
    Message, StatusCode, Subscriber,
    header::{NATS_SEQUENCE, NATS_SUBJECT},
};
use futures_util::StreamExt;
use serde_json::json;
use skep_protocol::FunctionName;
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::{
    Error, NatsHeaders, QueueDepth, Result,
    calls::lookup::{END, NOT_FOUND},
    client::connect::REQUEST_TIMEOUT,
    queue::{overdue::scheduled_at, relocate::Why},
    wire,
};

/// Calls that are read with one request, and about how many bytes of them: they come with their bodies.
const MAX_TOGETHER: u64 = 1000;
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A call that waits for its time, or for its next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpcomingCall {
    pub function: FunctionName,
    pub due_at: OffsetDateTime,
    /// Of all that have the same, only the last one will run: it is the id of the call, or the key of its burst.
    pub key: String,
}

impl QueueDepth {
    /// Calls that wait for their time and were stored behind a place, and up to which place they are; none if that is all.
    ///
    /// Nothing says that a call was cancelled.
    pub async fn upcoming(&self, after: u64) -> Result<Option<(Vec<UpcomingCall>, u64)>> {
        let client = &self.nats.client;
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.map_err(Error::unavailable)?;
        let api = format!("$JS.API.DIRECT.GET.{}", self.nats.subjects.stream("DELAYED"));
        // NATS ADR-31.
        let query = json!({
            "seq": after + 1,
            "next_by_subj": self.nats.subjects.delayed_of(None),
            "batch": MAX_TOGETHER,
            "max_bytes": MAX_BYTES,
        });
        client.publish_with_reply(api, inbox, query.to_string().into()).await.map_err(Error::unavailable)?;
        timeout(REQUEST_TIMEOUT, read_all(&mut answers, after)).await.map_err(Error::unavailable)?
    }
}

async fn read_all(answers: &mut Subscriber, after: u64) -> Result<Option<(Vec<UpcomingCall>, u64)>> {
    let (mut calls, mut read_to) = (Vec::new(), after);
    while let Some(message) = answers.next().await {
        match message.status.as_ref().map(StatusCode::as_u16) {
            None => {
                let (place, call) = place_and_call(&message);
                read_to = read_to.max(place.unwrap_or(0));
                calls.extend(call);
            }
            Some(NOT_FOUND | END) => return Ok((read_to > after).then_some((calls, read_to))),
            Some(status) => return Err(Error::unavailable(format!("delayed calls cannot be read: {status}"))),
        }
    }
    Err(Error::unavailable("the connection is closed"))
}

fn place_and_call(message: &Message) -> (Option<u64>, Option<UpcomingCall>) {
    let Some(headers) = &message.headers else { return (None, None) };
    let text = |name| headers.get(name).map(|value: &async_nats::HeaderValue| value.as_str());
    let place = text(NATS_SEQUENCE).and_then(|place| place.parse().ok());
    (place, text(NATS_SUBJECT).and_then(|subject| read(subject, headers)))
}

/// `None` for a call that a worker has, and for what cannot be read.
fn read(subject: &str, headers: &NatsHeaders) -> Option<UpcomingCall> {
    if wire::text(headers, wire::PARKED) == Some(Why::Lease.as_str()) {
        return None;
    }
    let mut tokens = subject.rsplit('.');
    let (id, function) = (tokens.next()?, tokens.next()?);
    let key = wire::text(headers, wire::BURST).unwrap_or(id).to_owned();
    Some(UpcomingCall { function: function.parse().ok()?, due_at: scheduled_at(headers)?, key })
}

#[cfg(test)]
mod tests {
    use async_nats::header::NATS_SCHEDULE;
    use time::macros::datetime;

    use super::*;

    fn headers(parked: &'static str) -> NatsHeaders {
        let mut headers = NatsHeaders::new();
        headers.insert(wire::PARKED, parked);
        headers.insert(NATS_SCHEDULE, "@at 2026-11-30T08:00:00.5Z");
        headers
    }

    #[test]
    fn delays_and_retries_come_due_and_leases_do_not() {
        let subject = "skep.delayed.wait.cat.order-7";
        for parked in ["delay", "retry"] {
            let call = read(subject, &headers(parked)).unwrap();
            assert_eq!((call.function.as_str(), call.key.as_str()), ("cat", "order-7"));
            assert_eq!(call.due_at, datetime!(2026-11-30 08:00:00.5 UTC));
        }
        assert_eq!(read(subject, &headers("lease")), None);
        assert_eq!(read(subject, &NatsHeaders::new()), None, "it has no time");
    }

    #[test]
    fn calls_of_a_burst_have_its_key() {
        let mut headers = headers("delay");
        headers.insert(wire::BURST, "github.0123abcd");
        assert_eq!(read("skep.delayed.wait.cat.b", &headers).unwrap().key, "github.0123abcd");
    }
}
