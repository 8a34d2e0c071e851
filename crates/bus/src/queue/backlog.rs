//! Calls of functions that cannot keep up. They wait in a stream of their own, with a queue for each such function, so that their lane is free for others.
//!
//! A worker writes a call there first and then leaves its lane; doing it twice makes one call.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use futures_util::TryStreamExt;
use skep_protocol::{Call, FunctionName};

use crate::{Error, Place, Queue, Queues, Result, wire};

/// A list that takes longer ends with an error.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// What waits for one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub function: FunctionName,
    /// Calls that nobody has taken yet.
    pub waiting: u64,
    /// Calls that were handed out and are not finished.
    pub held: u64,
}

impl Queues {
    /// The queue of calls that a function could not take.
    pub fn backlog(&self, function: &FunctionName) -> Queue<Call> {
        let filter = self.nats.subjects.backlog_of(function);
        let queue = Queue::new(&self.nats, "BACKLOG", function.as_str().to_owned(), filter, |message| {
            wire::read_call(wire::headers(message), message.payload.clone())
        });
        queue.at(Place::Backlog)
    }

    /// All functions that have a backlog, and how many calls wait in none that anybody reads.
    pub async fn backlogs(&self) -> Result<(Vec<Backlog>, u64)> {
        let stored = self.nats.streams.backlog.get_info().await.map_err(Error::unavailable)?.state;
        if stored.messages == 0 && stored.consumer_count == 0 {
            return Ok((Vec::new(), 0));
        }
        let listed = self.nats.streams.backlog.consumers().try_collect::<Vec<_>>();
        let listed = tokio::time::timeout(LIST_TIMEOUT, listed).await.map_err(Error::unavailable)?;
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
        let listed = self.nats.streams.backlog.info_with_subjects(self.nats.subjects.backlog_all());
        let subjects = listed.await.map_err(Error::unavailable)?.map_ok(|(subject, _)| subject);
        let mut functions: Vec<FunctionName> = Vec::new();
        let gathered = subjects.try_for_each(|subject| {
            let function = subject.rsplit('.').nth(1).and_then(|function| function.parse().ok());
            if let Some(function) = function.filter(|function| functions.last() != Some(function)) {
                functions.push(function);
            }
            std::future::ready(Ok(()))
        });
        let gathered = tokio::time::timeout(LIST_TIMEOUT, gathered).await.map_err(Error::unavailable)?;
        gathered.map_err(Error::unavailable)?;
        functions.sort();
        functions.dedup();
        Ok(functions)
    }

    /// Ends the queue of a function for which nothing waits.
    pub async fn close_backlog(&self, function: &FunctionName) -> Result<()> {
        let consumer = self.nats.streams.backlog.get_consumer::<pull::Config>(function.as_str()).await;
        // It is no error that it is gone.
        let Ok(consumer) = consumer else { return Ok(()) };
        let info = consumer.cached_info();
        if info.num_pending == 0 && info.num_ack_pending == 0 {
            self.nats.streams.backlog.delete_consumer(function.as_str()).await.map_err(Error::unavailable)?;
        }
        Ok(())
    }
}
