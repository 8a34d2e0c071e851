//! The audit: every accepted call is in flight, has ended, or is reported.
//!
//! It scans the receipts, then the messages, then the records, each in order, and keeps a few bytes per call.
//! Calls go on meanwhile, so a call that seems to be missing is looked up again by its id before it is reported.
//!
//! It is a part of the bus because it reads nearly every stream message by message. As a crate of its own it would need the streams to be public, and then every crate could read them.

mod books;
mod doubts;
mod events;
pub(crate) mod ledger;
pub(crate) mod log;

use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use futures_util::TryStreamExt;
use serde::Deserialize;
use skep_protocol::{
    AuditFinding, AuditKind, AuditProgress, AuditReport, CallState, FunctionLedger, FunctionName, SourceLedger,
};
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use self::{
    books::{Books, Doubt},
    doubts::{Seen, is_finished},
};
use crate::{Audit, Error, Result, audit::ledger::Note, calls::scan::Scan, client::clock, wire};

/// A list ends with an error when no message arrives within this time.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(60);
/// The most calls that are looked up again; the rest is only counted.
const MAX_DOUBTS: usize = 100_000;
/// The most findings that are reported.
const MAX_FINDINGS: usize = 1000;
/// Progress is reported after this many messages.
const TOLD_AFTER: u64 = 1000;

/// What counts of a record.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    call_id: String,
    function: String,
    state: CallState,
}

struct Walk<'audit> {
    audit: &'audit Audit,
    books: Books,
    doubts: Vec<Doubt>,
    /// Calls that seem to be missing beyond those that are checked again.
    more: u64,
    /// What is known of the events of sources.
    sources: Vec<SourceLedger>,
    progress: AuditProgress,
    reporter: &'audit watch::Sender<AuditProgress>,
}

/// A call that ended longer ago should have left all queues.
pub const MIN_LEFTOVER_AGE: Duration = Duration::from_secs(3600);

impl Audit {
    /// Counts all calls that are known, and names those that do not add up.
    ///
    /// What ended longer ago than `gone_within` should have left all queues.
    pub async fn run(&self, gone_within: Duration, reporter: &watch::Sender<AuditProgress>) -> Result<AuditReport> {
        let (began, at) = (Instant::now(), clock::now());
        // By this time, what this process has accepted has its receipts.
        self.nats.ledger.flush().await;
        let books = Books::new(at, self.nats.kept.records.age, gone_within);
        let (doubts, sources, progress) = (Vec::new(), Vec::new(), AuditProgress::default());
        let mut walk = Walk { audit: self, books, doubts, more: 0, sources, progress, reporter };
        let last = walk.walk().await?;
        let checked = self.check_again(std::mem::take(&mut walk.doubts)).await?;
        walk.read_later_notes(last).await?;
        let Walk { mut books, more, mut sources, .. } = walk;
        let mut findings = Vec::new();
        for (doubt, seen) in checked {
            let seen = if seen == Seen::Still && books.is_over(&doubt) { Seen::Expired } else { seen };
            let Some(ledger) = books.ledger(doubt.function) else { continue };
            if doubt.kind == AuditKind::Missing {
                *match seen {
                    Seen::Still => &mut ledger.missing,
                    Seen::Is(state) => ledger.count_mut(state),
                    Seen::Expired => &mut ledger.expired,
                } += 1;
            }
            if seen == Seen::Still {
                events::count_missing(&mut sources, doubt.event.as_ref());
                let at = OffsetDateTime::from_unix_timestamp(doubt.since).unwrap_or(at);
                let function = ledger.function.clone();
                let Doubt { kind, call_id, event, .. } = doubt;
                findings.push(AuditFinding { kind, call_id, function, event, at });
            }
        }
        findings.sort_by(|one, other| one.function.cmp(&other.function).then(one.at.cmp(&other.at)));
        let more_findings = more + findings.len().saturating_sub(MAX_FINDINGS) as u64;
        findings.truncate(MAX_FINDINGS);
        let mut functions = books.ledgers;
        functions.iter_mut().for_each(FunctionLedger::sum_up);
        functions.retain(|ledger| ledger.accepted > 0);
        functions.sort_by(|one, other| one.function.cmp(&other.function));
        let duration_seconds = began.elapsed().as_secs_f64();
        Ok(AuditReport { at, duration_seconds, functions, sources, findings, more_findings })
    }
}

