//! Receipts of accepted calls, so that the audit notices a call that vanished.
//!
//! The process that stores a call notes its id. It writes its notes a few times a second, many ids in one message, so accepting a call waits for nothing more.
//! A process that is killed loses at most the receipts of its last moment; the audit still knows those calls by their messages and records.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::HeaderMap;
use bytes::Bytes;
use skep_protocol::{Call, CallId, Subjects};
use time::OffsetDateTime;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tracing::warn;

use crate::{
    Result,
    client::clock,
    client::connect::REQUEST_TIMEOUT,
    publish::{Message, Publisher},
    wire,
};

/// How long receipts are gathered before they are written.
const GATHER_INTERVAL: Duration = Duration::from_millis(200);
/// The bytes of receipts in one message, unless half of what the server takes is less.
const MAX_BYTES: usize = 256 * 1024;
/// Receipts that may wait to be written; beyond it they are left out.
const MAX_WAITING: usize = 65_536;
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The notice that a function's records are kept for less is repeated after this time, because notices expire, too.
const BRIEF_NOTE_TTL: Duration = Duration::from_secs(24 * 3600);
/// When the first call of a message with receipts could run.
const SINCE: &str = "Skep-Since";

/// The way into the ledger. Its task ends with the last handle on it.
#[derive(Clone)]
pub(crate) struct Ledger {
    publisher: Publisher,
    subjects: Arc<Subjects>,
    entries: mpsc::Sender<Entry>,
    brief: Arc<Mutex<HashMap<(String, u64), Instant>>>,
}

enum Entry {
    Receipt { function: String, call_id: CallId, run_at: Option<OffsetDateTime> },
    Flush(oneshot::Sender<()>),
}

/// Something that was noted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Note<'body> {
    /// A call was accepted, and could run from then on.
    Receipt { function: &'body str, call_id: &'body str, since: i64 },
    /// Records of a function are kept for this many seconds only.
    Brief { function: &'body str, seconds: i64 },
    /// Records from before this time may have been removed.
    Removed { before: i64 },
}

impl Ledger {
    pub(crate) fn start(publisher: Publisher, subjects: Arc<Subjects>) -> Self {
        let (entries, receiver) = mpsc::channel(MAX_WAITING);
        // Nobody awaits its end: `flush` waits for what was noted before it.
        tokio::spawn(run(publisher.clone(), subjects.receipts(), receiver));
        Self { publisher, subjects, entries, brief: Arc::default() }
    }

    /// Notes a call that was stored.
    pub(crate) fn note(&self, call: &Call) {
        let (function, call_id) = (call.function.to_string(), call.call_id.clone());
        let entry = Entry::Receipt { function, call_id, run_at: call.run_at };
        if self.entries.try_send(entry).is_err() {
            warn!(call_id = %call.call_id, "too many receipts wait to be written; this call gets none");
        }
    }

    /// Writes what was noted so far.
    pub(crate) async fn flush(&self) {
        let (written, answer) = oneshot::channel();
        let flushed = async {
            if self.entries.send(Entry::Flush(written)).await.is_ok() {
                let _ = answer.await;
            }
        };
        // Without receipts no call is lost.
        let _ = timeout(REQUEST_TIMEOUT, flushed).await;
    }

    /// Notes that records of a function go after a time of their own, before the first such record is stored.
    pub(crate) async fn note_brief(&self, function: &str, ttl: Duration) -> Result<()> {
        let key = (function.to_owned(), ttl.as_secs());
        let is_noted = |at: &Instant| at.elapsed() < BRIEF_NOTE_TTL;
        if self.brief.lock().unwrap_or_else(PoisonError::into_inner).get(&key).is_some_and(is_noted) {
            return Ok(());
        }
        self.publish(self.subjects.brief_records(), format!("{function} {}", ttl.as_secs())).await?;
        self.brief.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Instant::now());
        Ok(())
    }

    /// Notes that records from before a time may be gone, before they are.
    pub(crate) async fn note_removed(&self, before: OffsetDateTime) -> Result<()> {
        self.publish(self.subjects.removed_records(), (before.unix_timestamp() + 1).to_string()).await
    }

    async fn publish(&self, subject: String, body: String) -> Result<()> {
        let message = Message { subject, headers: HeaderMap::new(), body: body.into() };
        self.publisher.publish(message).await.map(|_| ())
    }
}

