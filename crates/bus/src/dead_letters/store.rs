//! Dead letters: calls that could not be run, kept with their reason and the original message.

use async_nats::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use skep_protocol::{CallId, DeadKind};

use crate::{Outcomes, Result, Submitted, fit, wire};

/// The bytes of the last answer that are kept with a dead letter.
pub const KEPT_OF_ANSWER: usize = 4096;

/// A message that is given up.
pub struct NewDeadLetter<'message> {
    pub kind: DeadKind,
    /// The function as it was named; any single subject token.
    pub function: &'message str,
    pub call_id: &'message CallId,
    pub reason: &'message str,
    /// Attempts that were made, and the status of the last answer.
    pub attempts: u64,
    pub last_status: Option<u16>,
    /// The last answer, of which the beginning is kept.
    pub last_answer: &'message [u8],
    /// The original message, untouched.
    pub headers: &'message HeaderMap,
    pub payload: &'message Bytes,
}

impl NewDeadLetter<'_> {
    /// The dead letter as it is stored. What does not fit is left out, and the reason says so.
    pub(crate) fn message(&self, largest: usize) -> (HeaderMap, Bytes) {
        let mut headers = HeaderMap::new();
        for (name, values) in self.headers.iter() {
            // The server acts on headers of its own, so what a publisher set there is kept but not obeyed.
            let kept = AsRef::<str>::as_ref(name);
            if wire::is_of_trace(kept) {
                continue;
            }
            let kept =
                kept.strip_prefix("Nats-").map_or_else(|| kept.to_owned(), |rest| format!("Original-Nats-{rest}"));
            let Ok(kept) = kept.parse::<async_nats::HeaderName>() else {
                continue;
            };
            for value in values {
                headers.append(kept.clone(), value.clone());
            }
        }
        wire::add_trace(&mut headers, wire::read_trace(self.headers).as_ref());
        headers.insert(wire::REASON, fit::reason(self.reason));
        headers.insert(wire::ATTEMPTS, self.attempts.to_string());
        if let Some(status) = self.last_status {
            headers.insert(wire::LAST_STATUS, status.to_string());
        }
        if let Some(beginning) = self.last_answer.get(..KEPT_OF_ANSWER.min(self.last_answer.len()))
            && !beginning.is_empty()
        {
            headers.insert(wire::LAST_ANSWER, STANDARD.encode(beginning));
        }
        let mut payload = self.payload.clone();
        fit::dead_letter(&mut headers, &mut payload, largest);
        (headers, payload)
    }
}

impl Outcomes {
    /// Stores a dead letter; one that is there already is left as it is.
    pub async fn store_dead_letter(&self, letter: NewDeadLetter<'_>) -> Result<Submitted> {
        let subject = match letter.kind {
            DeadKind::Call => self.nats.subjects.dead(letter.function, letter.call_id),
            DeadKind::Callback => self.nats.subjects.dead_callback(letter.function, letter.call_id),
        };
        let (headers, payload) = letter.message(self.nats.largest_message());
        self.nats.publish_once(subject, headers, payload).await
    }
}
