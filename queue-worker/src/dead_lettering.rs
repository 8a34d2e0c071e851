//! Dead-letters a call: the dead letter is stored, then the record that says why, and then the delivery is acknowledged.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use skep_bus::{Delivery, Error, KEPT_OF_ANSWER, NatsHeaders, NewDeadLetter};
use skep_protocol::{Call, CallBody, CallId, CallRecord, CallState, CallStatus, DeadKind};
use tracing::warn;

use crate::{Worker, spans};

/// When a message is delivered again whose dead letter could not be stored.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// The same after an error that does not pass by itself. A dead letter always fits, so NATS refuses one only if an operator has changed its streams.
const PERMANENT_ERROR_RETRY_DELAY: Duration = Duration::from_secs(300);

/// The longest function name in a dead letter; the server takes a subject of 4 KiB.
const MAX_NAME: usize = 128;

impl Worker {
    /// Dead-letters a call that gets no further attempt.
    pub(crate) async fn dead_letter_call(&self, delivery: &Delivery<Call>, call: &Call, reason: &str) {
        spans::dead(&self.config.tracer, call, reason);
        let record = without_answer(call.status(), call.returned_headers());
        Box::pin(self.dead_letter(delivery, record, reason)).await;
    }

    /// Dead-letters a message that is not a call; its subject still names function and call.
    pub(crate) async fn dead_letter_unreadable<T>(&self, delivery: &Delivery<T>, reason: &str) {
        let mut tokens = delivery.subject.rsplit('.');
        let call_id = tokens.next().and_then(|id| id.parse().ok()).unwrap_or_else(CallId::generate);
        let function: String = tokens.next().unwrap_or_default().chars().take(MAX_NAME).collect();
        let status = CallStatus::accepted(call_id, function, skep_bus::now());
        Box::pin(self.dead_letter(delivery, without_answer(status, HeaderMap::new()), reason)).await;
    }

    /// Stores the message and the record of its end, then acknowledges; a step that fails is done again on redelivery.
    pub(crate) async fn dead_letter<T>(&self, delivery: &Delivery<T>, record: CallRecord, reason: &str) {
        let call_id = record.status.call_id.clone();
        if let Err(error) = self.store_dead_letter(record, reason, &delivery.headers, &delivery.payload).await {
            warn!(error = error.chain(), %call_id, "a dead letter cannot be stored; trying again");
            return delivery.again_after(try_again(&error)).await;
        }
        delivery.ack().await;
    }

    /// Stores a message as a dead letter, and then the record that says why.
    pub(crate) async fn store_dead_letter(
        &self,
        mut record: CallRecord,
        reason: &str,
        headers: &NatsHeaders,
        payload: &Bytes,
    ) -> skep_bus::Result<()> {
        let status = &mut record.status;
        status.state = CallState::Dead;
        status.finished_at = Some(skep_bus::now());
        status.reason = Some(reason.to_owned());
        self.keep(&mut record);
        let status = &record.status;
        let last_answer = self.bus.bodies.beginning_of(&record.body, KEPT_OF_ANSWER).await.unwrap_or_default();
        let letter = NewDeadLetter {
            kind: DeadKind::Call,
            function: &status.function,
            call_id: &status.call_id,
            reason,
            attempts: status.attempts,
            last_status: status.status,
            last_answer: &last_answer,
            headers,
            payload,
        };
        self.bus.outcomes.store_dead_letter(letter).await?;
        // Before the record, which ends the call: until then all of it is done again.
        self.report_dead(status, headers, reason).await?;
        self.bus.outcomes.store_record(&record).await?;
        warn!(call_id = %record.status.call_id, function = record.status.function, reason, "call became a dead letter");
        let function = self.deployed(&record.status.function);
        let function = function.as_ref().map(|function| &function.name);
        self.metrics.count_end(function, CallState::Dead);
        self.metrics.count_dead(function, DeadKind::Call);
        Ok(())
    }
}

/// When a dead letter or record that could not be stored is tried again.
pub(crate) fn try_again(error: &Error) -> Duration {
    if error.may_pass() { RETRY_DELAY } else { PERMANENT_ERROR_RETRY_DELAY }
}

pub(crate) fn without_answer(status: CallStatus, returned: HeaderMap) -> CallRecord {
    CallRecord { status, headers: HeaderMap::new(), body: CallBody::empty(), returned }
}