impl Walk<'_> {
    /// Goes through all there is, and returns the number of the last note of the ledger that was read.
    async fn walk(&mut self) -> Result<u64> {
        let streams = &self.audit.nats.streams;
        let all = [
            // Receipts are read twice.
            &streams.ledger,
            &streams.ledger,
            &streams.dead,
            &streams.delayed,
            &streams.invoke,
            &streams.backlog,
            &streams.publish,
            &streams.calls,
            &streams.events,
        ];
        for stream in all {
            self.progress.of += stream.get_info().await.map_err(Error::unavailable)?.state.messages;
        }
        let routed = self.audit.routed_events().await?;
        let last = self.read_receipts().await?;
        self.read_dead_letters().await?;
        self.list_delayed().await?;
        self.read_lanes().await?;
        self.list_backlog().await?;
        self.list_published().await?;
        self.read_records().await?;
        for letter in self.books.close_messages() {
            let message = self.audit.nats.streams.dead.direct_get(letter.sequence).await;
            // It may have been removed in this moment.
            let subject = message.ok().map(|message| message.subject.to_string());
            let call_id = subject.and_then(|subject| subject.rsplit('.').next()?.parse().ok());
            let Some(call_id) = call_id else { continue };
            self.doubts.extend(Some(Doubt {
                kind: AuditKind::LetterWithoutRecord,
                call_id,
                function: letter.function,
                since: letter.dead_at,
                event: None,
            }));
        }
        self.settle_receipts(last).await?;
        self.read_events(routed).await?;
        Ok(last)
    }

    /// Reads what is noted in the ledger, and returns the number of the last note.
    async fn read_receipts(&mut self) -> Result<u64> {
        let mut scan = self.ledger_after(0).await?;
        let mut last = 0;
        while let Some(seen) = scan.next().await? {
            ledger::read(&seen.subject, &seen.headers, &seen.body, |note| self.books.note(&note));
            last = seen.sequence;
            self.count_message();
        }
        scan.end().await;
        self.books.close_receipts();
        Ok(last)
    }

    async fn read_dead_letters(&mut self) -> Result<()> {
        let mut scan = self.scan("DEAD", self.audit.nats.subjects.dead_of(None)).await?;
        while let Some(seen) = scan.next().await? {
            // Of a callback that is dead, the call has ended in another way.
            let call = Some(&seen.subject).filter(|subject| !subject.ends_with(".callback"));
            if let Some((call_id, function)) = call.and_then(|subject| call_of(subject)) {
                self.books.dead_letter(call_id, &function, seen.sequence, seen.published);
            }
            self.count_message();
        }
        scan.end().await;
        Ok(())
    }

    async fn read_lanes(&mut self) -> Result<()> {
        let floors = self.audit.floors().await?;
        let mut scan = self.scan("INVOKE", self.audit.nats.subjects.invoke_all()).await?;
        let mut is_purged = true;
        while let Some(seen) = scan.next().await? {
            self.count_message();
            let Some((call_id, function)) = call_of(&seen.subject) else { continue };
            if !is_finished(&seen.subject, seen.sequence, &floors) {
                self.books.open(call_id, &function, false);
            } else if is_purged && self.books.should_be_gone(seen.published) {
                is_purged = false;
                let doubt = self.books.doubt(AuditKind::NotPurged, call_id, &function, seen.published);
                self.doubts.extend(doubt);
            }
        }
        scan.end().await;
        Ok(())
    }

    async fn list_delayed(&mut self) -> Result<()> {
        let stream = self.audit.nats.streams.delayed.clone();
        let all = self.audit.nats.subjects.delayed_all();
        self.list(&stream, all, |books, subject, _| {
            if let Some((call_id, function)) = call_of(subject) {
                books.open(call_id, &function, subject.contains(".due."));
            }
        })
        .await
    }

    async fn list_backlog(&mut self) -> Result<()> {
        let stream = self.audit.nats.streams.backlog.clone();
        let all = self.audit.nats.subjects.backlog_all();
        self.list(&stream, all, |books, subject, _| {
            if let Some((call_id, function)) = call_of(subject) {
                books.open(call_id, &function, true);
            }
        })
        .await
    }

    async fn list_published(&mut self) -> Result<()> {
        let stream = self.audit.nats.streams.publish.clone();
        let all = self.audit.nats.subjects.publish_all();
        self.list(&stream, all, |books, subject, count| {
            if let Some(function) = subject.rsplit('.').next() {
                books.published(&name(function), count);
            }
        })
        .await
    }

    async fn read_records(&mut self) -> Result<()> {
        let mut scan = self.scan("CALLS", self.audit.nats.subjects.record_all()).await?;
        while let Some(seen) = scan.next().await? {
            self.count_message();
            let record = wire::text(&seen.headers, wire::STATUS).map(serde_json::from_str::<Record>);
            let Some(Ok(Record { call_id, function, state })) = record else { continue };
            self.doubts.extend(self.books.record(&call_id, &function, state, seen.published));
        }
        scan.end().await;
        Ok(())
    }

    /// Reads the same receipts once more, to name the calls that were not found.
    async fn settle_receipts(&mut self, last: u64) -> Result<()> {
        let mut scan = self.ledger_after(0).await?;
        while let Some(seen) = scan.next().await? {
            if seen.sequence > last {
                break;
            }
            self.count_message();
            let (books, doubts, more) = (&mut self.books, &mut self.doubts, &mut self.more);
            ledger::read(&seen.subject, &seen.headers, &seen.body, |note| {
                let Some(doubt) = books.settle(&note) else { return };
                if doubts.len() < MAX_DOUBTS {
                    return doubts.push(doubt);
                }
                *more += 1;
                if let Some(ledger) = books.ledger(doubt.function) {
                    ledger.missing += 1;
                }
            });
        }
        scan.end().await;
        Ok(())
    }

    /// Reads why records may have gone meanwhile.
    async fn read_later_notes(&mut self, last: u64) -> Result<()> {
        let mut scan = self.ledger_after(last).await?;
        while let Some(seen) = scan.next().await? {
            ledger::read(&seen.subject, &seen.headers, &seen.body, |note| match note {
                // These calls are younger than the audit.
                Note::Receipt { .. } => {}
                Note::Brief { .. } | Note::Removed { .. } => self.books.note(&note),
            });
        }
        scan.end().await;
        self.books.go_on_until(clock::now());
        Ok(())
    }

    /// A work queue cannot be read by another consumer, but its subjects can be listed.
    async fn list(&mut self, stream: &Stream, all: String, each: impl Fn(&mut Books, &str, u64)) -> Result<()> {
        let mut listed = stream.info_with_subjects(all).await.map_err(Error::unavailable)?;
        loop {
            let next = timeout(PROGRESS_TIMEOUT, listed.try_next()).await.map_err(Error::unavailable)?;
            let Some((subject, count)) = next.map_err(Error::unavailable)? else { return Ok(()) };
            each(&mut self.books, &subject, count as u64);
            self.count_message();
        }
    }

    /// Over the connection for deliveries, so that accepting calls is not held up.
    async fn scan(&self, stream: &str, subject: String) -> Result<Scan> {
        Scan::begin(&self.stream(stream).await?, subject, 0).await
    }

    async fn ledger_after(&self, after: u64) -> Result<Scan> {
        Scan::with_bodies(&self.stream("LEDGER").await?, self.audit.nats.subjects.ledger_all(), after).await
    }

    async fn stream(&self, name: &str) -> Result<Stream> {
        let name = self.audit.nats.subjects.stream(name);
        self.audit.nats.deliveries.get_stream(name).await.map_err(Error::unavailable)
    }

    fn count_message(&mut self) {
        self.progress.looked += 1;
        if self.progress.looked.is_multiple_of(TOLD_AFTER) {
            self.reporter.send_replace(self.progress);
        }
    }
}

/// The call and the function of a subject that ends with both.
fn call_of(subject: &str) -> Option<(&str, String)> {
    let mut tokens = subject.rsplit('.');
    let call_id = tokens.next()?;
    Some((call_id, name(tokens.next()?)))
}

/// A function as people write it, or the token itself if it is no valid name.
fn name(token: &str) -> String {
    token.parse().map_or_else(|_| token.to_owned(), |name: FunctionName| name.to_string())
}
