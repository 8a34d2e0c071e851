//! Where a call stands, by its id alone.

use skep_protocol::{CallId, CallState, CallStatus};

use crate::{Bus, Error, Result, records, wire};

impl Bus {
    /// Looks a call up: recorded, running, queued, or unknown (`None`).
    pub async fn call_status(&self, id: &CallId) -> Result<Option<CallStatus>> {
        match self.stored_status(id).await? {
            Some(status) if status.state == CallState::Queued => Ok(Some(self.ask_running(id).await.unwrap_or(status))),
            other => Ok(other),
        }
    }

    /// What is stored of a call: its record, or its message, be it queued or running.
    pub(crate) async fn stored_status(&self, id: &CallId) -> Result<Option<CallStatus>> {
        if let Some(record) = self.record(id).await? {
            return Ok(Some(record.status));
        }
        if let Some(status) = self.queued(id).await? {
            return Ok(Some(status));
        }
        // It may have finished, and its message been purged, between the two looks.
        Ok(self.record(id).await?.map(|record| record.status))
    }

    async fn queued(&self, id: &CallId) -> Result<Option<CallStatus>> {
        let Some(message) = records::find(&self.streams.invoke, self.subjects.invoke_by_id(id)).await? else {
            return Ok(None);
        };
        let invocation = wire::read_invocation(&message.headers, message.payload)
            .map_err(|reason| Error::Unreadable { subject: message.subject.to_string(), reason })?;
        Ok(Some(invocation.status()))
    }
}
