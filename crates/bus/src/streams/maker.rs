//! Makes streams, and checks that the server has them as they are wanted.

use async_nats::jetstream::{
    self,
    context::GetStreamErrorKind,
    kv::{self, Store},
    stream::{Config, Stream},
};
use skep_protocol::Subjects;

use crate::{Error, Result, Role, client::clock};

/// NATS's code for a stream that is not there.
const NOT_FOUND: usize = 404;

pub(super) struct Maker<'bus> {
    pub(super) jetstream: &'bus jetstream::Context,
    pub(super) role: Role,
}

impl Maker<'_> {
    /// Makes a stream; only the controller changes one that is there. A server older than a feature drops its field silently, so what comes back is compared.
    pub(super) async fn stream(&self, wanted: Config) -> Result<Stream> {
        if self.role.changes_streams() {
            self.jetstream.create_or_update_stream(wanted.clone()).await.map_err(Error::unavailable)?;
        }
        let stream = match self.jetstream.get_stream(&wanted.name).await {
            Err(error) if is_missing(error.kind()) => {
                self.jetstream.create_stream(wanted.clone()).await.map_err(Error::unavailable)?
            }
            found => found.map_err(Error::unavailable)?,
        };
        compare(&wanted, &stream.cached_info().config)?;
        Ok(stream)
    }

    /// The same for a bucket.
    pub(super) async fn bucket(&self, wanted: kv::Config) -> Result<Store> {
        if self.role.changes_streams() {
            return self.jetstream.create_or_update_key_value(wanted).await.map_err(Error::unavailable);
        }
        match self.jetstream.get_key_value(&wanted.bucket).await {
            Ok(bucket) => Ok(bucket),
            // It is missing, or the server is away.
            Err(_) => self.jetstream.create_key_value(wanted).await.map_err(Error::unavailable),
        }
    }

    /// Notes, before records are kept for longer, that older ones are gone; the audit does not miss them then.
    pub(super) async fn note_longer_age(&self, calls: &Config, subjects: &Subjects) -> Result<()> {
        if !self.role.changes_streams() {
            return Ok(());
        }
        let before = self.jetstream.get_stream(&calls.name).await.map(|stream| stream.cached_info().config.max_age);
        if before.is_ok_and(|age| age < calls.max_age) {
            let removed = (clock::now().unix_timestamp() + 1).to_string();
            let noted = self.jetstream.publish(subjects.removed_records(), removed.into()).await;
            noted.map_err(Error::unavailable)?.await.map_err(Error::unavailable)?;
        }
        Ok(())
    }
}

pub(crate) fn is_missing(error: GetStreamErrorKind) -> bool {
    matches!(error, GetStreamErrorKind::JetStream(error) if error.code() == NOT_FOUND)
}

fn compare(wanted: &Config, found: &Config) -> Result<()> {
    let differs = |field: &'static str, found: String, wanted_value: String| {
        if found == wanted_value {
            return Ok(());
        }
        Err(Error::Differs { stream: wanted.name.clone(), field, found, wanted: wanted_value })
    };
    differs("retention", format!("{:?}", found.retention), format!("{:?}", wanted.retention))?;
    differs("discard", format!("{:?}", found.discard), format!("{:?}", wanted.discard))?;
    let per_subject = |config: &Config| format!("{} {}", config.discard_new_per_subject, config.allow_atomic_publish);
    differs("discard_new_per_subject and allow_atomic", per_subject(found), per_subject(wanted))?;
    let ttl = |config: &Config| config.allow_message_ttl.to_string();
    differs("allow_msg_ttl", ttl(found), ttl(wanted))?;
    let schedules = |config: &Config| config.allow_message_schedules.to_string();
    differs("allow_msg_schedules", schedules(found), schedules(wanted))?;
    differs("subjects", format!("{:?}", found.subjects), format!("{:?}", wanted.subjects))
}
