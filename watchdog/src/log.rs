//! The one place that writes log lines: STDERR, from a thread of its own.
//!
//! A reader of STDERR that has stopped must not stop the calls: lines wait in a bounded queue, and those that do not fit are counted and told.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use time::OffsetDateTime;

const QUEUE: usize = 4096;
/// How much is written at once when lines come faster than they are written.
const BATCH: usize = 64 * 1024;
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Log {
    lines: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
    prefix: bool,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

impl Log {
    pub(crate) fn start(prefix: bool) -> io::Result<Self> {
        let (lines, queue) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        // It ends with the last sender.
        thread::Builder::new()
            .name("log".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || write_all(&queue, &counter))?;
        Ok(Self { lines, dropped, prefix })
    }

    /// A line of the watchdog's own.
    pub(crate) fn say(&self, text: &str) {
        let mut line = date();
        line.extend_from_slice(text.as_bytes());
        self.send(line);
    }

    /// A line that the function wrote to `stream`.
    pub(crate) fn relay(&self, stream: &str, call_id: Option<&str>, text: &[u8]) {
        let mut line = if self.prefix { date() } else { Vec::with_capacity(text.len() + 1) };
        if self.prefix {
            line.extend_from_slice(stream.as_bytes());
            line.extend_from_slice(b": ");
        }
        if let Some(call_id) = call_id {
            line.extend_from_slice(format!("[{call_id}] ").as_bytes());
        }
        line.extend_from_slice(text);
        self.send(line);
    }

    /// Waits, but not for long, until what was said is written; blocks.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.lines.try_send(Entry::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH_LIMIT);
        }
    }

    fn send(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        if self.lines.try_send(Entry::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_all(queue: &Receiver<Entry>, dropped: &AtomicU64) {
    let mut batch = Vec::new();
    let mut next = queue.recv().ok();
    while let Some(entry) = next {
        match entry {
            Entry::Line(line) => batch.extend_from_slice(&line),
            Entry::Flush(done) => {
                write(&mut batch, dropped);
                let _ = done.try_send(());
            }
        }
        next = match queue.recv_timeout(Duration::ZERO) {
            Ok(entry) if batch.len() < BATCH => Some(entry),
            Ok(entry) => {
                write(&mut batch, dropped);
                Some(entry)
            }
            Err(RecvTimeoutError::Timeout) => {
                write(&mut batch, dropped);
                queue.recv().ok()
            }
            Err(RecvTimeoutError::Disconnected) => None,
        };
    }
    write(&mut batch, dropped);
}

fn write(batch: &mut Vec<u8>, dropped: &AtomicU64) {
    let lost = dropped.swap(0, Ordering::Relaxed);
    if lost > 0 {
        batch.append(&mut date());
        batch.extend_from_slice(format!("{lost} log lines were dropped: STDERR is read too slowly\n").as_bytes());
    }
    // There is no other place to tell that STDERR is gone.
    let _ = io::stderr().write_all(batch);
    batch.clear();
}

/// `2026/11/23 14:54:16 `, as Go's log package writes it.
fn date() -> Vec<u8> {
    let now = OffsetDateTime::now_utc();
    let (year, month, day) = (now.year(), u8::from(now.month()), now.day());
    format!("{year:04}/{month:02}/{day:02} {:02}:{:02}:{:02} ", now.hour(), now.minute(), now.second()).into_bytes()
}
