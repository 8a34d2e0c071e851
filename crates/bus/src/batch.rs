//! Group commit: what is to be stored in one stream at about the same time is committed together, so that many share one sync of the disk.
//!
//! One alone is not held up: it is sent at once. Whether several go as a batch or one by one is decided by what both have taken lately ([`Costs`]).
//! While something is on its way the next ones gather, and then wait a moment for as many as went last.

use std::{collections::HashSet, mem, pin::pin, time::Duration};

use async_nats::HeaderMap;
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    Error, Result, Submitted,
    costs::Costs,
    publish::{Batch, Message, Publisher},
};

/// What may wait to be sent; beyond it the bus says that it is not available.
const MOST_WAITING: usize = 8192;
/// Messages of one batch; the server takes 1,000.
const MOST_TOGETHER: usize = 500;
/// Bytes of one batch; a larger message goes alone.
const MOST_BYTES: usize = 1024 * 1024;
/// How long those that have gathered wait for more.
const WINDOW: Duration = Duration::from_micros(1500);

/// The way into one stream. Its task ends with the last handle on it.
#[derive(Clone)]
pub(crate) struct Batcher {
    entries: mpsc::Sender<Entry>,
}

struct Entry {
    message: Message,
    stored: oneshot::Sender<Result<Submitted>>,
}

impl Batcher {
    pub(crate) fn start(publisher: Publisher) -> Self {
        let (entries, receiver) = mpsc::channel(MOST_WAITING);
        tokio::spawn(run(publisher, receiver));
        Self { entries }
    }

    /// Stores a message of a stream that holds one per subject, and returns when the server has acknowledged it.
    pub(crate) async fn store(&self, subject: String, headers: HeaderMap, body: Bytes) -> Result<Submitted> {
        let (stored, answer) = oneshot::channel();
        let entry = Entry { message: Message { subject, headers, body }, stored };
        self.entries.try_send(entry).map_err(|_| Error::unavailable("too much waits to be stored"))?;
        answer.await.unwrap_or_else(|_| Err(Error::unavailable("the connection is closed")))
    }
}

/// One flight is on its way at a time: the server works on one batch after the other, and what that costs depends little on its size.
async fn run(publisher: Publisher, mut entries: mpsc::Receiver<Entry>) {
    let (mut gathered, mut costs) = (Vec::new(), Costs::default());
    // As many as went last are likely to come again.
    let mut expected = 1;
    loop {
        if gathered.is_empty() && entries.recv_many(&mut gathered, MOST_TOGETHER).await == 0 {
            return;
        }
        gather(&mut entries, &mut gathered, expected).await;
        expected = gathered.len();
        let (together, began) = (costs.are_less_together(expected), Instant::now());
        let mut flight = pin!(fly(&publisher, mem::take(&mut gathered), together));
        loop {
            let room = MOST_TOGETHER - gathered.len();
            tokio::select! {
                biased;
                () = &mut flight => break,
                came = entries.recv_many(&mut gathered, room), if room > 0 => if came == 0 {
                    // Nobody is left who could send more.
                    (&mut flight).await;
                    break;
                },
            }
        }
        costs.took(expected, together, began.elapsed());
    }
}

/// Waits a moment until as many have gathered as are expected.
async fn gather(entries: &mut mpsc::Receiver<Entry>, gathered: &mut Vec<Entry>, expected: usize) {
    let deadline = Instant::now() + WINDOW;
    while gathered.len() < expected {
        let room = MOST_TOGETHER - gathered.len();
        match timeout_at(deadline, entries.recv_many(gathered, room)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Sends what has gathered, and tells each what became of it.
async fn fly(publisher: &Publisher, entries: Vec<Entry>, together: bool) {
    if !together {
        return one_by_one(publisher, entries).await;
    }
    let (together, alone) = divide(entries);
    let together = async {
        let (messages, waiting): (Vec<_>, Vec<_>) =
            together.into_iter().map(|entry| (entry.message, entry.stored)).unzip();
        match publisher.publish_batch(&messages).await {
            Ok(Batch::Stored) => waiting.into_iter().for_each(|stored| tell(stored, Ok(Submitted::Accepted))),
            // One that cannot be stored stands in the way of all.
            Ok(Batch::Refused) => {
                let entries = messages.into_iter().zip(waiting).map(|(message, stored)| Entry { message, stored });
                one_by_one(publisher, entries.collect()).await;
            }
            Err(error) => {
                let reason = error.chain();
                waiting.into_iter().for_each(|stored| tell(stored, Err(Error::unavailable(reason.clone()))));
            }
        }
    };
    tokio::join!(together, one_by_one(publisher, alone));
}

async fn one_by_one(publisher: &Publisher, entries: Vec<Entry>) {
    let publish = |Entry { message, stored }| async {
        let published = publisher.publish(message).await;
        let told = |number: Option<u64>| if number.is_some() { Submitted::Accepted } else { Submitted::Duplicate };
        tell(stored, published.map(told));
    };
    join_all(entries.into_iter().map(publish)).await;
}

/// Those that can be committed together, and those that go alone: large ones, and a second one of a subject.
fn divide(entries: Vec<Entry>) -> (Vec<Entry>, Vec<Entry>) {
    let mut subjects = HashSet::new();
    let mut bytes = 0;
    entries.into_iter().partition(|entry| {
        bytes += entry.message.size();
        bytes <= MOST_BYTES && subjects.insert(entry.message.subject.clone())
    })
}

fn tell(stored: oneshot::Sender<Result<Submitted>>, what: Result<Submitted>) {
    // Whoever asked may have gone; the message is stored all the same.
    let _ = stored.send(what);
}
