//! Messages that were stored while their stream was copied, and that must not be missing: they are stored once more after it is restored.

use async_nats::{
    HeaderMap,
    header::{NATS_SCHEDULE, NATS_SCHEDULE_TARGET},
    jetstream::message::StreamMessage,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{BackupError, BackupPart, BackupReader, BackupWriter, MESSAGES, Operator};
use crate::{Error, Result, calls::records};

#[derive(Serialize, Deserialize)]
struct Later {
    subject: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Operator {
    /// Delayed calls that came due meanwhile, or whose lease was renewed: the server stores them at the end of the stream, and takes away what was there before.
    pub(super) async fn copy_later_delayed(&self, after: u64, to: &mut dyn BackupWriter) -> Result<(), BackupError> {
        self.copy_messages("DELAYED", &[self.subjects.delayed_all()], after, to).await
    }

    /// Notes on records that were removed meanwhile, without which the audit would miss them.
    pub(super) async fn copy_later_notes(&self, after: u64, to: &mut dyn BackupWriter) -> Result<(), BackupError> {
        self.copy_messages("LEDGER", &[self.subjects.removed_records(), self.subjects.brief_records()], after, to).await
    }

    async fn copy_messages(
        &self,
        stream: &str,
        subjects: &[String],
        after: u64,
        to: &mut dyn BackupWriter,
    ) -> Result<(), BackupError> {
        let name = self.subjects.stream(stream);
        let Some(state) = self.state_of(&name).await? else { return Ok(()) };
        let stream = self.jetstream.get_stream(&name).await.map_err(Error::unavailable)?;
        to.begin(&BackupPart { kind: MESSAGES.to_owned(), name, about: serde_json::Value::Null })?;
        for subject in subjects {
            let mut at = after;
            while let Some(message) = records::find_after_at_leader(&stream, subject.clone(), at).await? {
                at = message.sequence;
                if at > state.last_sequence {
                    break;
                }
                to.write(&serde_json::to_vec(&Later::of(&message)).map_err(Error::unavailable)?)?;
            }
        }
        Ok(to.end()?)
    }

    /// Stores such messages again.
    pub(super) async fn put_messages(&self, from: &mut dyn BackupReader) -> Result<(), BackupError> {
        while let Some(chunk) = from.next_chunk()? {
            let later: Later = serde_json::from_slice(&chunk).map_err(Error::unavailable)?;
            if !later.subject.starts_with(&format!("{}.", self.subjects.prefix())) {
                return Err(BackupError::Refused(format!("the backup has a message on {}", later.subject)));
            }
            let body = STANDARD.decode(&later.body).map_err(Error::unavailable)?;
            let mut headers = HeaderMap::new();
            for (name, value) in later.headers {
                headers.append(name, value);
            }
            let stored = self.jetstream.publish_with_headers(later.subject, headers, body.into()).await;
            stored.map_err(Error::unavailable)?.await.map_err(Error::unavailable)?;
        }
        Ok(())
    }
}

impl Later {
    fn of(message: &StreamMessage) -> Self {
        let headers = message.headers.iter().filter(|(name, _)| is_kept(name.as_ref()));
        let headers = headers
            .flat_map(|(name, values)| values.iter().map(|value| (name.to_string(), value.as_str().to_owned())))
            .collect();
        Self { subject: message.subject.to_string(), headers, body: STANDARD.encode(&message.payload) }
    }
}

/// What the server was asked for once is not asked for again, except when the call is due.
fn is_kept(header: &str) -> bool {
    let is_schedule = [NATS_SCHEDULE.to_string(), NATS_SCHEDULE_TARGET.to_string()].iter().any(|name| name == header);
    is_schedule || !header.starts_with("Nats-")
}
