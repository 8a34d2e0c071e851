//! Where a call stands, by its id alone.

use skep_protocol::{CallId, CallState, CallStatus};

use crate::{Bus, Result, delayed};

impl Bus {
    /// Looks a call up: recorded, running, queued, waiting for its time, or unknown (`None`).
    pub async fn call_status(&self, id: &CallId) -> Result<Option<CallStatus>> {
        match self.stored_status(id).await? {
            Some(status) if status.state == CallState::Queued => Ok(Some(self.ask_running(id).await.unwrap_or(status))),
            other => Ok(other),
        }
    }

    /// What is stored of a call: its record, or its message, be it queued, waiting or running.
    pub(crate) async fn stored_status(&self, id: &CallId) -> Result<Option<CallStatus>> {
        // It may go from one place to the next between two looks, so what is found nowhere is looked for again.
        // Boxed, because calls of which nothing is looked up have to have room for it, too.
        match Box::pin(self.look(id)).await? {
            Some(status) => Ok(Some(status)),
            None => Box::pin(self.look(id)).await,
        }
    }

    async fn look(&self, id: &CallId) -> Result<Option<CallStatus>> {
        let (record, delayed, queued) = tokio::try_join!(self.record(id), self.find_delayed(id), self.find_queued(id))?;
        if let Some(record) = record {
            return Ok(Some(record.status));
        }
        // The attempt before may still be in its lane, finished but not purged.
        if let Some(message) = delayed {
            return delayed::status(&message).map(Some);
        }
        let queued = queued.first().map(|queued| delayed::read(&queued.message));
        queued.map(|invocation| invocation.map(|invocation| invocation.status())).transpose()
    }
}
