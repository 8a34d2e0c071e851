//! Streams that skep makes of subjects which no other stream stores; only the controller does.

use async_nats::jetstream::{
    context::{CreateStreamErrorKind, GetStreamErrorKind},
    stream::{Config, DiscardPolicy, RetentionPolicy},
};
use futures_util::TryStreamExt;
use skep_protocol::SourceName;
use tracing::info;

use crate::{Error, Result, Topics};

/// Bytes of messages that are no events yet; the server refuses what comes beyond.
const MAX_BYTES: i64 = 256 << 20;
/// NATS's codes: the subjects are those of another stream, they cannot be those of any, and the stream is not there.
const OVERLAPS: u64 = 10065;
const UNUSABLE: u64 = 10052;
const NOT_FOUND: usize = 404;

impl Topics {
    /// Makes the stream of a source that captures, or has it store the subjects that are declared now.
    pub async fn capture(&self, source: &SourceName, subjects: &[String]) -> Result<()> {
        let name = self.nats.subjects.captured(source);
        let config = Config {
            name: name.clone(),
            description: Some(format!("messages of source {source}")),
            subjects: subjects.to_vec(),
            // What has become an event goes.
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            max_bytes: MAX_BYTES,
            num_replicas: self.nats.kept.replicas,
            ..Config::default()
        };
        match self.nats.jetstream.create_or_update_stream(config).await {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                CreateStreamErrorKind::JetStream(error) if error.error_code().0 == OVERLAPS => {
                    let message = format!(
                        "another stream stores these subjects already ({}): name that stream instead of capture",
                        subjects.join(", ")
                    );
                    Error::Refused { status: 400, message }
                }
                CreateStreamErrorKind::JetStream(error) if error.code() == 400 || error.error_code().0 == UNUSABLE => {
                    Error::Refused { status: 400, message: format!("NATS refuses a stream of these subjects: {error}") }
                }
                _ => Error::unavailable(error),
            }),
        }
    }

    /// Removes the stream of a source that captures no more; `false` if there is none.
    pub async fn release(&self, source: &SourceName) -> Result<bool> {
        let name = self.nats.subjects.captured(source);
        match self.nats.jetstream.get_stream(&name).await {
            Ok(_) => {}
            Err(error) => {
                return match error.kind() {
                    GetStreamErrorKind::JetStream(error) if error.code() == NOT_FOUND => Ok(false),
                    _ => Err(Error::unavailable(error)),
                };
            }
        }
        self.nats.jetstream.delete_stream(&name).await.map_err(Error::unavailable)?;
        info!(%source, stream = name, "the stream of a source is removed");
        Ok(true)
    }

    /// The sources that there are streams of.
    pub async fn capturing(&self) -> Result<Vec<SourceName>> {
        let names: Vec<String> = self.nats.jetstream.stream_names().try_collect().await.map_err(Error::unavailable)?;
        Ok(names.iter().filter_map(|name| self.nats.subjects.source_of_captured(name)).collect())
    }
}
