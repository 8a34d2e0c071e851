//! Whose turn it is among the calls of a schedule's route: one message, beside those of bursts, that each change replaces.

use async_nats::{HeaderMap as NatsHeaders, header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE};
use skep_protocol::{BurstKey, Turn};

use crate::{Error, Queues, Result, calls::records};

impl Queues {
    /// What was decided last, and the number of the message that says so.
    pub async fn turn(&self, key: &BurstKey) -> Result<(Turn, u64)> {
        let subject = self.nats.subjects.bursts(key);
        // A replica that is behind would give an earlier decision.
        let found = records::find_at_leader(&self.nats.streams.bursts, subject.clone()).await?;
        let Some(message) = found else { return Ok((Turn::default(), 0)) };
        let read = serde_json::from_slice(&message.payload);
        let turn = read.map_err(|error| Error::Unreadable { subject, reason: error.to_string() })?;
        Ok((turn, message.sequence))
    }

    /// Replaces the message with this number; `false` if it is not the last one any more.
    pub async fn write_turn(&self, key: &BurstKey, turn: &Turn, sequence: u64) -> Result<bool> {
        let mut headers = NatsHeaders::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, sequence.to_string());
        let body = serde_json::to_vec(turn).map_err(Error::unavailable)?;
        Ok(self.nats.publish(self.nats.subjects.bursts(key), headers, body.into()).await?.is_some())
    }
}
