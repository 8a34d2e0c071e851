//! Calls of functions that cannot keep up. They wait in a stream of their own, with a queue for each such function, so that their lane is free for others.
//!
//! A worker writes a call there first and then leaves its lane; doing it twice makes one call.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use futures_util::{TryStreamExt, future::try_join_all};
use skep_protocol::{FunctionName, Invocation};

use crate::{Bus, Delivery, Error, Place, Queue, Result, Submitted, records, wire};

/// A list is given up when it takes longer.
const LISTED_WITHIN: Duration = Duration::from_secs(10);
/// Someone else changes the same call at the same time; more often than this it is not by chance.
const MAX_TRIES: usize = 5;

/// What waits for one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub function: FunctionName,
    /// Calls that nobody has taken yet.
    pub waiting: u64,
    /// Calls that were handed out and are not finished.
    pub held: u64,
}

impl Bus {
    /// Stores a call in the backlog of its function, which must have been opened.
    pub async fn set_aside(&self, invocation: &Invocation) -> Result<()> {
        for _ in 0..MAX_TRIES {
            let subject = self.subjects.backlog(&invocation.function, &invocation.call_id);
            let headers = wire::invocation_headers(invocation);
            let stored = self.set_aside.store(subject.clone(), headers, invocation.body.in_message().clone()).await?;
            if stored == Submitted::Accepted || invocation.attempts() == 0 {
                return Ok(());
            }
            match records::find(&self.streams.backlog, subject).await? {
                // Whoever was to move it before has done so, and died before the ack.
                Some(message) if wire::attempts(&message.headers) >= invocation.attempts() => return Ok(()),
                // An attempt before, whose end the server forgot.
                Some(message) => self.remove_message("BACKLOG", message.sequence).await?,
                None => {}
            }
        }
        Err(Error::unavailable(format!("call {} is changed by others all the time", invocation.call_id)))
    }

    /// The queue of calls that a function could not take.
    pub fn backlog(&self, function: &FunctionName) -> Queue<Invocation> {
        let filter = self.subjects.backlog_of(function);
        let queue = Queue::new(self, "BACKLOG", function.as_str().to_owned(), filter, |message| {
            wire::read_invocation(wire::headers(message), message.payload.clone())
        });
        queue.at(Place::Backlog)
    }

    /// All functions that have a backlog, and how many calls wait in none that anybody reads.
    pub async fn backlogs(&self) -> Result<(Vec<Backlog>, u64)> {
        let stored = self.streams.backlog.get_info().await.map_err(Error::unavailable)?.state;
        if stored.messages == 0 && stored.consumer_count == 0 {
            return Ok((Vec::new(), 0));
        }
        let listed = self.streams.backlog.consumers().try_collect::<Vec<_>>();
        let listed = tokio::time::timeout(LISTED_WITHIN, listed).await.map_err(Error::unavailable)?;
        let backlogs: Vec<Backlog> = listed
            .map_err(Error::unavailable)?
            .into_iter()
            .filter_map(|info| {
                let function = info.name.parse().ok()?;
                Some(Backlog { function, waiting: info.num_pending, held: info.num_ack_pending as u64 })
            })
            .collect();
        let read: u64 = backlogs.iter().map(|backlog| backlog.waiting + backlog.held).sum();
        Ok((backlogs, stored.messages.saturating_sub(read)))
    }

    /// The functions that calls wait for, whether or not anybody reads them; costs the more the more wait.
    pub async fn functions_with_backlog(&self) -> Result<Vec<FunctionName>> {
        let listed = self.streams.backlog.info_with_subjects(self.subjects.backlog_all());
        let subjects = listed.await.map_err(Error::unavailable)?.map_ok(|(subject, _)| subject);
        let mut functions: Vec<FunctionName> = Vec::new();
        let gathered = subjects.try_for_each(|subject| {
            let function = subject.rsplit('.').nth(1).and_then(|function| function.parse().ok());
            if let Some(function) = function.filter(|function| functions.last() != Some(function)) {
                functions.push(function);
            }
            std::future::ready(Ok(()))
        });
        let gathered = tokio::time::timeout(LISTED_WITHIN, gathered).await.map_err(Error::unavailable)?;
        gathered.map_err(Error::unavailable)?;
        functions.sort();
        functions.dedup();
        Ok(functions)
    }

    /// Ends the queue of a function for which nothing waits.
    pub async fn close_backlog(&self, function: &FunctionName) -> Result<()> {
        let consumer = self.streams.backlog.get_consumer::<pull::Config>(function.as_str()).await;
        // It is no error that it is gone.
        let Ok(consumer) = consumer else { return Ok(()) };
        let info = consumer.cached_info();
        if info.num_pending == 0 && info.num_ack_pending == 0 {
            self.streams.backlog.delete_consumer(function.as_str()).await.map_err(Error::unavailable)?;
        }
        Ok(())
    }

    /// Whether this attempt of a call, or a later one, is in the backlog of its function.
    pub(crate) async fn is_in_backlog(&self, invocation: &Invocation) -> Result<bool> {
        let subject = self.subjects.backlog(&invocation.function, &invocation.call_id);
        let found = records::find(&self.streams.backlog, subject).await?;
        // An attempt before is about to be finished there.
        Ok(found.is_some_and(|message| wire::attempts(&message.headers) >= invocation.attempts()))
    }

    /// Whether a later attempt of a call waits in any place.
    pub(crate) async fn waits_further(&self, invocation: &Invocation) -> Result<bool> {
        let (function, id) = (&invocation.function, &invocation.call_id);
        let places = [
            (&self.streams.delayed, self.subjects.delayed(function, id)),
            (&self.streams.delayed, self.subjects.due(function, id)),
            (&self.streams.invoke, self.subjects.invoke(function, id)),
            (&self.streams.backlog, self.subjects.backlog(function, id)),
        ];
        let looks = places.map(|(stream, subject)| records::find(stream, subject));
        let found = try_join_all(looks).await?;
        Ok(found.iter().flatten().any(|message| wire::attempts(&message.headers) > invocation.attempts()))
    }
}

impl Delivery<Invocation> {
    /// Takes a call that goes on elsewhere out of its lane, so that the way back is free.
    pub async fn leave_lane(&self, bus: &Bus) -> Result<()> {
        match self.place {
            Place::Lane | Place::BulkLane => bus.remove_message("INVOKE", self.sequence).await,
            // It has gone with its ack.
            Place::Backlog | Place::Elsewhere => Ok(()),
        }
    }
}
