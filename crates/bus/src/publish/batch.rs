//! Group commit: messages for one stream at about the same time are committed together, so that they share one disk sync.
//!
//! A single message is sent at once. Several go as a batch or one by one, whichever costs less ([`SingleCost`]).
//! While a batch is on its way the next messages gather; then they wait a moment for as many as were sent last.

use std::{collections::HashSet, mem, pin::pin, time::Duration};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    Error, Result, Submitted,
    publish::costs::SingleCost,
    publish::{Batch, Message, Publisher},
};

/// What may wait to be sent; beyond it the bus says that it is not available.
const MAX_WAITING: usize = 8192;
/// Messages of one batch; the server takes 1,000.
const MAX_TOGETHER: usize = 500;
/// Bytes of one flight; a message that is larger by itself goes alone.
const MAX_BYTES: usize = 1024 * 1024;
/// How long those that have gathered wait for more.
const GATHER_TIMEOUT: Duration = Duration::from_micros(1500);
/// And how long at most, while more come.
const MAX_GATHER_TIMEOUT: Duration = Duration::from_millis(4);

/// The way into one stream. Its task ends with the last handle on it.
#[derive(Clone)]
pub(crate) struct Batcher {
    entries: mpsc::Sender<Entry>,
    ack_timeout: Duration,
}

struct Entry {
    message: Message,
    stored: oneshot::Sender<Result<Submitted>>,
}

impl Batcher {
    pub(crate) fn start(publisher: Publisher) -> Self {
        let (entries, receiver) = mpsc::channel(MAX_WAITING);
        let ack_timeout = publisher.ack_timeout;
        // Nobody awaits its end: each entry has a caller who waits for its answer, so there is nothing left when the callers are done.
        tokio::spawn(run(publisher, receiver));
        Self { entries, ack_timeout }
    }

    /// Stores the only message of its subject, and returns when the server has acknowledged it.
    pub(crate) async fn store(&self, subject: String, headers: HeaderMap, body: Bytes) -> Result<Submitted> {
        let (stored, answer) = oneshot::channel();
        let entry = Entry { message: Message::only_one(subject, headers, body), stored };
        self.entries.try_send(entry).map_err(|_| Error::unavailable("too much waits to be stored"))?;
        // What waits behind others that are not answered is not awaited for longer than if it was alone.
        match timeout(self.ack_timeout, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(Error::unavailable("the connection is closed"))),
            Err(error) => Err(Error::unavailable(error)),
        }
    }
}

/// One flight is on its way at a time: the server works on one batch after the other, and what that costs depends little on its size.
async fn run(publisher: Publisher, mut entries: mpsc::Receiver<Entry>) {
    // What has come and has no place yet.
    let (mut single, mut came) = (SingleCost::default(), Vec::new());
    // As many as went last are likely to come again.
    let (mut expected, mut planned) = (1, 1);
    let mut next = Flight::new(&publisher, false);
    loop {
        if next.size() == 0 {
            if came.is_empty() && entries.recv_many(&mut came, MAX_TOGETHER).await == 0 {
                return;
            }
            next.add(&mut came).await;
        }
        gather(&mut entries, &mut came, &mut next, expected).await;
        expected = next.size();
        // A batch that the server has begun to receive must be committed; one that grew beyond what was expected is decided again.
        let together = next.handed_over > 0 || (expected > 2 * planned && single.prefer_together(expected));
        planned = expected;
        let flying = mem::replace(&mut next, Flight::new(&publisher, single.are_less_together(expected)));
        let began = Instant::now();
        let mut flight = pin!(flying.fly(together));
        loop {
            // What had no place in the flight before goes with this one.
            next.add(&mut came).await;
            let room = next.room(&came);
            tokio::select! {
                biased;
                () = &mut flight => break,
                number = entries.recv_many(&mut came, room), if room > 0 => if number == 0 {
                    // Nobody is left who could send more.
                    (&mut flight).await;
                    break;
                },
            }
        }
        if !together {
            single.took(expected, began.elapsed());
        }
    }
}

/// Waits a moment until as many have gathered as are expected, and a little longer while they still come.
async fn gather(entries: &mut mpsc::Receiver<Entry>, came: &mut Vec<Entry>, flight: &mut Flight<'_>, expected: usize) {
    let began = Instant::now();
    let mut deadline = began + GATHER_TIMEOUT;
    while flight.size() < expected && flight.room(came) > 0 {
        let room = flight.room(came);
        match timeout_at(deadline, entries.recv_many(came, room)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => flight.add(came).await,
        }
        deadline = deadline.max(Instant::now() + GATHER_TIMEOUT / 2).min(began + MAX_GATHER_TIMEOUT);
    }
}

/// What is stored at once.
struct Flight<'publisher> {
    publisher: &'publisher Publisher,
    /// The batch as which its messages are handed over when they come, so that the server has them when they are committed.
    batch: Option<String>,
    together: Vec<Entry>,
    /// Those that cannot be committed together: large ones, and a second one of a subject.
    alone: Vec<Entry>,
    subjects: HashSet<String>,
    bytes: usize,
    /// Messages that the server has.
    handed_over: usize,
}

