//! Backup and restore of all streams and buckets, while the roles go on or before they begin.
//!
//! A stream is copied by the server's own snapshots, which keep the numbers and the times of messages and what consumers have finished.
//! Snapshots of several streams are not taken at the same time, so their order matters ([`order`], ADR 46).

mod copy;
mod later;
mod order;
mod pause;
mod restore;

use std::{io, time::Duration};

use async_nats::{
    Client,
    jetstream::{self, context::ContextBuilder, response::Response, stream::State},
};
use bytes::Bytes;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use skep_protocol::Subjects;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use self::{order::Order, pause::Pause};
use crate::{Error, Login, Permissions, Result, ServerUrls, client::servers};

/// The kinds of parts that this crate writes and reads.
const STREAM: &str = "stream";
const MESSAGES: &str = "messages";
/// Its user on a server.
pub const OPERATOR: &str = "skep-operator";
/// Nobody waits for a single answer, and a slow disk may take its time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const RECONNECT_DELAY: Duration = Duration::from_millis(100);
/// How often the queues are copied until no call has moved against the order of the copies.
const MAX_TRIES: u32 = 5;
/// Older servers refuse to delete messages of a stream while they copy it, so acknowledged work would stay there.
const OLDEST_SERVER: (u64, u64, u64) = (2, 12, 4);

/// One part of a backup: a stream, or messages that are stored again after it. Its chunks follow.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupPart {
    /// What it is; a caller may have kinds of its own.
    pub kind: String,
    /// The stream that it belongs to.
    pub name: String,
    /// What the reader of this kind needs beside its chunks.
    #[serde(default)]
    pub about: Value,
}

/// Where a backup is written to.
pub trait BackupWriter: Send {
    fn begin(&mut self, part: &BackupPart) -> io::Result<()>;
    fn write(&mut self, chunk: &[u8]) -> io::Result<()>;
    fn end(&mut self) -> io::Result<()>;
    /// The place between two parts, for [`Self::rewind`].
    fn mark(&mut self) -> io::Result<u64>;
    /// Forgets all parts since a mark.
    fn rewind(&mut self, mark: u64) -> io::Result<()>;
}

/// The chunks of a part of a backup, in their order.
pub trait BackupReader: Send {
    fn next_chunk(&mut self) -> io::Result<Option<Bytes>>;
}

