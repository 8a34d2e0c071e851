//! Messages of streams whose headers the NATS client cannot read.
//!
//! They would come again and again and break the connection each time, see [`crate::inbound::unreadable`].
//! So they are read as JSON, and what is readable of them becomes an event like any other.

use super::{TopicMessage, TopicStream, stream::event_id};
use crate::{
    Error, Result, Topics,
    inbound::unreadable::{MAX_LOOKED_AT, fault, raw_from},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use skep_protocol::TopicPattern;

impl TopicStream {
    /// Whether messages on a subject are events of the source.
    fn reads(&self, subject: &str) -> bool {
        self.subjects.is_empty() || self.subjects.iter().any(|wanted| TopicPattern::new(wanted).matches(subject))
    }
}

/// A message that does not come by itself.
#[derive(Debug)]
pub struct UnreadableMessage {
    pub message: TopicMessage,
    pub event_id: String,
    pub reason: &'static str,
    sequence: u64,
}

impl Topics {
    /// Looks for such messages among those that were delivered and not acknowledged.
    pub async fn unreadable(&self, topic: &TopicStream) -> Result<Vec<UnreadableMessage>> {
        let context = topic.link.control().await?;
        let stream = self.stream(topic, &context).await?;
        let made = stream.cached_info().created;
        let info = stream.consumer_info(self.consumer(&topic.source)).await.map_err(Error::unavailable)?;
        let mut found = Vec::new();
        if info.num_ack_pending == 0 {
            return Ok(found);
        }
        let mut next = info.ack_floor.stream_sequence + 1;
        for _ in 0..MAX_LOOKED_AT {
            if next > info.delivered.stream_sequence {
                break;
            }
            let Some(raw) = raw_from(&context, &topic.stream, ">", next).await? else { break };
            next = raw.seq + 1;
            let headers = STANDARD.decode(&raw.hdrs).unwrap_or_default();
            let Some(reason) = fault(&headers).filter(|_| topic.reads(&raw.subject)) else { continue };
            let text = String::from_utf8_lossy(&headers);
            let lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
            let lines = lines.map(|(name, value)| (name.trim(), value.trim()));
            let body = STANDARD.decode(&raw.data).unwrap_or_default().into();
            let message = TopicMessage::read(&raw.subject, lines, body);
            found.push(UnreadableMessage { message, event_id: event_id(made, raw.seq), reason, sequence: raw.seq });
        }
        Ok(found)
    }

    /// Acknowledges one whose event is stored. The server knows it by its number alone.
    pub async fn ack_unreadable(&self, topic: &TopicStream, message: &UnreadableMessage) -> Result<()> {
        let (stream, consumer, sequence) = (&topic.stream, self.consumer(&topic.source), message.sequence);
        let subject = format!("$JS.ACK.{stream}.{consumer}.1.{sequence}.1.0.0");
        let client = topic.link.control().await?.client();
        client.publish(subject, "+ACK".into()).await.map_err(Error::unavailable)
    }
}
