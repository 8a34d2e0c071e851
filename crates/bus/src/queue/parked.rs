//! Calls that are parked: they wait for a time, in a stream whose messages the server moves by itself when they are due (NATS ADR-51).

use async_nats::{header::NATS_SCHEDULE, jetstream::message::StreamMessage};
use skep_protocol::{Call, CallId, CallStatus};

use crate::{
    Connection, Error, Queue, Queues, Result, Submitted,
    calls::records,
    queue::overdue,
    queue::relocate::{Location, Why},
    wire,
};

/// The message of a call that is to be run.
pub(crate) struct Queued {
    pub(crate) stream: &'static str,
    pub(crate) message: StreamMessage,
}

impl Connection {
    /// Stores a new call that its caller wants later.
    pub(crate) async fn submit_delayed(&self, call: &Call) -> Result<Submitted> {
        let is_parked = self.write(call, Location::until_due(call), 0).await?;
        Ok(if is_parked { Submitted::Accepted } else { Submitted::Duplicate })
    }

    /// A call in the backlog of its function, and in its lanes. A finished or moved call stays in its lane for a while.
    pub(crate) async fn find_queued(&self, id: &CallId) -> Result<Vec<Queued>> {
        let in_lane = self.subjects.invoke_by_id(id);
        let (in_backlog, first) = tokio::try_join!(
            records::find(&self.streams.backlog, self.subjects.backlog_by_id(id)),
            records::find(&self.streams.invoke, in_lane.clone()),
        )?;
        let second = match &first {
            Some(first) => records::find_after(&self.streams.invoke, in_lane, first.sequence).await?,
            None => None,
        };
        let found = [("BACKLOG", in_backlog), ("INVOKE", second), ("INVOKE", first)];
        let found = found.into_iter().filter_map(|(stream, message)| Some(Queued { stream, message: message? }));
        Ok(found.collect())
    }

    pub(crate) async fn remove_queued(&self, queued: &Queued) -> Result<()> {
        self.remove_message(queued.stream, queued.message.sequence).await
    }

    pub(crate) async fn find_delayed(&self, id: &CallId) -> Result<Option<StreamMessage>> {
        records::find(&self.streams.delayed, self.subjects.delayed_by_id(id)).await
    }
}

impl Queues {
    /// The queue of calls whose time has come.
    pub fn due(&self) -> Queue<Call> {
        Queue::new(&self.nats, "DELAYED", overdue::DUE.to_owned(), self.nats.subjects.due_all(), |message| {
            wire::read_call(wire::headers(message), message.payload.clone())
        })
    }
}

/// What a message of the delayed stream says of its call: it waits, or its time has come and it is on its way.
pub(crate) fn status(message: &StreamMessage) -> Result<CallStatus> {
    let call = read(message)?;
    let why = wire::text(&message.headers, wire::PARKED);
    // A call whose lease is parked is with a worker, and one that is due waits no longer.
    let waits = message.headers.get(NATS_SCHEDULE).is_some() && why != Some(Why::Lease.as_str());
    Ok(if waits { call.waiting_status() } else { call.status() })
}

pub(crate) fn read(message: &StreamMessage) -> Result<Call> {
    wire::read_call(&message.headers, message.payload.clone())
        .map_err(|reason| Error::Unreadable { subject: message.subject.to_string(), reason })
}
