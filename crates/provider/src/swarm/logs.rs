//! Logs of functions, from the engine: past lines on request, and new ones while a client follows them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use skep_bus::Logs;
use skep_protocol::{FunctionName, LogLine, LogQuery};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::tagged::Tagged;

use super::{
    engine::{Engine, Result},
    frames::Frames,
};

/// The most lines of one function that are returned.
const MAX_LINES: usize = 1000;
/// The most bytes of text of one function that are returned.
const MAX_BYTES: usize = 1024 * 1024;
/// How long the engine may take to send all past lines; after that, those that came are used.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a function is followed after the last request for it.
const FOLLOW_TTL: Duration = Duration::from_secs(60);
/// Following starts with slightly older lines, so that none is lost between past and new ones.
const OVERLAP: Duration = Duration::from_secs(2);
/// Between two attempts to follow.
const FOLLOW_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The last lines of all replicas of these services of a function, sorted by time.
pub(super) async fn past_of(
    engine: &Engine,
    query: &LogQuery,
    services: impl Iterator<Item = FunctionName>,
) -> Result<Vec<LogLine>> {
    let mut kept = Kept { lines: Vec::new(), bytes: 0 };
    for service in services {
        past(engine, query, &service).await?.into_iter().for_each(|line| kept.push(line));
    }
    Ok(kept.last(query.tail.filter(|tail| *tail > 0).unwrap_or(MAX_LINES).min(MAX_LINES)))
}

async fn past(engine: &Engine, query: &LogQuery, service: &FunctionName) -> Result<Vec<LogLine>> {
    let name = &query.function;
    let tail = query.tail.filter(|tail| *tail > 0).unwrap_or(MAX_LINES).min(MAX_LINES);
    let since = query.since.map_or_else(|| "0".to_owned(), |since| since.unix_timestamp().to_string());
    let mut answer = match request(engine, service, &since, &tail.to_string(), "0").await {
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        answer => answer?,
    };
    let mut lines = Lines::new(name.clone());
    let mut kept = Kept { lines: Vec::new(), bytes: 0 };
    let is_wanted = |line: &LogLine| {
        query.instance.as_ref().is_none_or(|instance| *instance == line.instance)
            && query.since.is_none_or(|since| line.timestamp >= since)
    };
    let reading = async {
        while let Some(bytes) = answer.next().await {
            lines.push(&bytes, |line| {
                if is_wanted(&line) {
                    kept.push(line);
                }
            });
        }
    };
    if tokio::time::timeout(READ_TIMEOUT, reading).await.is_err() {
        warn!(function = %name, "the engine did not give all log lines in time");
    }
    Ok(kept.last(tail))
}

async fn request(
    engine: &Engine,
    name: &FunctionName,
    since: &str,
    tail: &str,
    follow: &str,
) -> Result<super::socket::Answer> {
    let query = [
        ("stdout", "1"),
        ("stderr", "1"),
        ("timestamps", "1"),
        ("details", "1"),
        ("since", since),
        ("tail", tail),
        ("follow", follow),
    ];
    engine.socket().get(&format!("services/{}/logs", name.as_str()), &query).await
}

/// The lines of a stream of frames.
struct Lines {
    name: FunctionName,
    frames: Frames,
}

impl Lines {
    fn new(name: FunctionName) -> Self {
        Self { name, frames: Frames::default() }
    }

    fn push(&mut self, bytes: &[u8], mut each: impl FnMut(LogLine)) {
        let name = &self.name;
        self.frames.push(bytes, |piece| each(line_of(name, piece)));
    }
}

/// Reads `2026-11-25T00:05:38.5Z com.docker.swarm.task.id=…,… text`; a line of any other form is all text.
fn line_of(name: &FunctionName, piece: &[u8]) -> LogLine {
    let text = String::from_utf8_lossy(piece);
    let text = text.trim_end_matches(['\n', '\r']);
    let read = || {
        let (timestamp, rest) = text.split_once(' ')?;
        let timestamp = OffsetDateTime::parse(timestamp, &Rfc3339).ok()?;
        let (details, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let task = details.split(',').find_map(|detail| detail.strip_prefix("com.docker.swarm.task.id="))?;
        Some((timestamp, task.to_owned(), text.to_owned()))
    };
    let (timestamp, instance, text) =
        read().unwrap_or_else(|| (OffsetDateTime::now_utc(), String::new(), text.to_owned()));
    let Tagged { call_id, trace_id, stream, text } = Tagged::read(text);
    LogLine {
        name: name.name().to_owned(),
        namespace: name.namespace().unwrap_or_default().to_owned(),
        instance,
        timestamp,
        call_id,
        trace_id,
        stream,
        text,
    }
}

/// A bounded number of lines, because the engine sends those of one replica after the other.
struct Kept {
    lines: Vec<LogLine>,
    bytes: usize,
}

impl Kept {
    fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len();
        self.lines.push(line);
        if self.lines.len() > 2 * MAX_LINES || self.bytes > 2 * MAX_BYTES {
            self.shrink(MAX_LINES);
        }
    }

    /// Keeps the newest lines only.
    fn shrink(&mut self, most: usize) {
        self.lines.sort_by_key(|line| line.timestamp);
        let (mut count, mut bytes) = (0, 0);
        for line in self.lines.iter().rev() {
            if count == most || bytes + line.text.len() > MAX_BYTES {
                break;
            }
            count += 1;
            bytes += line.text.len();
        }
        self.lines.drain(..self.lines.len() - count);
        self.bytes = bytes;
    }

    fn last(mut self, most: usize) -> Vec<LogLine> {
        self.shrink(most);
        self.lines
    }
}

