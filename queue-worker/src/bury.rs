//! Giving a call up: it is kept as a dead letter, and its record says why, before the delivery is acknowledged.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use skep_bus::{DeadKind, DeadLetter, Delivery};
use skep_protocol::{CallId, CallRecord, CallState, CallStatus, Invocation};
use time::OffsetDateTime;
use tracing::warn;

use crate::Worker;

/// A dead letter that cannot be stored is not lost: its message comes again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

impl Worker {
    pub(crate) async fn bury_call(
        &self,
        delivery: &Delivery<Invocation>,
        invocation: &Invocation,
        attempts: u64,
        reason: &str,
    ) {
        let status = CallStatus { attempts, ..invocation.status() };
        self.bury(delivery, status, invocation.returned_headers(), reason).await;
    }

    /// Buries a message of the invocation stream that is no invocation; its subject still names function and call.
    pub(crate) async fn bury_unreadable<T>(&self, delivery: &Delivery<T>, reason: &str) {
        let mut tokens = delivery.subject.rsplit('.');
        let call_id = tokens.next().and_then(|id| id.parse().ok()).unwrap_or_else(CallId::generate);
        let function = tokens.next().unwrap_or_default().to_owned();
        let status = CallStatus::accepted(call_id, function, OffsetDateTime::now_utc());
        self.bury(delivery, status, HeaderMap::new(), reason).await;
    }

    /// Stores the message and the record of its end, then acknowledges; a step that fails is done again on redelivery.
    pub(crate) async fn bury<T>(&self, delivery: &Delivery<T>, status: CallStatus, returned: HeaderMap, reason: &str) {
        let letter = DeadLetter {
            kind: DeadKind::Call,
            function: &status.function,
            call_id: &status.call_id,
            reason,
            headers: &delivery.headers,
            payload: &delivery.payload,
        };
        if let Err(error) = self.bus.store_dead(letter).await {
            warn!(error = error.chain(), call_id = %status.call_id, "a dead letter cannot be stored; trying again");
            return delivery.again_after(TRY_AGAIN).await;
        }
        let status = CallStatus {
            state: CallState::Dead,
            finished_at: Some(OffsetDateTime::now_utc()),
            reason: Some(reason.to_owned()),
            ..status
        };
        let record = CallRecord { status, headers: HeaderMap::new(), body: Bytes::new(), returned };
        if let Err(error) = self.bus.store_record(&record).await {
            warn!(error = error.chain(), call_id = %record.status.call_id, "the record cannot be stored; trying again");
            return delivery.again_after(TRY_AGAIN).await;
        }
        warn!(call_id = %record.status.call_id, function = record.status.function, reason, "a call is dead");
        self.metrics.count_finished(&record.status);
        delivery.ack().await;
    }
}
