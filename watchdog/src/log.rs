//! The one place that writes log lines: STDERR, from a thread of its own.
//!
//! A blocked reader of STDERR must not block calls: lines wait in a bounded buffer, and those that do not fit are counted and reported.
//! The thread is woken once per batch and not once per line, and never while there is nothing to write.

mod format;
mod rate;

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    lines::{Origin, Piece},
    log::{format::Line, rate::Cap},
    plan::LogPlan,
};

pub(crate) use format::before_the_log;

/// How much waits for the writer at most, and one line more.
const BOUND: usize = 1 << 20;
/// The writer does not wait for more from here on.
const PLENTY: usize = BOUND / 4;
/// How much memory an idle log keeps.
const KEPT: usize = 64 * 1024;
/// How long the writer lets lines gather.
const GATHER_TIMEOUT: Duration = Duration::from_millis(5);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Handle>);

/// The writer ends when it is dropped.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: LogPlan,
    queue: Mutex<Queue>,
    /// The writer waits for it.
    work: Condvar,
    /// Who flushes waits for it.
    written: Condvar,
}

#[derive(Debug)]
struct Queue {
    lines: Vec<u8>,
    /// How many lines did not fit.
    lost: u64,
    cap: Cap,
    /// The writer has nothing to do, or waits only to report what the cap dropped.
    asleep: bool,
    flush: bool,
    closed: bool,
    batches_begun: u64,
    batches_written: u64,
}

impl Log {
    pub(crate) fn start(plan: &LogPlan) -> io::Result<Self> {
        Self::start_with(plan, io::stderr())
    }

