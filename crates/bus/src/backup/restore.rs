//! Restoring a backup into a server that has nothing of skep yet.

use std::time::Duration;

use async_nats::client::Request;
use bytes::Bytes;
use futures_util::TryStreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BackupError, BackupPart, BackupReader, MESSAGES, Operator, STREAM};
use crate::{Error, Result};

/// The last answer to a stream comes when all of it is on disk.
const PIECE_TIMEOUT: Duration = Duration::from_secs(120);

/// Bytes that are sent at a time. The server stores all that is packed in a piece before it asks for the next one, and
/// gives up after five seconds: half a megabyte may hold 30,000 messages that are alike, or a gigabyte of zeros.
const PIECE: usize = 8 * 1024;

#[derive(Deserialize)]
struct Begun {
    deliver_subject: String,
}

impl Operator {
    /// Removes the empty streams of roles that ran before, and refuses to if one holds anything.
    pub async fn make_room(&self) -> Result<(), BackupError> {
        let names = self.own_streams().await?;
        for name in &names {
            if let Some(what) = self.content_of(name).await? {
                return Err(BackupError::Refused(what));
            }
        }
        self.delete(&names).await
    }

    /// Removes all streams of skep, after a restore that failed.
    pub async fn undo(&self) -> Result<(), BackupError> {
        let names = self.own_streams().await?;
        self.delete(&names).await
    }

    async fn delete(&self, names: &[String]) -> Result<(), BackupError> {
        for name in names {
            let _: Value = self.api(format!("STREAM.DELETE.{name}"), &json!({})).await?;
        }
        Ok(())
    }

    /// Restores one part with this number of replicas.
    pub async fn restore(
        &self,
        part: &BackupPart,
        from: &mut dyn BackupReader,
        replicas: usize,
    ) -> Result<(), BackupError> {
        match part.kind.as_str() {
            STREAM => self.restore_stream(part, from, replicas).await,
            MESSAGES => self.put_messages(from).await,
            other => Err(BackupError::Refused(format!("the backup has a part of an unknown kind: {other}"))),
        }
    }

    /// Why nothing can be restored beside this stream.
    async fn content_of(&self, name: &str) -> Result<Option<String>> {
        let Some(state) = self.state_of(name).await? else { return Ok(None) };
        if state.messages == 0 {
            return Ok(None);
        }
        let not_empty = format!("{name} holds messages already: a backup is restored into an empty installation only");
        let Some(bucket) = name.strip_prefix("KV_") else { return Ok(Some(not_empty)) };
        if bucket == self.subjects.stream("CONTROLLER") {
            return Ok(Some("a controller runs: stop all roles of skep first".to_owned()));
        }
        // What a controller notes for itself begins with an underscore.
        let stream = self.jetstream.get_stream(name).await.map_err(Error::unavailable)?;
        let listed = stream.info_with_subjects(">").await.map_err(Error::unavailable)?;
        let subjects: Vec<(String, usize)> = listed.try_collect().await.map_err(Error::unavailable)?;
        let own = format!("$KV.{bucket}._");
        Ok(subjects.iter().any(|(subject, _)| !subject.starts_with(&own)).then_some(not_empty))
    }

    async fn restore_stream(
        &self,
        part: &BackupPart,
        from: &mut dyn BackupReader,
        replicas: usize,
    ) -> Result<(), BackupError> {
        let name = &part.name;
        if !self.is_own(name) {
            return Err(BackupError::Refused(format!("the backup has a stream {name}, which is none of this skep")));
        }
        let (mut config, state) = (part.about["config"].clone(), &part.about["state"]);
        config["num_replicas"] = json!(replicas);
        let request = json!({ "config": config, "state": state });
        let Begun { deliver_subject } = self.api(format!("STREAM.RESTORE.{name}"), &request).await?;
        while let Some(chunk) = from.next_chunk()? {
            for piece in pieces(chunk) {
                let answer = self.send_piece(&deliver_subject, piece).await?;
                check(name, &answer)?;
            }
        }
        // An empty one is the end.
        let answer = self.send_piece(&deliver_subject, Bytes::new()).await?;
        check(name, &answer)
    }

    async fn send_piece(&self, to: &str, piece: Bytes) -> Result<Bytes> {
        let request = Request::new().payload(piece).timeout(Some(PIECE_TIMEOUT));
        let answer = self.client.send_request(to.to_owned(), request).await.map_err(Error::unavailable)?;
        Ok(answer.payload)
    }
}

fn pieces(mut chunk: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || (!chunk.is_empty()).then(|| chunk.split_to(chunk.len().min(PIECE))))
}

/// What the server complains of.
fn check(stream: &str, answer: &[u8]) -> Result<(), BackupError> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    match answer["error"]["description"].as_str() {
        Some(error) => Err(BackupError::Refused(format!("NATS does not restore {stream}: {error}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_sent_in_pieces_that_are_the_chunk() {
        let chunk = Bytes::from_iter((0..2 * PIECE + 1).map(|n| n as u8));
        let sent: Vec<Bytes> = pieces(chunk.clone()).collect();
        assert_eq!(sent.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE, PIECE, 1]);
        assert_eq!(sent.concat(), chunk);
        assert_eq!(pieces(Bytes::new()).count(), 0);
    }
}
