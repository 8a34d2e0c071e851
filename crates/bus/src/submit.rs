//! Accepting a call: one durable message.

use std::time::Duration;

use bytes::Bytes;
use skep_protocol::{CallStatus, Invocation, Subjects};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::{Bus, Error, Result, connect::REQUEST_DEADLINE, publish::Message, wire};

/// A cluster that has lost a server takes some seconds to agree on who leads a stream.
const ELECTED_WITHIN: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What became of a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    Accepted,
    /// A call with this id is waiting, running or recorded; it runs once.
    Duplicate,
}

impl Bus {
    /// Stores a call and returns when the server has acknowledged it, and not before.
    ///
    /// A server that is there and does not take it is tried again for a while: a stream is made anew, a cluster finds a new leader.
    pub async fn submit(&self, invocation: &Invocation) -> Result<Submitted> {
        if let Err(error) = invocation.check_headers() {
            // Nobody will ask for what was kept of it.
            if let Some(body) = invocation.body.stored() {
                self.discard_body(&body.key);
            }
            return Err(Error::HeadersTooLarge(error));
        }
        let patience = if self.kept.replicas > 1 { ELECTED_WITHIN } else { REQUEST_DEADLINE };
        let give_up = Instant::now() + patience;
        // Decided once: what is sent again must meet what may have been stored before.
        let subject = self.lane_subject(invocation);
        let mut pause = FIRST_PAUSE;
        let mut is_first = true;
        loop {
            match self.try_submit(invocation, subject.clone()).await {
                Ok(Submitted::Accepted) => {
                    self.ledger.note(invocation);
                    return Ok(Submitted::Accepted);
                }
                // It was stored before, although nobody heard of it.
                Ok(Submitted::Duplicate) if !is_first && !invocation.has_callers_id => {
                    self.ledger.note(invocation);
                    return Ok(Submitted::Accepted);
                }
                Err(error @ Error::Unavailable(_)) => {
                    if Instant::now() + pause >= give_up || !self.is_reachable().await {
                        return Err(error);
                    }
                    debug!(error = error.chain(), call_id = %invocation.call_id, "a call cannot be stored; trying again");
                }
                ended => {
                    // The call that is there has a body of its own. What was tried before may be stored, and name this one.
                    if let (true, Some(body)) = (is_first, invocation.body.stored()) {
                        self.discard_body(&body.key);
                    }
                    return ended;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            is_first = false;
        }
    }

    /// Where a call waits to be taken.
    fn lane_subject(&self, invocation: &Invocation) -> String {
        // An id that may come again has one place only, where the second call is refused.
        let in_bulk = !invocation.has_callers_id && self.rates.is_often(&invocation.function);
        let subject = if in_bulk { Subjects::invoke_in_bulk } else { Subjects::invoke };
        subject(&self.subjects, &invocation.function, &invocation.call_id)
    }

    async fn try_submit(&self, invocation: &Invocation, subject: String) -> Result<Submitted> {
        if invocation.has_callers_id
            && let Some(known) = self.stored_status(&invocation.call_id).await?
        {
            return same_function(invocation, known);
        }
        if invocation.run_at.is_some_and(|run_at| run_at > OffsetDateTime::now_utc()) {
            return self.submit_delayed(invocation).await;
        }
        let body = invocation.body.in_message().clone();
        self.invocations.store(subject, wire::invocation_headers(invocation), body).await
    }

    /// Publishes to a stream that holds one message per subject, or on a condition.
    pub(crate) async fn publish_once(
        &self,
        subject: String,
        headers: async_nats::HeaderMap,
        body: Bytes,
    ) -> Result<Submitted> {
        let stored = self.publish(subject, headers, body).await?;
        Ok(if stored.is_some() { Submitted::Accepted } else { Submitted::Duplicate })
    }

    /// As [`Self::publish_once`], and returns the message's number in its stream; `None` if it was not stored for what is there.
    pub(crate) async fn publish(
        &self,
        subject: String,
        headers: async_nats::HeaderMap,
        body: Bytes,
    ) -> Result<Option<u64>> {
        self.publisher.publish(Message { subject, headers, body }).await
    }
}

/// A known id may be submitted again for the same function only: for another one it would be another call.
fn same_function(invocation: &Invocation, known: CallStatus) -> Result<Submitted> {
    if known.function == invocation.function.to_string() {
        return Ok(Submitted::Duplicate);
    }
    Err(Error::IdInUse { id: known.call_id, function: known.function })
}
