//! Listing, reading and deleting dead letters.

use async_nats::{HeaderMap, jetstream::message::StreamMessage};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use skep_protocol::{CallId, DeadKind, DeadLetterInfo, FunctionName, StoredBody};
use skep_trace::Context;
use time::OffsetDateTime;

use crate::{Bodies, DeadLetters, Error, Result, calls::records, calls::scan::Scan, wire};

/// Which dead letters are meant.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    pub function: Option<FunctionName>,
    pub kind: Option<DeadKind>,
    /// A text that the reason holds.
    pub reason: String,
    /// Only dead letters behind this place.
    pub after: u64,
}

/// A dead letter: the original message, and why it was given up.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub info: DeadLetterInfo,
    pub body: Bytes,
    pub(crate) headers: HeaderMap,
}

impl DeadLetterFilter {
    fn admits(&self, info: &DeadLetterInfo) -> bool {
        self.kind.is_none_or(|kind| kind == info.kind) && info.reason.contains(&self.reason)
    }
}

impl DeadLetter {
    /// The body, if it is too large for the dead letter.
    pub fn stored_body(&self) -> Option<StoredBody> {
        wire::stored_body(&self.headers).ok().flatten()
    }

    /// Where its call belonged in a trace.
    pub fn trace(&self) -> Option<Context> {
        wire::read_trace(&self.headers)
    }

    /// The first bytes of the last answer, if there was one.
    pub fn last_answer(&self) -> Option<Vec<u8>> {
        STANDARD.decode(wire::text(&self.headers, wire::LAST_ANSWER)?).ok()
    }
}

impl DeadLetters {
    /// The oldest dead letters that the filter admits, at most `limit`.
    pub async fn list(&self, filter: &DeadLetterFilter, limit: usize) -> Result<Vec<DeadLetterInfo>> {
        let subject = self.nats.subjects.dead_of(filter.function.as_ref());
        let mut scan = Scan::begin(&self.nats.streams.dead, subject, filter.after).await?;
        let mut letters = Vec::new();
        while letters.len() < limit {
            let Some(seen) = scan.next().await? else { break };
            let info = info_of(&seen.subject, &seen.headers, seen.published, seen.sequence);
            letters.extend(info.filter(|info| filter.admits(info)));
        }
        scan.end().await;
        Ok(letters)
    }

    /// A call's dead letter, or that of its callback.
    pub async fn get(&self, id: &CallId, kind: DeadKind) -> Result<Option<DeadLetter>> {
        let subject = match kind {
            DeadKind::Call => self.nats.subjects.dead_by_id(id),
            DeadKind::Callback => self.nats.subjects.dead_callback_by_id(id),
        };
        let Some(message) = records::find(&self.nats.streams.dead, subject).await? else { return Ok(None) };
        let StreamMessage { subject, sequence, headers, payload, time, .. } = message;
        let Some(info) = info_of(&subject, &headers, time, sequence) else {
            return Err(Error::Unreadable { subject: subject.to_string(), reason: "it names no call".to_owned() });
        };
        Ok(Some(DeadLetter { info, body: payload, headers }))
    }

    /// Removes a dead letter and what belongs to it alone.
    pub async fn delete(&self, letter: &DeadLetter) -> Result<()> {
        self.remove(letter.info.sequence).await?;
        self.discard_body_of(letter);
        Ok(())
    }

    /// Lets the body of a dead call go; that of a callback is the result, which has its own time.
    pub(crate) fn discard_body_of(&self, letter: &DeadLetter) {
        if let (DeadKind::Call, Some(body)) = (letter.info.kind, letter.stored_body()) {
            Bodies::over(&self.nats).discard(&body.key);
        }
    }

    /// Removes a dead letter; no error if it is gone already.
    pub async fn remove(&self, sequence: u64) -> Result<()> {
        self.nats.remove_message("DEAD", sequence).await
    }
}

fn info_of(subject: &str, headers: &HeaderMap, dead_at: OffsetDateTime, sequence: u64) -> Option<DeadLetterInfo> {
    let (subject, kind) = match subject.strip_suffix(".callback") {
        Some(subject) => (subject, DeadKind::Callback),
        None => (subject, DeadKind::Call),
    };
    let mut tokens = subject.rsplit('.');
    let call_id = tokens.next()?.parse().ok()?;
    let function = tokens.next()?;
    Some(DeadLetterInfo {
        call_id,
        function: function.parse().map_or_else(|_| function.to_owned(), |name: FunctionName| name.to_string()),
        kind,
        reason: wire::text(headers, wire::REASON).unwrap_or_default().to_owned(),
        attempts: wire::progress(headers).attempts,
        last_status: wire::text(headers, wire::LAST_STATUS).and_then(|status| status.parse().ok()),
        dead_at,
        sequence,
    })
}