#[derive(Debug, Error)]
pub enum BackupError {
    #[error(transparent)]
    Bus(#[from] Error),
    #[error("the backup file")]
    File(#[from] io::Error),
    /// What was found does not allow it.
    #[error("{0}")]
    Refused(String),
}

/// Somebody who may copy and restore the streams. It is no role: it makes no streams, and runs no calls.
pub struct Operator {
    client: Client,
    jetstream: jetstream::Context,
    subjects: Subjects,
}

impl Operator {
    /// Connects as a user with all rights, or with [`operator_permissions`].
    ///
    /// A server that does not answer yet is asked again until `patience` is over.
    pub async fn connect(
        servers: &ServerUrls,
        login: Option<&Login>,
        subjects: Subjects,
        patience: Duration,
    ) -> Result<Self> {
        let began = Instant::now();
        loop {
            let options = servers::options(servers, login).map_err(Error::unavailable)?;
            let options = options
                .name("skep operator")
                .custom_inbox_prefix(inbox(&subjects))
                .request_timeout(Some(ANSWER_TIMEOUT))
                .connection_timeout(ANSWER_TIMEOUT);
            match options.connect(servers.addresses()).await {
                Ok(client) => {
                    let jetstream =
                        ContextBuilder::new().timeout(ANSWER_TIMEOUT).ack_timeout(ANSWER_TIMEOUT).build(client.clone());
                    let operator = Self { client, jetstream, subjects };
                    operator.wait_until_ready(began + patience).await?;
                    return Ok(operator);
                }
                Err(error) if began.elapsed() >= patience => {
                    return Err(Error::Connect { url: servers.to_string(), waited: patience, source: error.into() });
                }
                Err(_) => sleep(RECONNECT_DELAY).await,
            }
        }
    }

    /// Waits until JetStream answers: a cluster that has just started has no leader yet.
    async fn wait_until_ready(&self, deadline: Instant) -> Result<()> {
        loop {
            match self.own_streams().await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => sleep(RECONNECT_DELAY).await,
            }
        }
    }

    /// The version of the server.
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Copies everything to a file, while calls come in and run.
    ///
    /// All that was accepted before the copy of the queues began is in it, once or more than once; the fences of calls make one call of it.
    pub async fn backup(&self, to: &mut dyn BackupWriter) -> Result<(), BackupError> {
        let (major, minor, patch) = OLDEST_SERVER;
        if !self.client.is_server_compatible(major as i64, minor as i64, patch as i64) {
            let found = self.server_version();
            return Err(BackupError::Refused(format!(
                "nats-server {found} does not delete messages while it copies their stream, so a running skep would \
                 keep acknowledged work: use nats-server {major}.{minor}.{patch} or newer"
            )));
        }
        let order = Order::of(&self.subjects, self.own_streams().await?);
        let mut ledger = 0;
        for name in &order.first {
            let copied = self.copy_stream(name, to).await?;
            if *name == self.subjects.stream("LEDGER") {
                ledger = copied.last_sequence;
            }
        }
        self.copy_queues(&order, to).await?;
        for name in &order.last {
            self.copy_stream(name, to).await?;
        }
        self.copy_later_notes(ledger, to).await
    }

    /// Copies what calls move between, again if one has moved against the order of the copies.
    async fn copy_queues(&self, order: &Order, to: &mut dyn BackupWriter) -> Result<(), BackupError> {
        let mark = to.mark()?;
        for _ in 0..MAX_TRIES {
            let removed = self.removed_dead_letters().await?;
            let pause = Pause::begin(self).await?;
            let copied = pause.hold(self.copy_places(order, to)).await;
            pause.end().await?;
            let (copied, was_kept) = copied?;
            copied?;
            for name in &order.ends {
                self.copy_stream(name, to).await?;
            }
            if was_kept && self.removed_dead_letters().await? == removed {
                return Ok(());
            }
            to.rewind(mark)?;
        }
        let reason = format!(
            "calls moved against the order of the copies {MAX_TRIES} times: queue-workers started, or dead letters \
             were sent again or removed, each time; try again when that is over"
        );
        Err(BackupError::Refused(reason))
    }

    async fn copy_places(&self, order: &Order, to: &mut dyn BackupWriter) -> Result<(), BackupError> {
        for name in &order.places {
            let copied = self.copy_stream(name, to).await?;
            if *name == self.subjects.stream("DELAYED") {
                self.copy_later_delayed(copied.last_sequence, to).await?;
            }
        }
        Ok(())
    }

    /// How many messages have left the stream of dead letters since it was made.
    async fn removed_dead_letters(&self) -> Result<u64> {
        let state = self.state_of(&self.subjects.stream("DEAD")).await?;
        Ok(state.map_or(0, |state| state.last_sequence - state.messages))
    }

    /// The names of skep's own streams that are there, those of buckets too.
    async fn own_streams(&self) -> Result<Vec<String>> {
        let names: Vec<String> = self.jetstream.stream_names().try_collect().await.map_err(Error::unavailable)?;
        Ok(names.into_iter().filter(|name| self.is_own(name)).collect())
    }

    fn is_own(&self, stream: &str) -> bool {
        stream.strip_prefix("KV_").unwrap_or(stream).starts_with(&self.subjects.stream(""))
    }

    async fn state_of(&self, stream: &str) -> Result<Option<State>> {
        match self.jetstream.get_stream(stream).await {
            Ok(stream) => Ok(Some(stream.cached_info().state.clone())),
            Err(error) if crate::streams::is_missing(error.kind()) => Ok(None),
            Err(error) => Err(Error::unavailable(error)),
        }
    }

    /// A request to JetStream's API.
    async fn api<T: DeserializeOwned>(&self, subject: String, request: &Value) -> Result<T> {
        match self.jetstream.request(subject, request).await.map_err(Error::unavailable)? {
            Response::Ok(answer) => Ok(answer),
            Response::Err { error } => Err(Error::unavailable(error)),
        }
    }
}

/// What a user needs for backups and restores, and no more.
pub fn operator_permissions(subjects: &Subjects) -> Permissions {
    let all = ["STREAM.NAMES", "STREAM.INFO.*", "STREAM.SNAPSHOT.*", "STREAM.RESTORE.*", "STREAM.DELETE.*"];
    let reads = ["STREAM.MSG.GET.*", "CONSUMER.INFO.*.*", "CONSUMER.PAUSE.*.*"];
    let mut publish: Vec<String> = all.iter().chain(&reads).map(|verb| format!("$JS.API.{verb}")).collect();
    publish.extend(["$JS.SNAPSHOT.>".to_owned()]);
    publish.extend([subjects.delayed_all(), subjects.removed_records(), subjects.brief_records()]);
    let subscribe = vec![format!("{}.>", inbox(subjects))];
    Permissions { publish, not_publish: Vec::new(), subscribe, not_subscribe: Vec::new() }
}

pub(crate) fn inbox(subjects: &Subjects) -> String {
    format!("_INBOX_{}_operator", subjects.prefix())
}
