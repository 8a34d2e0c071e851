//! Debouncing: of the calls that the events of a burst make, only the last one runs.
//!
//! Each call of a burst waits in `SKEP_DELAYED` under its own id, as any delayed call does.
//! `SKEP_BURSTS` has one message per route and key: the latest call, and when its burst began.
//! Every change of it names the number of the message that it replaces, so workers agree on one order.
//! When a call comes due, this message decides whether it runs or was replaced; see [`super::burst`].
//!
//! One schedule that later events overwrite would need no second message, but it can lose an event:
//! the server that fires a schedule removes whatever is on its subject then, also an event that was written a moment before.

use async_nats::{
    HeaderMap as NatsHeaders,
    header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
    jetstream::{consumer::pull, message::StreamMessage},
};
use skep_protocol::{BurstKey, Call, CallId, EventDebounce};
use time::OffsetDateTime;

use super::{
    ROUTE,
    burst::{Bursts, Due, Entered, Entry},
};
use crate::{Error, Queues, Result, calls::records, client::clock, queue::ACK_TIMEOUT};

/// Other workers change the same burst at the same time; more often than this it is not by chance.
const MAX_TRIES: usize = 20;

/// What becomes of the call of a debounced event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Debounced {
    /// It is the latest of its burst, and waits until then.
    WaitsUntil(OffsetDateTime),
    ReplacedBy(CallId),
}

/// What becomes of a debounced call whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndOfBurst {
    Run,
    ReplacedBy(CallId),
    /// An event that came in time may not be routed yet.
    NotYet,
}

impl Queues {
    /// Notes that a call is of the burst that goes on, or begins one; `received_at` is when its event came.
    pub async fn debounce(
        &self,
        key: &BurstKey,
        call_id: &CallId,
        received_at: OffsetDateTime,
        rule: &EventDebounce,
    ) -> Result<Debounced> {
        let entry = Entry { call_id: call_id.clone(), received_at };
        for _ in 0..MAX_TRIES {
            let (known, sequence) = self.bursts(key).await?;
            match known.enter(&entry, rule) {
                Entered::Replaced { by } => return Ok(Debounced::ReplacedBy(by)),
                Entered::Known { due } => return Ok(Debounced::WaitsUntil(due)),
                Entered::Latest { bursts, due } => {
                    if self.write_bursts(key, &bursts, sequence).await? {
                        return Ok(Debounced::WaitsUntil(due));
                    }
                }
            }
        }
        Err(Error::unavailable(format!("the burst of {key} is changed by others all the time")))
    }

    /// Decides about a debounced call whose time has come. What was decided once stays.
    pub async fn end_of_burst(&self, key: &BurstKey, call: &Call) -> Result<EndOfBurst> {
        let Some(due) = call.run_at else { return Ok(EndOfBurst::Run) };
        for _ in 0..MAX_TRIES {
            let (known, sequence) = self.bursts(key).await?;
            match known.due(&call.call_id, due) {
                Due::Run => return Ok(EndOfBurst::Run),
                Due::Replaced { by } => return Ok(EndOfBurst::ReplacedBy(by)),
                Due::Close { bursts } => {
                    // A worker that was killed holds events for as long as its deliveries last.
                    if clock::now() < due + 3 * ACK_TIMEOUT && self.may_have_unrouted(key, due).await? {
                        return Ok(EndOfBurst::NotYet);
                    }
                    if self.write_bursts(key, &bursts, sequence).await? {
                        return Ok(EndOfBurst::Run);
                    }
                }
            }
        }
        Err(Error::unavailable(format!("the burst of {key} is changed by others all the time")))
    }

    /// What is known of the bursts of a key, and the number of the message that says so.
    async fn bursts(&self, key: &BurstKey) -> Result<(Bursts, u64)> {
        let subject = self.nats.subjects.bursts(key);
        // A replica that is behind would name an earlier call as the latest.
        let found = records::find_at_leader(&self.nats.streams.bursts, subject).await?;
        let Some(StreamMessage { payload, sequence, subject, .. }) = found else { return Ok((Bursts::default(), 0)) };
        let read = serde_json::from_slice(&payload);
        let bursts =
            read.map_err(|error| Error::Unreadable { subject: subject.to_string(), reason: error.to_string() });
        Ok((bursts?, sequence))
    }

    /// Replaces the message with this number; `false` if it is not the last one any more.
    async fn write_bursts(&self, key: &BurstKey, bursts: &Bursts, sequence: u64) -> Result<bool> {
        let mut headers = NatsHeaders::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, sequence.to_string());
        let body = serde_json::to_vec(bursts).map_err(Error::unavailable)?;
        Ok(self.nats.publish(self.nats.subjects.bursts(key), headers, body.into()).await?.is_some())
    }

    /// Whether an event of this source that was stored by this time may have made no calls yet.
    async fn may_have_unrouted(&self, key: &BurstKey, by: OffsetDateTime) -> Result<bool> {
        let events = &self.nats.streams.events;
        let route = events.get_consumer::<pull::Config>(ROUTE).await.map_err(Error::unavailable)?;
        let route = route.cached_info();
        if route.num_pending == 0 && route.num_ack_pending == 0 {
            return Ok(false);
        }
        let of_source = self.nats.subjects.events_of(key.source());
        let next = records::find_after(events, of_source, route.ack_floor.stream_sequence).await?;
        Ok(next.is_some_and(|event| event.time <= by))
    }
}
