//! Logs of functions: the last lines of each are kept, and all are published for followers.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_protocol::{FunctionName, LogLine, LogQuery, SourceName};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::tagged::Tagged;

/// Lines kept of one function.
const MAX_LINES: usize = 1000;
/// Bytes of text kept of one function.
const MAX_BYTES: usize = 1024 * 1024;
/// Lines that may wait to be published; while NATS is away, more are only kept.
const MAX_UNPUBLISHED: usize = 4096;
/// At the end, lines that could not be published in this time are dropped.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Logs {
    functions: Mutex<HashMap<FunctionName, Arc<Log>>>,
    /// Nobody follows these, so they are not published.
    sources: Mutex<HashMap<SourceName, Arc<SourceLog>>>,
    publish: mpsc::Sender<(FunctionName, LogLine)>,
    publisher: TaskTracker,
    ending: CancellationToken,
}

impl Logs {
    pub(super) fn new(followers: skep_bus::Logs) -> Self {
        let (publish, lines) = mpsc::channel(MAX_UNPUBLISHED);
        let publisher = TaskTracker::new();
        let ending = CancellationToken::new();
        publisher.spawn(publish_all(followers, lines, ending.clone()));
        publisher.close();
        Self { functions: Mutex::default(), sources: Mutex::default(), publish, publisher, ending }
    }

    /// Publishes what waits, and nothing after that.
    pub(super) async fn end(&self) {
        self.ending.cancel();
        if tokio::time::timeout(PUBLISH_TIMEOUT, self.publisher.wait()).await.is_err() {
            warn!("the last log lines were not published");
        }
    }

    pub(super) fn of(&self, function: &FunctionName) -> Arc<Log> {
        let mut functions = self.functions();
        let log = functions.entry(function.clone()).or_insert_with(|| {
            Arc::new(Log { function: function.clone(), kept: Mutex::default(), publish: self.publish.clone() })
        });
        Arc::clone(log)
    }

    pub(super) fn forget(&self, function: &FunctionName) {
        self.functions().remove(function);
    }

    pub(super) fn of_source(&self, source: &SourceName) -> Arc<SourceLog> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let log = sources.entry(source.clone());
        Arc::clone(log.or_insert_with(|| Arc::new(SourceLog { source: source.clone(), kept: Mutex::default() })))
    }

    pub(super) fn forget_source(&self, source: &SourceName) {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).remove(source);
    }

    fn functions(&self) -> MutexGuard<'_, HashMap<FunctionName, Arc<Log>>> {
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn publish_all(
    followers: skep_bus::Logs,
    mut lines: mpsc::Receiver<(FunctionName, LogLine)>,
    ending: CancellationToken,
) {
    while let Some(Some((function, line))) = ending.run_until_cancelled(lines.recv()).await {
        followers.publish(&function, &line).await;
    }
    lines.close();
    while let Some((function, line)) = lines.recv().await {
        followers.publish(&function, &line).await;
    }
}

/// The log of one function.
pub(super) struct Log {
    function: FunctionName,
    kept: Mutex<Kept>,
    publish: mpsc::Sender<(FunctionName, LogLine)>,
}

impl Log {
    /// Takes a line and never waits.
    pub(super) fn push(&self, instance: &str, line: impl Into<Tagged>) {
        let Tagged { call_id, trace_id, stream, text } = line.into();
        let line = LogLine {
            name: self.function.name().to_owned(),
            namespace: self.function.namespace().unwrap_or_default().to_owned(),
            instance: instance.to_owned(),
            timestamp: OffsetDateTime::now_utc(),
            call_id,
            trace_id,
            stream,
            text,
        };
        // A full queue means that followers miss this line now; it is kept all the same.
        let _ = self.publish.try_send((self.function.clone(), line.clone()));
        self.kept().push(line);
    }

    pub(super) fn past(&self, query: &LogQuery) -> Vec<LogLine> {
        self.kept().past(query)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log of the program of a source.
pub(super) struct SourceLog {
    source: SourceName,
    kept: Mutex<Kept>,
}

impl SourceLog {
    pub(super) fn push(&self, text: String) {
        let name = self.source.to_string();
        let (instance, namespace) = (name.clone(), String::new());
        let line = LogLine {
            name,
            namespace,
            instance,
            timestamp: OffsetDateTime::now_utc(),
            call_id: None,
            trace_id: None,
            stream: None,
            text,
        };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// The last lines, oldest first.
    pub(super) fn last(&self, most: usize) -> Vec<LogLine> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().skip(kept.lines.len().saturating_sub(most)).cloned().collect()
    }
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<LogLine>,
    bytes: usize,
}

impl Kept {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > MAX_LINES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
        }
    }

    fn past(&self, query: &LogQuery) -> Vec<LogLine> {
        let mut found: Vec<LogLine> = Vec::new();
        let most = query.tail.filter(|&tail| tail > 0).unwrap_or(usize::MAX);
        for line in self.lines.iter().rev() {
            if found.len() == most || query.since.is_some_and(|since| line.timestamp < since) {
                break;
            }
            if query.instance.as_ref().is_none_or(|instance| *instance == line.instance) {
                found.push(line.clone());
            }
        }
        found.reverse();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: i64, instance: &str, text: String) -> LogLine {
        LogLine {
            name: "f".to_owned(),
            namespace: String::new(),
            instance: instance.to_owned(),
            timestamp: OffsetDateTime::from_unix_timestamp(second).unwrap(),
            call_id: None,
            trace_id: None,
            stream: None,
            text,
        }
    }

    #[test]
    fn the_oldest_lines_go_when_there_are_too_many_or_too_large_ones() {
        let mut kept = Kept::default();
        for second in 0..=MAX_LINES {
            kept.push(line(i64::try_from(second).unwrap(), "f-1", second.to_string()));
        }
        assert_eq!((kept.lines.len(), kept.lines[0].text.as_str()), (MAX_LINES, "1"));
        for second in 0..20 {
            kept.push(line(second, "f-1", "x".repeat(64 * 1024)));
        }
        assert_eq!((kept.lines.len(), kept.bytes), (16, MAX_BYTES));
    }

    #[test]
    fn a_query_picks_by_instance_time_and_number() {
        let mut kept = Kept::default();
        for second in 0..6 {
            kept.push(line(second, if second % 2 == 0 { "f-1" } else { "f-2" }, second.to_string()));
        }
        let past = |tail, since: Option<i64>, instance: Option<&str>| -> String {
            let since = since.map(|second| OffsetDateTime::from_unix_timestamp(second).unwrap());
            let instance = instance.map(str::to_owned);
            let query = LogQuery { function: "f".parse().unwrap(), instance, tail, since, follow: false };
            kept.past(&query).into_iter().map(|line| line.text).collect()
        };
        assert_eq!(past(None, None, None), "012345");
        assert_eq!(past(Some(0), None, None), "012345");
        assert_eq!(past(Some(2), None, None), "45");
        assert_eq!(past(Some(2), None, Some("f-1")), "24");
        assert_eq!(past(None, Some(4), None), "45");
    }
}
