//! Copying one stream by a snapshot of the server.

use std::time::Duration;

use async_nats::jetstream::stream::State;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{BackupError, BackupPart, BackupWriter, Operator, STREAM};
use crate::{Error, Result};

/// Bytes of one message of a snapshot; any server takes it.
const CHUNK: usize = 512 * 1024;
/// A server that sends nothing for longer has stopped.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(60);

/// How often one stream is copied before the backup fails, and the time in between.
const MAX_COPIES: u32 = 5;
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// Streams whose consumers say what is finished. Those of others are readers, which come and go.
const WITH_CONSUMERS: [&str; 6] = ["INVOKE", "BACKLOG", "DELAYED", "CALLS", "EVENTS", "PUBLISH"];

#[derive(Deserialize)]
struct Snapshot {
    config: Value,
    state: Value,
}

impl Operator {
    /// Copies a stream, with its consumers if they say what is finished; returns its state when the copy began.
    ///
    /// It is tried again, because a cluster that has just lost a server has no leader of the stream for a moment.
    pub(super) async fn copy_stream(&self, name: &str, to: &mut dyn BackupWriter) -> Result<State, BackupError> {
        let mark = to.mark()?;
        for _ in 1..MAX_COPIES {
            match self.copy_once(name, to).await {
                Err(BackupError::Bus(_)) => {
                    to.rewind(mark)?;
                    sleep(RETRY_DELAY).await;
                }
                copied => return copied,
            }
        }
        self.copy_once(name, to).await
    }

    async fn copy_once(&self, name: &str, to: &mut dyn BackupWriter) -> Result<State, BackupError> {
        let inbox = self.client.new_inbox();
        let mut chunks = self.client.subscribe(inbox.clone()).await.map_err(Error::unavailable)?;
        let no_consumers = !self.keeps_consumers(name);
        let request =
            json!({ "deliver_subject": inbox, "chunk_size": CHUNK, "no_consumers": no_consumers, "jsck": false });
        let Snapshot { config, state } = self.api(format!("STREAM.SNAPSHOT.{name}"), &request).await?;
        let copied = serde_json::from_value(state.clone()).map_err(Error::unavailable)?;
        let about = json!({ "config": config, "state": state });
        to.begin(&BackupPart { kind: STREAM.to_owned(), name: name.to_owned(), about })?;
        loop {
            let chunk = timeout(CHUNK_TIMEOUT, chunks.next()).await.map_err(Error::unavailable)?;
            let chunk = chunk.ok_or_else(|| Error::unavailable("the connection is closed"))?;
            if chunk.payload.is_empty() {
                match chunk.status {
                    // Older servers say nothing.
                    None => break,
                    Some(status) if status.is_success() => break,
                    Some(status) => {
                        let reason = chunk.description.unwrap_or_default();
                        return Err(Error::unavailable(format!("the copy of {name} ended: {status} {reason}")).into());
                    }
                }
            }
            to.write(&chunk.payload)?;
            // The answer asks for more.
            if let Some(reply) = chunk.reply {
                self.client.publish(reply, "".into()).await.map_err(Error::unavailable)?;
            }
        }
        to.end()?;
        Ok(copied)
    }

    fn keeps_consumers(&self, name: &str) -> bool {
        WITH_CONSUMERS.iter().any(|stream| self.subjects.stream(stream) == name)
            || name.starts_with(&self.subjects.stream("TOPIC_"))
    }
}