/// Reads a message of the ledger.
pub(crate) fn read(subject: &str, headers: &HeaderMap, body: &Bytes, mut each: impl FnMut(Note<'_>)) {
    let body = std::str::from_utf8(body).unwrap_or_default();
    match subject.rsplit('.').next() {
        Some("receipts") => {
            let since: i64 = wire::text(headers, SINCE).and_then(|since| since.parse().ok()).unwrap_or_default();
            for line in body.lines() {
                let mut words = line.split(' ');
                let Some(function) = words.next() else { continue };
                for word in words {
                    let (call_id, run_at) = word.split_once('@').unwrap_or((word, ""));
                    each(Note::Receipt { function, call_id, since: run_at.parse().unwrap_or(since).max(since) });
                }
            }
        }
        Some("brief") => {
            if let Some((function, seconds)) = body.split_once(' ')
                && let Ok(seconds) = seconds.parse()
            {
                each(Note::Brief { function, seconds });
            }
        }
        Some("removed") => {
            if let Ok(before) = body.parse() {
                each(Note::Removed { before });
            }
        }
        _ => {}
    }
}

/// Receipts that are written as one message: a line for each function, with the ids behind it.
struct Gathered {
    since: i64,
    lines: BTreeMap<String, String>,
    bytes: usize,
    /// Who waits until they are written.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Gathered {
    fn new() -> Self {
        let since = clock::now().unix_timestamp();
        Self { since, lines: BTreeMap::new(), bytes: 0, waiting: Vec::new() }
    }

    fn add(&mut self, entry: Entry) {
        let (function, call_id, run_at) = match entry {
            Entry::Receipt { function, call_id, run_at } => (function, call_id, run_at),
            Entry::Flush(waiting) => return self.waiting.push(waiting),
        };
        let name = function.len();
        let line = self.lines.entry(function).or_default();
        let before = line.len();
        if line.is_empty() {
            self.bytes += name + "\n".len();
        }
        // A text takes whatever is written.
        let _ = match run_at {
            Some(run_at) => write!(line, " {call_id}@{}", run_at.unix_timestamp()),
            None => write!(line, " {call_id}"),
        };
        self.bytes += line.len() - before;
    }

    fn message(&self, subject: &str) -> Message {
        let body: String = self.lines.iter().map(|(function, ids)| format!("{function}{ids}\n")).collect();
        let mut headers = HeaderMap::new();
        headers.insert(SINCE, self.since.to_string());
        Message { subject: subject.to_owned(), headers, body: body.into() }
    }
}

async fn run(publisher: Publisher, subject: String, mut entries: mpsc::Receiver<Entry>) {
    while let Some(first) = entries.recv().await {
        let mut gathered = Gathered::new();
        gathered.add(first);
        let deadline = Instant::now() + GATHER_INTERVAL;
        let most = MAX_BYTES.min(publisher.client.max_payload() / 2);
        while gathered.waiting.is_empty() && gathered.bytes < most {
            match timeout_at(deadline, entries.recv()).await {
                Ok(Some(entry)) => gathered.add(entry),
                Ok(None) | Err(_) => break,
            }
        }
        while !gathered.lines.is_empty()
            && let Err(error) = publisher.publish(gathered.message(&subject)).await
        {
            if entries.is_closed() {
                return;
            }
            warn!(error = error.chain(), "receipts cannot be written; trying again");
            sleep(RETRY_DELAY).await;
        }
        for waiting in gathered.waiting {
            // It may have given up.
            let _ = waiting.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(subject: &str, headers: &HeaderMap, body: &str) -> Vec<String> {
        let mut notes = Vec::new();
        read(subject, headers, &Bytes::copy_from_slice(body.as_bytes()), |note| notes.push(format!("{note:?}")));
        notes
    }

    #[test]
    fn receipts_are_read_as_they_are_written() {
        let mut gathered = Gathered { since: 1000, ..Gathered::new() };
        for (function, id, run_at) in [("cat", "a", None), ("cat.dev", "b", Some(5000)), ("cat", "c", Some(10))] {
            let run_at = run_at.map(|seconds| OffsetDateTime::from_unix_timestamp(seconds).unwrap());
            gathered.add(Entry::Receipt { function: function.to_owned(), call_id: id.parse().unwrap(), run_at });
        }
        let message = gathered.message("skep.ledger.receipts");
        assert_eq!(&message.body[..], b"cat a c@10\ncat.dev b@5000\n");
        assert_eq!(gathered.bytes, message.body.len());
        let read = notes(&message.subject, &message.headers, "cat a c@10\ncat.dev b@5000\n");
        let expected = [("cat", "a", 1000), ("cat", "c", 1000), ("cat.dev", "b", 5000)];
        let expected =
            expected.map(|(function, call_id, since)| format!("{:?}", Note::Receipt { function, call_id, since }));
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_no_note_is_passed_over() {
        let none = HeaderMap::new();
        for (subject, body) in [("skep.ledger.brief", "cat"), ("skep.ledger.removed", "soon"), ("skep.ledger.x", "1")] {
            assert!(notes(subject, &none, body).is_empty(), "{subject}");
        }
        assert_eq!(notes("skep.ledger.removed", &none, "7"), ["Removed { before: 7 }"]);
    }
}