/// Publishes the lines of functions that clients follow.
pub(super) struct Followers {
    engine: Arc<Engine>,
    followers: Logs,
    until: Arc<Mutex<HashMap<FunctionName, Instant>>>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Followers {
    pub(super) fn new(engine: Arc<Engine>, followers: Logs) -> Self {
        Self { engine, followers, until: Arc::default(), tasks: TaskTracker::new(), ending: CancellationToken::new() }
    }

    /// Follows the service of a function or of its canary for a while; a client that follows longer asks again.
    pub(super) fn follow(&self, service: &FunctionName) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let is_followed = until.insert(service.clone(), Instant::now() + FOLLOW_TTL).is_some();
        if is_followed || self.ending.is_cancelled() {
            return;
        }
        let follower = Follower {
            engine: Arc::clone(&self.engine),
            followers: self.followers.clone(),
            service: service.clone(),
            name: service.without_canary(),
            until: Arc::clone(&self.until),
        };
        let ending = self.ending.clone();
        self.tasks.spawn(async move { ending.run_until_cancelled(follower.run()).await });
    }

    pub(super) fn end(&self) {
        self.ending.cancel();
    }
}

struct Follower {
    engine: Arc<Engine>,
    followers: Logs,
    service: FunctionName,
    /// The function that it is of.
    name: FunctionName,
    until: Arc<Mutex<HashMap<FunctionName, Instant>>>,
}

impl Follower {
    async fn run(self) {
        let mut since = OffsetDateTime::now_utc() - OVERLAP;
        loop {
            let begun = OffsetDateTime::now_utc();
            let following = self.publish_from(since);
            tokio::select! {
                () = following => {}
                () = self.until_nobody_follows() => return,
            }
            // The service is gone or not there yet, or the engine was away.
            since = begun;
            tokio::select! {
                () = tokio::time::sleep(FOLLOW_RETRY_INTERVAL) => {}
                () = self.until_nobody_follows() => return,
            }
        }
    }

    async fn publish_from(&self, since: OffsetDateTime) {
        let text = since.unix_timestamp().to_string();
        let Ok(mut answer) = request(&self.engine, &self.service, &text, "all", "1").await else { return };
        let mut lines = Lines::new(self.name.clone());
        let mut found = Vec::new();
        while let Some(bytes) = answer.next().await {
            lines.push(&bytes, |line| found.push(line));
            for line in found.drain(..).filter(|line| line.timestamp >= since) {
                self.followers.publish(&self.name, &line).await;
            }
        }
    }

    async fn until_nobody_follows(&self) {
        loop {
            let until = {
                let mut all = self.until.lock().unwrap_or_else(PoisonError::into_inner);
                match all.get(&self.service) {
                    Some(until) if *until > Instant::now() => *until,
                    Some(_) | None => {
                        all.remove(&self.service);
                        return;
                    }
                }
            };
            tokio::time::sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_which_call_it_is_of_if_its_watchdog_does() {
        let read = |text: &str| {
            let line = format!("2026-11-25T00:05:38.5Z com.docker.swarm.task.id=t1 {text}\n");
            let LogLine { instance, call_id, trace_id, text, .. } = line_of(&"f".parse().unwrap(), line.as_bytes());
            assert_eq!(instance, "t1");
            (call_id.unwrap_or_default(), trace_id.unwrap_or_default(), text)
        };
        let line = |call: &str, trace: &str, text: &str| (call.to_owned(), trace.to_owned(), text.to_owned());
        assert_eq!(read("\u{1e}order-17 4bf9\u{1e}stderr: said x"), line("order-17", "4bf9", "stderr: said x"));
        assert_eq!(read("of an older watchdog"), line("", "", "of an older watchdog"));
    }
}
