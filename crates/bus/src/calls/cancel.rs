//! Cancelling a call: its record says so, and its holder drops it.

use futures_util::{Stream, StreamExt};
use skep_protocol::{Call, CallBody, CallId, CallRecord, CallState, CallStatus};

use crate::{Bodies, Calls, Error, Outcomes, Result, Submitted, Workers, client::clock, queue::parked};

/// What became of taking a call back.
#[derive(Clone, Debug, PartialEq)]
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
        let record = CallRecord {
            status: CallStatus {
                state: CallState::Cancelled,
                finished_at: Some(clock::now()),
                next_attempt_at: None,
                reason: Some("it was cancelled".to_owned()),
                ..status
            },
            headers: http::HeaderMap::new(),
            body: CallBody::empty(),
            returned: call.as_ref().map(Call::returned_headers).unwrap_or_default(),
        };
        if Outcomes::over(&self.nats).store_record(&record).await? == Submitted::Duplicate {
            let ended = self.record(id).await?.map_or(CallState::Cancelled, |record| record.status.state);
            return Ok(Cancelled::Ended(ended));
        }
        // What is left of it would come to its end by the record; without it, it is not even begun.
        self.publish_cancelled(id).await?;
        let body = call.as_ref().and_then(|call| call.body.stored().cloned());
        if let Some(call) = call.filter(|_| delayed.is_some()) {
            self.nats.remove_delayed(self.nats.subjects.delayed(&call.function, id)).await?;
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
        let heard = self.nats.client.subscribe(self.nats.subjects.cancel_all()).await.map_err(Error::unavailable)?;
        Ok(heard.filter_map(async |message| message.subject.rsplit('.').next().and_then(|id| id.parse().ok())))
    }
}