    fn start_with(plan: &LogPlan, output: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Queue {
            lines: Vec::new(),
            lost: 0,
            cap: Cap::new(plan.rate),
            asleep: false,
            flush: false,
            closed: false,
            batches_begun: 0,
            batches_written: 0,
        };
        let shared = Arc::new(Shared {
            plan: plan.clone(),
            queue: Mutex::new(queue),
            work: Condvar::new(),
            written: Condvar::new(),
        });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).stack_size(128 * 1024).spawn(move || writer.write_all(output))?;
        Ok(Self(Arc::new(Handle { shared })))
    }

    /// A line of the watchdog's own.
    pub(crate) fn say(&self, text: &str) {
        let shared = &self.0.shared;
        shared.add(shared.lock(), &Line::of_watchdog(text.as_bytes()));
    }

    /// A line, or a piece of one, that the function wrote.
    pub(crate) fn relay(&self, origin: &Origin, piece: Piece<'_>) {
        let shared = &self.0.shared;
        let now = Instant::now();
        let mut queue = shared.lock();
        if queue.cap.lets_pass(now) {
            shared.add(queue, &Line::of_function(origin, piece));
        } else if queue.cap.count(now) {
            drop(queue);
            // From now on the writer has a time at which to report it.
            shared.work.notify_one();
        }
    }

    pub(crate) fn max_line(&self) -> usize {
        self.0.shared.plan.max_line
    }

    /// Waits, but not for long, until what was said is written; blocks.
    pub(crate) fn flush(&self) {
        let shared = &self.0.shared;
        let mut queue = shared.lock();
        // The batch that is being written, if any, may have begun before the last lines.
        let batch = queue.batches_begun + 1;
        queue.flush = true;
        shared.work.notify_one();
        let _ = shared.written.wait_timeout_while(queue, FLUSH_TIMEOUT, |queue| queue.batches_written < batch);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, mut queue: MutexGuard<'_, Queue>, line: &Line<'_>) {
        let before = queue.lines.len();
        // A line that is longer than all that may wait has its chance when nothing else does.
        if before > 0 && before + line.text.len() > BOUND {
            queue.lost += 1;
            return;
        }
        line.write(&self.plan, &mut queue.lines);
        let plenty = before < PLENTY && queue.lines.len() >= PLENTY;
        let asleep = mem::take(&mut queue.asleep);
        drop(queue);
        if plenty || asleep {
            self.work.notify_one();
        }
    }

    fn write_all(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        while self.take(&mut batch) {
            // There is no other place to report that STDERR is gone.
            let _ = output.write_all(&batch);
            batch.clear();
            batch.shrink_to(KEPT);
            self.lock().batches_written += 1;
            self.written.notify_all();
        }
    }

    /// Waits for lines, and for those that come right after them; `false` is the end.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut queue = self.wait_for_work();
        if !queue.is_urgent() {
            let gathered = self.work.wait_timeout_while(queue, GATHER_TIMEOUT, |queue| !queue.is_urgent());
            queue = gathered.unwrap_or_else(PoisonError::into_inner).0;
        }
        mem::swap(&mut queue.lines, batch);
        let last = queue.flush || queue.closed;
        let dropped = queue.cap.take_dropped(Instant::now(), last);
        if let (Some(dropped), Some(rate)) = (dropped, self.plan.rate) {
            let text =
                format!("{dropped} log lines of the function were dropped: more than log_rate ({rate}) per second");
            Line::of_watchdog(text.as_bytes()).write(&self.plan, batch);
        }
        let lost = mem::take(&mut queue.lost);
        if lost > 0 {
            let text = format!("{lost} log lines were dropped: STDERR is read too slowly");
            Line::of_watchdog(text.as_bytes()).write(&self.plan, batch);
        }
        queue.flush = false;
        queue.batches_begun += 1;
        !(queue.closed && batch.is_empty())
    }

    fn wait_for_work(&self) -> MutexGuard<'_, Queue> {
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            let due = queue.cap.due();
            if queue.has_work() || due.is_some_and(|due| due <= now) {
                queue.asleep = false;
                return queue;
            }
            queue.asleep = true;
            queue = match due {
                Some(due) => {
                    let woken = self.work.wait_timeout(queue, due.saturating_duration_since(now));
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Queue {
    fn has_work(&self) -> bool {
        !self.lines.is_empty() || self.lost > 0 || self.flush || self.closed
    }

    fn is_urgent(&self) -> bool {
        self.flush || self.closed || self.lines.len() >= PLENTY
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;
    use crate::config::LogFormat;

    /// Each batch that is written is taken by the test, when it wants to.
    struct Batches(SyncSender<String>);

    impl Write for Batches {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(String::from_utf8(bytes.to_vec()).unwrap()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_come_together_are_one_batch_in_their_order() {
        let (log, batches) = start(None);
        for number in 0..100 {
            log.relay(&ORIGIN, piece(number.to_string().as_bytes()));
        }
        drop(log);
        let written = batches.iter().collect::<Vec<String>>();
        assert_eq!(written.concat(), (0..100).map(|number| format!("{number}\n")).collect::<String>());
        assert!(written.len() < 50, "{} batches", written.len());
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told_when_the_reader_goes_on() {
        let (log, batches) = start(None);
        let long = [b'x'; 64 * 1024];
        for _ in 0..100 {
            log.relay(&ORIGIN, piece(&long));
        }
        drop(log);
        let written = batches.iter().collect::<Vec<String>>().concat();
        let (reports, whole): (Vec<&str>, Vec<&str>) = written.lines().partition(|line| line.contains(" dropped: "));
        let count = |line: &str| line.split(' ').nth(2).unwrap().parse::<usize>().unwrap();
        assert!(
            reports.iter().all(|line| line.ends_with("log lines were dropped: STDERR is read too slowly")),
            "{reports:?}"
        );
        assert!(whole.len() < 100 && written.len() < 3 * BOUND);
        assert_eq!(whole.len() + reports.into_iter().map(count).sum::<usize>(), 100);
    }

    #[test]
    fn a_line_longer_than_all_that_may_wait_is_written() {
        let (log, batches) = start(None);
        log.relay(&ORIGIN, piece(&vec![b'x'; 3 * BOUND]));
        assert_eq!(batches.recv().unwrap().len(), 3 * BOUND + 1);
    }

    #[test]
    fn the_cap_drops_only_the_functions_lines_and_a_flush_tells_how_many() {
        let (log, batches) = start(Some(1));
        for _ in 0..5 {
            log.relay(&ORIGIN, piece(b"of the function"));
            log.say("own");
        }
        let flush = thread::spawn(move || log.flush());
        let written = batches.iter().collect::<Vec<String>>().concat();
        flush.join().unwrap();
        let dropped = 5 - written.matches("of the function\n").count();
        assert!(dropped > 0 && written.matches(" own\n").count() == 5, "{written}");
        let reports = format!(" {dropped} log lines of the function were dropped: more than log_rate (1) per second\n");
        assert!(written.contains(&reports), "{written}");
    }

    const ORIGIN: Origin = Origin { stream: "stdout", call_id: None, trace_id: None };

    fn piece(text: &[u8]) -> Piece<'_> {
        Piece { text, continued: false, partial: false }
    }

    fn start(rate: Option<u32>) -> (Log, Receiver<String>) {
        let (sender, batches) = sync_channel(0);
        let plan = LogPlan { format: LogFormat::Text, prefix: false, call_id: false, tags: false, max_line: 100, rate };
        (Log::start_with(&plan, Batches(sender)).unwrap(), batches)
    }
}
