//! Cancelling a call: its record says so, and its holder drops it.

use futures_util::{Stream, StreamExt};
use skep_protocol::{Call, CallBody, CallId, CallRecord, CallState, CallStatus};
use time::OffsetDateTime;

use crate::{Bodies, Calls, Error, Outcomes, Result, Submitted, Workers, client::clock, queue::parked};

/// What became of taking a call back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cancelled {
    /// It will not run, or not to its end.
    Cancelled,
    /// It had ended before; this is how.
    Ended(CallState),
    Unknown,
}

impl Calls {
    /// Cancels a call that waits or runs. Its record is what decides, so a call that ends at the same moment has one of the two ends.
    pub async fn cancel(&self, id: &CallId) -> Result<Cancelled> {
        let Some(status) = self.status(id).await? else { return Ok(Cancelled::Unknown) };
        if status.state.is_final() {
            return Ok(Cancelled::Ended(status.state));
        }
        let (delayed, queued) = tokio::try_join!(self.nats.find_delayed(id), self.nats.find_queued(id))?;
        let call = delayed.as_ref().or(queued.first().map(|queued| &queued.message)).map(parked::read).transpose()?;
        let record = cancelled(status, call.as_ref(), clock::now());
        if Outcomes::over(&self.nats).store_record(&record).await? == Submitted::Duplicate {
            let ended = self.record(id).await?.map_or(CallState::Cancelled, |record| record.status.state);
            return Ok(Cancelled::Ended(ended));
        }
        // What is left of it would come to its end by the record; without it, it is not even begun.
        self.publish_cancelled(id).await?;
        let body = call.as_ref().and_then(|call| call.body.stored().cloned());
        if let Some(delayed) = delayed {
            self.nats.remove_message("DELAYED", delayed.sequence).await?;
        }
        for queued in &queued {
            self.nats.remove_queued(queued).await?;
        }
        if let Some(body) = body {
            Bodies::over(&self.nats).discard(&body.key);
        }
        Ok(Cancelled::Cancelled)
    }

    async fn publish_cancelled(&self, id: &CallId) -> Result<()> {
        self.nats.client.publish(self.nats.subjects.cancel(id), "".into()).await.map_err(Error::unavailable)
    }
}

impl Workers {
    /// The ids of calls as they are cancelled, by any gateway.
    pub async fn cancellations(&self) -> Result<impl Stream<Item = CallId> + use<>> {
        let cancelled =
            self.nats.client.subscribe(self.nats.subjects.cancel_all()).await.map_err(Error::unavailable)?;
        Ok(cancelled.filter_map(async |message| message.subject.rsplit('.').next().and_then(|id| id.parse().ok())))
    }
}

/// The record of a call that is cancelled; of one that runs now there may be no message.
fn cancelled(status: CallStatus, call: Option<&Call>, now: OffsetDateTime) -> CallRecord {
    CallRecord {
        status: CallStatus {
            state: CallState::Cancelled,
            finished_at: Some(now),
            next_attempt_at: None,
            reason: Some("it was cancelled".to_owned()),
            ..status
        },
        headers: http::HeaderMap::new(),
        body: CallBody::empty(),
        returned: call.map(Call::returned_headers).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::LastAttempt;

    use super::*;

    #[test]
    fn the_record_of_a_cancelled_call_tells_its_attempts_and_no_next_one() {
        let now = clock::now();
        let last_attempt = LastAttempt {
            number: 2,
            status: Some(503),
            reason: "the function answered 503".to_owned(),
            next_at: now + time::Duration::HOUR,
            past: Vec::new(),
        };
        let mut headers = http::HeaderMap::new();
        headers.insert("x-order", "7".parse().unwrap());
        headers.insert(skep_protocol::headers::SKEP_CALLBACK_HEADERS, "x-order".parse().unwrap());
        let call = Call {
            last_attempt: Some(last_attempt),
            headers,
            callback: Some("https://example.com/".parse().unwrap()),
            ..Call::new("order-17".parse().unwrap(), "resize".parse().unwrap(), now)
        };
        let waiting = call.waiting_status();
        assert!(waiting.next_attempt_at.is_some());
        let record = cancelled(waiting.clone(), Some(&call), now);
        let status = &record.status;
        assert_eq!((status.state, status.attempts), (CallState::Cancelled, 2));
        assert_eq!((status.finished_at, status.next_attempt_at), (Some(now), None));
        assert_eq!(status.callback_url, waiting.callback_url, "its callback is still to be delivered");
        assert_eq!(record.returned["x-order"], "7");
        assert_eq!(record.body, CallBody::empty());
    }

    #[test]
    fn a_call_that_runs_and_has_no_message_left_is_cancelled_by_its_status_alone() {
        let status = CallStatus::accepted("order-17".parse().unwrap(), "resize", clock::now());
        let record = cancelled(CallStatus { state: CallState::Running, ..status }, None, clock::now());
        assert_eq!((record.status.state, record.returned.len()), (CallState::Cancelled, 0));
    }
}