impl<'publisher> Flight<'publisher> {
    fn new(publisher: &'publisher Publisher, as_batch: bool) -> Self {
        Self {
            publisher,
            batch: as_batch.then(batch_id),
            together: Vec::new(),
            alone: Vec::new(),
            subjects: HashSet::new(),
            bytes: 0,
            handed_over: 0,
        }
    }

    fn size(&self) -> usize {
        self.together.len() + self.alone.len()
    }

    /// How many more may come; none if some have no place already.
    fn room(&self, came: &[Entry]) -> usize {
        if came.is_empty() { MAX_TOGETHER.saturating_sub(self.size()) } else { 0 }
    }

    /// Takes what it has room for, and leaves the rest.
    async fn add(&mut self, came: &mut Vec<Entry>) {
        for entry in came.drain(..fitting(self.bytes, came)) {
            let size = entry.message.size();
            if size <= MAX_BYTES && self.subjects.insert(entry.message.subject.clone()) {
                self.bytes += size;
                self.together.push(entry);
            } else {
                self.alone.push(entry);
            }
        }
        if let Some(batch) = self.batch.take() {
            match self.hand_over(&batch).await {
                Ok(()) => self.batch = Some(batch),
                // The server forgets what it has of it, and all goes as if nothing had been handed over.
                Err(_) => self.handed_over = 0,
            }
        }
    }

    /// Hands over all but the last one, which is to commit them.
    async fn hand_over(&mut self, batch: &str) -> Result<()> {
        while self.handed_over + 1 < self.together.len()
            && let Some(entry) = self.together.get(self.handed_over)
        {
            self.handed_over += 1;
            self.publisher.publish_in_batch(&entry.message, batch, self.handed_over).await?;
        }
        Ok(())
    }

    /// Stores all of it, and answers each with what became of it.
    async fn fly(mut self, as_batch: bool) {
        let (publisher, mut alone) = (self.publisher, mem::take(&mut self.alone));
        // Nobody waits any more for what was not sent in time, and was submitted so.
        alone.retain(Entry::is_awaited);
        if self.handed_over == 0 {
            self.together.retain(Entry::is_awaited);
        }
        let together = async {
            let stored = if as_batch { self.commit().await } else { Ok(Batch::Refused) };
            match stored {
                Ok(Batch::Stored) => {
                    self.together.into_iter().for_each(|entry| answer(entry.stored, Ok(Submitted::Accepted)))
                }
                // One that cannot be stored stands in the way of all.
                Ok(Batch::Refused) => one_by_one(publisher, self.together).await,
                Err(error) => {
                    let reason = error.chain();
                    self.together
                        .into_iter()
                        .for_each(|entry| answer(entry.stored, Err(Error::unavailable(reason.clone()))));
                }
            }
        };
        tokio::join!(together, one_by_one(publisher, alone));
    }

    async fn commit(&mut self) -> Result<Batch> {
        match self.try_to_commit().await {
            // The server takes none of a batch in which one is too large.
            Err(Error::TooLarge { .. }) => Ok(Batch::Refused),
            committed => committed,
        }
    }

    async fn try_to_commit(&mut self) -> Result<Batch> {
        let batch = self.batch.take().unwrap_or_else(batch_id);
        self.hand_over(&batch).await?;
        match self.together.last() {
            Some(last) => self.publisher.commit_batch(&last.message, &batch, self.together.len()).await,
            None => Ok(Batch::Stored),
        }
    }
}

impl Entry {
    fn is_awaited(&self) -> bool {
        !self.stored.is_closed()
    }
}

/// How many of these fit behind this many bytes; messages that are sent alone take no space.
fn fitting(mut bytes: usize, came: &[Entry]) -> usize {
    let fits = |entry: &&Entry| {
        let size = entry.message.size();
        bytes += if size <= MAX_BYTES { size } else { 0 };
        bytes <= MAX_BYTES
    };
    came.iter().take_while(fits).count()
}

fn batch_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

fn answer(stored: oneshot::Sender<Result<Submitted>>, what: Result<Submitted>) {
    // The caller may be gone; the message is stored all the same.
    let _ = stored.send(what);
}

async fn one_by_one(publisher: &Publisher, entries: Vec<Entry>) {
    let publish = |Entry { message, stored }: Entry| async {
        let published = publisher.publish(message).await;
        let submitted = |number: Option<u64>| if number.is_some() { Submitted::Accepted } else { Submitted::Duplicate };
        answer(stored, published.map(submitted));
    };
    join_all(entries.into_iter().map(publish)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flight_ends_at_its_bytes_and_what_is_larger_takes_no_place() {
        let half = MAX_BYTES / 2;
        let entries = |sizes: &[usize]| -> Vec<Entry> {
            let entry = |size: &usize| Entry {
                message: Message { subject: String::new(), headers: HeaderMap::new(), body: vec![0; *size].into() },
                stored: oneshot::channel().0,
            };
            sizes.iter().map(entry).collect()
        };
        assert_eq!(fitting(0, &entries(&[half, half, 1])), 2);
        assert_eq!(fitting(1, &entries(&[half, half])), 1);
        assert_eq!(fitting(0, &entries(&[2 * MAX_BYTES, half, 2 * MAX_BYTES, half, 1])), 4);
        assert_eq!(fitting(MAX_BYTES, &entries(&[1])), 0);
    }
}
