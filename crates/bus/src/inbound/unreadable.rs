//! Published messages whose headers the NATS client cannot read.
//!
//! The server stores whatever headers a publisher sends, also bytes that are not UTF-8 and bare CRs.
//! The client loses its connection on them, so such a message is delivered again and again and never arrives.
//! This module reads it through the server's JSON API instead, which carries headers as Base64.

use std::str::FromStr;

use async_nats::{
    HeaderName,
    jetstream::{self, consumer::PullConsumer},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use skep_protocol::CallId;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::{
    Error, Inbound, Result,
    inbound::published::{CONSUMER, derived_id},
};

/// Messages that one look reads at most.
pub(crate) const MAX_LOOKED_AT: usize = 1024;

/// A published message that cannot be taken up.
#[derive(Debug)]
pub struct UnreadablePublish {
    /// The last token of its subject; not necessarily a valid name.
    pub function: String,
    /// The id of the call that it would have become.
    pub call_id: CallId,
    pub payload: Bytes,
    pub reason: &'static str,
    sequence: u64,
}

#[derive(Deserialize)]
struct Answer {
    message: Option<Raw>,
}

/// A message in the form of `STREAM.MSG.GET`.
#[derive(Deserialize)]
pub(crate) struct Raw {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) hdrs: String,
    #[serde(default)]
    pub(crate) data: String,
}

impl Inbound {
    /// Changes when the connection for messages of other services was replaced: it may have met a message that it could not read.
    pub fn outside_connections(&self) -> watch::Receiver<i64> {
        self.nats.outside.connected.changes()
    }

    /// Looks for messages that cannot be read among those that were delivered and not acknowledged.
    ///
    /// Unless `always`, it looks only if some were delivered more than once.
    pub async fn unreadable(&self, always: bool) -> Result<Vec<UnreadablePublish>> {
        let mut stream = self.nats.streams.publish.clone();
        let made = stream.info().await.map_err(Error::unavailable)?.created;
        let consumer: PullConsumer = stream.get_consumer(CONSUMER).await.map_err(Error::unavailable)?;
        let info = consumer.cached_info();
        let mut found = Vec::new();
        if !always && info.num_redelivered == 0 {
            return Ok(found);
        }
        let name = self.nats.subjects.stream("PUBLISH");
        let mut next = info.ack_floor.stream_sequence + 1;
        for _ in 0..MAX_LOOKED_AT {
            if next > info.delivered.stream_sequence {
                break;
            }
            let subjects = self.nats.subjects.publish_all();
            let Some(raw) = raw_from(&self.nats.jetstream, &name, &subjects, next).await? else { break };
            next = raw.seq + 1;
            found.extend(unreadable(&raw, made));
        }
        Ok(found)
    }

    /// Removes one that is kept as a dead letter.
    pub async fn remove_unreadable(&self, message: &UnreadablePublish) -> Result<()> {
        // False says that another worker has removed it.
        self.nats.streams.publish.delete_message(message.sequence).await.map(drop).map_err(Error::unavailable)
    }
}

/// The first message of a stream, on these subjects, with this number or a later one.
pub(crate) async fn raw_from(
    context: &jetstream::Context,
    stream: &str,
    subjects: &str,
    sequence: u64,
) -> Result<Option<Raw>> {
    let query = json!({ "seq": sequence, "next_by_subj": subjects });
    let answer: Answer =
        context.request(format!("STREAM.MSG.GET.{stream}"), &query).await.map_err(Error::unavailable)?;
    Ok(answer.message)
}

fn unreadable(raw: &Raw, stream_made: OffsetDateTime) -> Option<UnreadablePublish> {
    let headers = STANDARD.decode(&raw.hdrs).unwrap_or_default();
    let reason = fault(&headers)?;
    Some(UnreadablePublish {
        function: raw.subject.rsplit('.').next().unwrap_or_default().to_owned(),
        call_id: derived_id(stream_made, raw.seq)?,
        payload: STANDARD.decode(&raw.data).unwrap_or_default().into(),
        reason,
        sequence: raw.seq,
    })
}

/// What the client cannot read in a block of headers, if there is anything.
pub(crate) fn fault(headers: &[u8]) -> Option<&'static str> {
    let Ok(text) = str::from_utf8(headers) else { return Some("its NATS headers are not UTF-8") };
    let mut may_continue = false;
    // The first line is the version, which the server writes itself.
    for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
        if may_continue && line.starts_with(char::is_whitespace) {
            continue;
        }
        let header = line.split_once(':');
        if header.is_none_or(|(name, value)| HeaderName::from_str(name).is_err() || value.trim().contains('\r')) {
            return Some("its NATS headers have a line that is not NAME: VALUE");
        }
        may_continue = true;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_reads_is_let_through_and_all_else_has_a_reason() {
        for good in
            ["", "NATS/1.0\r\n\r\n", "NATS/1.0\r\nA: b\r\nC:\r\n\r\n", "NATS/1.0 \r\n: a\nA: b\r\n  more\r\n\r\n"]
        {
            assert_eq!(fault(good.as_bytes()), None, "{good:?}");
        }
        for bad in ["NATS/1.0\r\nno colon\r\n\r\n", "NATS/1.0\r\nA: b\rc\r\n\r\n", "NATS/1.0\r\n A: b\r\n\r\n"] {
            assert!(fault(bad.as_bytes()).unwrap().contains("NAME: VALUE"), "{bad:?}");
        }
        assert!(fault(b"NATS/1.0\r\nA: \xff\r\n\r\n").unwrap().contains("UTF-8"));
    }
}
