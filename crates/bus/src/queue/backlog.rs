//! Calls of functions that cannot keep up. They wait in a stream of their own, with a queue for each such function, so that their lane is free for others.
//!
//! A worker writes a call there first and then leaves its lane; doing it twice makes one call.
//! While calls go on waiting there, new ones are submitted to it directly ([`SeenBacklogs`]).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::jetstream::consumer::pull;
use futures_util::TryStreamExt;
use skep_protocol::{Call, FunctionName};
use tokio::time::Instant;

use crate::{Error, Place, Queue, Queues, Result, wire};

/// A list that takes longer ends with an error.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

/// What was seen longer ago does not count. A worker reads a backlog that is empty for longer than this.
const SEEN_TTL: Duration = Duration::from_secs(3);

/// Calls wait in a backlog for as long as this before new ones are stored there.
///
/// A burst of a function that keeps up leaves a backlog for some milliseconds. Its next calls are better off in their lane, where an ack costs the server far less (ADR 30).
const MIN_WAIT: Duration = Duration::from_secs(1);

/// The functions for which calls waited in a backlog when backlogs were listed last, and since when; cheap to clone.
///
/// It may be out of date. Then a call is stored in a backlog that has just become empty, where workers find it like any other.
#[derive(Clone, Default)]
pub(crate) struct SeenBacklogs(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    waits_since: HashMap<FunctionName, Instant>,
}

impl SeenBacklogs {
    pub(crate) fn has(&self, function: &FunctionName) -> bool {
        let seen = self.seen();
        let (Some(at), Some(since)) = (seen.at, seen.waits_since.get(function)) else { return false };
        at.elapsed() < SEEN_TTL && at.duration_since(*since) >= MIN_WAIT
    }

    /// A backlog whose calls are all taken does not count: the function keeps up again.
    fn see(&self, backlogs: &[Backlog]) {
        let now = Instant::now();
        let mut seen = self.seen();
        let waiting = backlogs.iter().filter(|backlog| backlog.waiting > 0).map(|backlog| &backlog.function);
        let waits_since =
            waiting.map(|function| (function.clone(), seen.waits_since.get(function).copied().unwrap_or(now)));
        let waits_since = waits_since.collect();
        *seen = Seen { at: Some(now), waits_since };
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waits for one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub function: FunctionName,
    /// Calls that nobody has taken yet.
    pub waiting: u64,
    /// Calls that were handed out and are not finished.
    pub held: u64,
    /// The place in the stream up to which calls were handed out.
    pub(crate) handed_out: u64,
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
            self.nats.backlogs.see(&[]);
            return Ok((Vec::new(), 0));
        }
        let listed = self.nats.streams.backlog.consumers().try_collect::<Vec<_>>();
        let listed = tokio::time::timeout(LIST_TIMEOUT, listed).await.map_err(Error::unavailable)?;
        let backlogs: Vec<Backlog> = listed
            .map_err(Error::unavailable)?
            .into_iter()
            .filter_map(|info| {
                let function = info.name.parse().ok()?;
                let (waiting, held) = (info.num_pending, info.num_ack_pending as u64);
                Some(Backlog { function, waiting, held, handed_out: info.delivered.stream_sequence })
            })
            .collect();
        self.nats.backlogs.see(&backlogs);
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

    /// Ends the queue of a function for which nothing waits, unless a worker reads it. That one ends it later.
    pub async fn close_backlog(&self, function: &FunctionName) -> Result<()> {
        let consumer = self.nats.streams.backlog.get_consumer::<pull::Config>(function.as_str()).await;
        // It is no error that it is gone.
        let Ok(consumer) = consumer else { return Ok(()) };
        let info = consumer.cached_info();
        if info.num_pending == 0 && info.num_ack_pending == 0 && info.num_waiting == 0 {
            self.nats.streams.backlog.delete_consumer(function.as_str()).await.map_err(Error::unavailable)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(function: &str, waiting: u64, held: u64) -> Backlog {
        Backlog { function: function.parse().unwrap(), waiting, held, handed_out: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_backlog_counts_if_calls_have_waited_in_it_for_a_while_and_it_was_seen_lately() {
        let seen = SeenBacklogs::default();
        let has = |function: &str| seen.has(&function.parse().unwrap());
        let slow = [backlog("slow", 1, 16), backlog("taken", 0, 16)];
        assert!(!has("slow"));
        seen.see(&slow);
        tokio::time::advance(MIN_WAIT).await;
        assert!(!has("slow"), "it may have been a burst");
        seen.see(&slow);
        assert_eq!(["slow", "taken", "other"].map(has), [true, false, false]);
        tokio::time::advance(SEEN_TTL).await;
        assert!(!has("slow"), "it may be gone by now");
        seen.see(&slow);
        assert!(has("slow"), "it has waited all the time");
        seen.see(&[]);
        seen.see(&slow);
        assert!(!has("slow"), "it was empty meanwhile");
    }
}
