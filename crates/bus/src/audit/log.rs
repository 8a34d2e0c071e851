//! The audit log: a stream of who changed what. It has nothing to do with the audit, which counts calls.

use std::time::Duration;

use async_nats::{HeaderMap, header::NATS_MESSAGE_ID, jetstream::stream::Stream};
use skep_protocol::{AuditAction, AuditLogEntry};
use time::OffsetDateTime;
use tokio::time::timeout;
use tracing::warn;

use crate::{AuditLog, Error, Result, calls::scan::Scan, publish::Message};

/// How long an answer waits for its entry.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);
/// The most entries that one page scans.
const BUDGET: usize = 20_000;
/// The log is read in windows, from the newest entry backwards.
const WINDOW: u64 = 500;

/// Which entries are meant.
#[derive(Clone, Debug, Default)]
pub struct AuditLogFilter {
    /// Written then or later.
    pub since: Option<OffsetDateTime>,
    /// Written before then.
    pub until: Option<OffsetDateTime>,
    /// See [`AuditLogEntry::is_by`].
    pub actor: Option<String>,
    /// One of these; none is any.
    pub actions: Vec<AuditAction>,
    /// See [`AuditLogEntry::is_about`].
    pub object: Option<String>,
}

/// A part of the log, the newest entry first.
#[derive(Clone, Debug, Default)]
pub struct AuditLogPage {
    pub entries: Vec<AuditLogEntry>,
    /// The next part has the entries before this one, if there may be any.
    pub next: Option<u64>,
}

impl AuditLogFilter {
    fn admits(&self, entry: &AuditLogEntry) -> bool {
        (self.actions.is_empty() || self.actions.iter().any(|action| action.as_str() == entry.action))
            && self.actor.as_deref().is_none_or(|actor| entry.is_by(actor))
            && self.object.as_deref().is_none_or(|object| entry.is_about(object))
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
    }
}

impl AuditLog {
    pub fn is_kept(&self) -> bool {
        self.nats.streams.audit_log.is_some()
    }

    /// Stores an entry within a second. Says whether it is stored; one that is not is in the process's own log.
    ///
    /// Of entries with the same `once` only the first one is stored, if they come soon after one another.
    pub async fn write(&self, entry: &AuditLogEntry, once: Option<&str>) -> bool {
        if !self.is_kept() {
            return true;
        }
        let stored = timeout(STORE_TIMEOUT, self.store_entry(entry, once)).await;
        let error = match stored {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => error.chain(),
            Err(_) => format!("NATS did not answer within {STORE_TIMEOUT:?}"),
        };
        warn_of_lost_entry(entry, &error);
        false
    }

    async fn store_entry(&self, entry: &AuditLogEntry, once: Option<&str>) -> Result<()> {
        if !self.nats.is_reachable().await {
            return Err(Error::unavailable("the connection to NATS is down"));
        }
        let subject = self.nats.subjects.audit_log();
        let unreadable =
            |error: serde_json::Error| Error::Unreadable { subject: subject.clone(), reason: error.to_string() };
        let body = serde_json::to_vec(entry).map_err(unreadable)?.into();
        let mut headers = HeaderMap::new();
        if let Some(once) = once {
            headers.insert(NATS_MESSAGE_ID, once);
        }
        self.nats.publisher.publish(Message { subject, headers, body }).await?;
        Ok(())
    }

    /// Entries that the filter admits, the newest first; before a place in the log, if one is given. `None` if there is no log.
    pub async fn list(
        &self,
        filter: &AuditLogFilter,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Option<AuditLogPage>> {
        let Some(stream) = &self.nats.streams.audit_log else { return Ok(None) };
        let state = stream.get_info().await.map_err(Error::unavailable)?.state;
        let mut page = AuditLogPage::default();
        let mut end = before.unwrap_or(u64::MAX).min(state.last_sequence.saturating_add(1));
        let mut budget = BUDGET;
        while end > state.first_sequence {
            let begin = end.saturating_sub(WINDOW).max(state.first_sequence);
            let window = entries_between(stream, self.nats.subjects.audit_log(), begin, end).await?;
            budget = budget.saturating_sub(window.len() + 1);
            for entry in window.into_iter().rev() {
                if filter.since.is_some_and(|since| entry.stored_at < since) {
                    return Ok(Some(page));
                }
                let sequence = entry.content.sequence;
                if filter.admits(&entry.content) {
                    page.entries.push(entry.content);
                }
                if page.entries.len() >= limit {
                    page.next = sequence;
                    return Ok(Some(page));
                }
            }
            end = begin;
            if budget == 0 {
                page.next = Some(end);
                break;
            }
        }
        Ok(Some(page))
    }
}

struct Stored {
    content: AuditLogEntry,
    stored_at: OffsetDateTime,
}

/// Entries from one place in the log to before another one. What cannot be read is passed over.
async fn entries_between(stream: &Stream, subject: String, begin: u64, end: u64) -> Result<Vec<Stored>> {
    let mut scan = Scan::with_bodies(stream, subject, begin.saturating_sub(1)).await?;
    let mut entries = Vec::new();
    while let Some(seen) = scan.next().await? {
        if seen.sequence < end
            && let Ok(entry) = serde_json::from_slice::<AuditLogEntry>(&seen.body)
        {
            let content = AuditLogEntry { sequence: Some(seen.sequence), ..entry };
            entries.push(Stored { content, stored_at: seen.published });
        }
        if seen.sequence + 1 >= end {
            break;
        }
    }
    scan.end().await;
    Ok(entries)
}

/// Says in the process's own log what may be missing in the audit log.
pub fn warn_of_lost_entry(entry: &AuditLogEntry, error: &str) {
    let AuditLogEntry { at, actor, role, address, action, object, details, status, request_id, count, .. } = entry;
    warn!(
        error,
        %at,
        actor,
        role,
        address,
        action,
        object,
        details,
        status,
        refused = entry.error,
        request_id,
        count,
        "an entry of the audit log may be lost"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_admits_what_has_all_that_it_asks_for() {
        let at = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(100);
        let entry = AuditLogEntry::new(at, "token ci", AuditAction::Deploy).about("upper.dev");
        let all = AuditLogFilter::default();
        let admits = |filter: &AuditLogFilter| filter.admits(&entry);
        assert!(admits(&all));
        let since = |after: u64| Some(OffsetDateTime::UNIX_EPOCH + Duration::from_secs(after));
        assert!(admits(&AuditLogFilter { since: since(100), until: since(101), ..all.clone() }));
        assert!(!admits(&AuditLogFilter { since: since(101), ..all.clone() }));
        assert!(!admits(&AuditLogFilter { until: since(100), ..all.clone() }));
        let actions = |actions: &[AuditAction]| AuditLogFilter { actions: actions.to_vec(), ..all.clone() };
        assert!(admits(&actions(&[AuditAction::Scale, AuditAction::Deploy])));
        assert!(!admits(&actions(&[AuditAction::Scale])));
        assert!(admits(&AuditLogFilter { actor: Some("ci".to_owned()), ..all.clone() }));
        assert!(!admits(&AuditLogFilter { actor: Some("cd".to_owned()), ..all.clone() }));
        assert!(admits(&AuditLogFilter { object: Some("upper".to_owned()), ..all.clone() }));
        assert!(!admits(&AuditLogFilter { object: Some("lower".to_owned()), ..all }));
    }
}
