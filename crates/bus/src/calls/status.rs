//! Where a call stands, by its id alone.

use std::time::Duration;

use skep_protocol::{CallId, CallState, CallStatus};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Calls, Error, Result,
    calls::{records, submit::ELECTION_TIMEOUT},
    client::connect::REQUEST_TIMEOUT,
    queue::parked,
};

/// A stream without a leader is asked again after this time.
const ELECTION_RETRY_DELAY: Duration = Duration::from_millis(250);

impl Calls {
    /// Looks a call up: recorded, running, queued, waiting for its time, or unknown (`None`).
    pub async fn status(&self, id: &CallId) -> Result<Option<CallStatus>> {
        let mut status = self.stored_status(id).await?;
        // A replica of a stream may be behind: what another one has answered already must not become unknown again, or open again.
        if self.nats.kept.replicas > 1 && status.as_ref().is_none_or(|status| !status.state.is_final()) {
            status = Box::pin(self.read_at_new_leaders(id)).await?.or(status);
        }
        match status {
            Some(status) if status.state == CallState::Queued => Ok(Some(self.ask_running(id).await.unwrap_or(status))),
            // One that runs straight from its event has no message until it ends, which it may just have done.
            None => match self.ask_running(id).await {
                Some(status) => Ok(Some(status)),
                None => self.stored_status(id).await,
            },
            other => Ok(other),
        }
    }

    /// What is stored of a call: its record, or its message, be it queued, waiting or running.
    pub(crate) async fn stored_status(&self, id: &CallId) -> Result<Option<CallStatus>> {
        // It may move between two reads, so a call that is found nowhere is looked up again.
        // Boxed, because calls of which nothing is looked up have to have room for it, too.
        let looks = Box::pin(async {
            match self.read_anywhere(id).await? {
                Some(status) => Ok(Some(status)),
                None => self.read_anywhere(id).await,
            }
        });
        timeout(REQUEST_TIMEOUT, looks).await.map_err(Error::unavailable)?
    }

    /// Looks at the leaders, and waits while a stream has none because a server was lost.
    async fn read_at_new_leaders(&self, id: &CallId) -> Result<Option<CallStatus>> {
        let give_up = Instant::now() + ELECTION_TIMEOUT;
        loop {
            let looked = timeout(REQUEST_TIMEOUT, self.read_at_leaders(id)).await;
            match looked.map_err(Error::unavailable).flatten() {
                Err(error) if error.may_pass() && Instant::now() < give_up => sleep(ELECTION_RETRY_DELAY).await,
                looked => return looked,
            }
        }
    }

    async fn read_at_leaders(&self, id: &CallId) -> Result<Option<CallStatus>> {
        let (streams, subjects) = (&self.nats.streams, &self.nats.subjects);
        let (record, delayed, in_backlog, queued) = tokio::try_join!(
            records::find_at_leader(&streams.calls, subjects.record_by_id(id)),
            records::find_at_leader(&streams.delayed, subjects.delayed_by_id(id)),
            records::find_at_leader(&streams.backlog, subjects.backlog_by_id(id)),
            records::find_at_leader(&streams.invoke, subjects.invoke_by_id(id)),
        )?;
        if let Some(record) = record {
            return records::read(&record).map(|record| Some(record.status));
        }
        if let Some(message) = delayed {
            return parked::status(&message).map(Some);
        }
        let queued = in_backlog.or(queued).map(|message| parked::read(&message));
        queued.map(|call| call.map(|call| call.status())).transpose()
    }

    async fn read_anywhere(&self, id: &CallId) -> Result<Option<CallStatus>> {
        let (record, delayed, queued) =
            tokio::try_join!(self.record(id), self.nats.find_delayed(id), self.nats.find_queued(id))?;
        if let Some(record) = record {
            return Ok(Some(record.status));
        }
        // The attempt before may still be in its lane, finished but not purged.
        if let Some(message) = delayed {
            return parked::status(&message).map(Some);
        }
        let queued = queued.first().map(|queued| parked::read(&queued.message));
        queued.map(|call| call.map(|call| call.status())).transpose()
    }
}
