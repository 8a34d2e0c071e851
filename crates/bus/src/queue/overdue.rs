//! Overdue calls: the server has forgotten their schedule, or counts a due call as acknowledged.
//!
//! A server that was killed can come back with either. Such a call is moved to its lane.

use std::time::Duration;

use async_nats::{
    header::NATS_SCHEDULE,
    jetstream::{consumer::pull, message::StreamMessage},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tracing::warn;

use crate::{
    Housekeeping, Queues, Result,
    calls::records,
    client::clock,
    queue::parked,
    queue::relocate::{Location, Why},
    wire,
};

/// The consumer of calls that are due.
pub(crate) const DUE: &str = "due";

/// What one look has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overdue {
    /// Where the next look continues; 0 is the beginning.
    pub next: u64,
    pub sent_on: usize,
}

impl Housekeeping {
    /// Looks at the delayed calls from a place on, at most `limit` of them, and sends on their way those that should have moved more than `overdue_after` ago.
    pub async fn send_on_overdue(&self, from: u64, limit: usize, overdue_after: Duration) -> Result<Overdue> {
        let mut found = Overdue { next: from, sent_on: 0 };
        let floor = match self.nats.streams.delayed.get_consumer::<pull::Config>(DUE).await {
            Ok(consumer) => consumer.cached_info().ack_floor.stream_sequence,
            // No worker has opened it yet, so nothing was acknowledged.
            Err(_) => 0,
        };
        let before = clock::now() - overdue_after;
        for _ in 0..limit {
            let all = self.nats.subjects.delayed_all();
            let Some(message) = records::find_after(&self.nats.streams.delayed, all, found.next).await? else {
                found.next = 0;
                break;
            };
            found.next = message.sequence;
            let sent_on = if self.is_waiting(&message) {
                if due_at(&message) < before { self.schedule_again(&message).await } else { Ok(false) }
            } else if message.time < before && message.sequence <= floor {
                self.queue_again(&message).await
            } else {
                Ok(false)
            };
            match sent_on {
                Ok(sent_on) => found.sent_on += usize::from(sent_on),
                Err(error) if error.may_pass() => return Err(error),
                // It must not keep those behind it from being checked.
                Err(error) => {
                    warn!(error = error.chain(), subject = %message.subject, "an overdue call cannot be moved to its lane")
                }
            }
        }
        Ok(found)
    }

    fn is_waiting(&self, message: &StreamMessage) -> bool {
        message.subject.starts_with(&format!("{}.delayed.wait.", self.nats.subjects.prefix()))
    }

    /// Writes a schedule again, due now; `false` if it has changed meanwhile.
    async fn schedule_again(&self, message: &StreamMessage) -> Result<bool> {
        // The worker makes a dead letter of what cannot be read, once it is due.
        let Ok(call) = parked::read(message) else { return Ok(false) };
        let why = match wire::text(&message.headers, wire::PARKED) {
            Some(why) if why == Why::Lease.as_str() => Why::Lease,
            _ if call.last_attempt.is_some() => Why::Retry,
            _ => Why::Delay,
        };
        self.nats.write(&call, Location::Parked { until: clock::now(), why }, message.sequence).await
    }

    /// Moves a due call to its lane, as the worker does that is handed it, or lets it come due again; `false` if it cannot be read.
    async fn queue_again(&self, message: &StreamMessage) -> Result<bool> {
        let Ok(call) = parked::read(message) else { return Ok(false) };
        if call.burst.is_some() || call.occurrence.is_some() {
            // Whether it runs is decided when it is due, so it is due once more.
            self.nats.write(&call, Location::Parked { until: clock::now(), why: Why::Delay }, 0).await?;
        } else {
            Queues::over(&self.nats).relocate(&call, Location::Shared { moved_since: message.time }).await?;
        }
        self.nats.remove_message("DELAYED", message.sequence).await?;
        Ok(true)
    }
}

/// When the message was to be moved; one without a readable time is moved at once.
fn due_at(message: &StreamMessage) -> OffsetDateTime {
    let schedule = message.headers.get(NATS_SCHEDULE).and_then(|schedule| schedule.as_str().strip_prefix("@at "));
    schedule.and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok()).unwrap_or(message.time)
}
