//! Orphaned bodies: the process that stored them ended before it stored the message, or before it deleted them.
//!
//! A body is deleted only if nothing that may still need it references it.
//! A call is written to its next place before it leaves the last one, but one check of all places can miss it, so there are several checks, some time apart.

use std::time::Duration;

use async_nats::{HeaderMap, jetstream::stream::Stream};
use futures_util::TryStreamExt;
use skep_protocol::{BodyKey, BodyKind, DeadKind};
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};

use crate::{Error, Housekeeping, Result, bodies::deletions, calls::records, client::clock, wire};

const MIN_CHECKS: usize = 3;
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// A list that takes longer ends with an error.
const LIST_TIMEOUT: Duration = Duration::from_secs(10);

impl Housekeeping {
    /// Deletes bodies that nothing references and that have not grown for this long; returns how many.
    pub async fn remove_orphaned_bodies(&self, unchanged_for: Duration) -> Result<u64> {
        let mut removed = 0;
        for kind in BodyKind::ALL {
            let stream = self.nats.streams.bodies(kind);
            for key in self.bodies_in(kind).await? {
                if is_older(made_at(&key), unchanged_for) && self.is_orphaned(stream, &key, unchanged_for).await? {
                    deletions::remove(stream, &self.nats.subjects, &key).await?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// All bodies of a kind, the oldest first.
    pub(crate) async fn bodies_in(&self, kind: BodyKind) -> Result<Vec<BodyKey>> {
        let stream = self.nats.streams.bodies(kind);
        if stream.get_info().await.map_err(Error::unavailable)?.state.messages == 0 {
            return Ok(Vec::new());
        }
        let listed = stream.info_with_subjects(self.nats.subjects.body_all(kind)).await.map_err(Error::unavailable)?;
        let subjects = listed.map_ok(|(subject, _)| subject).try_collect::<Vec<_>>();
        let subjects = timeout(LIST_TIMEOUT, subjects).await.map_err(Error::unavailable)?;
        let subjects = subjects.map_err(Error::unavailable)?;
        let mut keys: Vec<BodyKey> =
            subjects.iter().filter_map(|subject| self.nats.subjects.body_key(subject)).collect();
        keys.sort_by_key(|key| key.id);
        Ok(keys)
    }

    async fn is_orphaned(&self, stream: &Stream, key: &BodyKey, unchanged_for: Duration) -> Result<bool> {
        for look in 0..MIN_CHECKS {
            if look > 0 {
                sleep(CHECK_INTERVAL).await;
            }
            if self.is_needed(key).await? {
                return Ok(false);
            }
        }
        // A body that still grows is not referenced yet.
        let last =
            stream.direct_get_last_for_subject(self.nats.subjects.body(key)).await.map_err(Error::unavailable)?;
        Ok(is_older(Some(last.time), unchanged_for))
    }

    async fn is_needed(&self, key: &BodyKey) -> Result<bool> {
        let id = &key.call_id;
        let (queued, delayed, record) =
            tokio::try_join!(self.nats.find_queued(id), self.nats.find_delayed(id), self.nats.find_record(id))?;
        let waits = queued.iter().map(|queued| &queued.message).chain(delayed.as_ref());
        match key.kind {
            BodyKind::Request => {
                let mut waits = waits;
                Ok(waits.any(|message| names(&message.headers, key))
                    || self.dead_letter_names(key, DeadKind::Call).await?)
            }
            BodyKind::Result => match record {
                Some(record) => {
                    Ok(names(&record.headers, key) || self.dead_letter_names(key, DeadKind::Callback).await?)
                }
                // It may be the answer of an attempt that is made at this moment.
                None => Ok(waits.count() > 0 || self.dead_letter_names(key, DeadKind::Callback).await?),
            },
        }
    }

    pub(crate) async fn dead_letter_names(&self, key: &BodyKey, kind: DeadKind) -> Result<bool> {
        let subject = match kind {
            DeadKind::Call => self.nats.subjects.dead_by_id(&key.call_id),
            DeadKind::Callback => self.nats.subjects.dead_callback_by_id(&key.call_id),
        };
        let letter = records::find(&self.nats.streams.dead, subject).await?;
        Ok(letter.is_some_and(|letter| names(&letter.headers, key)))
    }
}

/// Whether a message names a body.
pub(crate) fn names(headers: &HeaderMap, key: &BodyKey) -> bool {
    wire::stored_body(headers).is_ok_and(|stored| stored.is_some_and(|stored| stored.key == *key))
}

fn made_at(key: &BodyKey) -> Option<OffsetDateTime> {
    let (seconds, _) = key.id.get_timestamp()?.to_unix();
    OffsetDateTime::from_unix_timestamp(seconds.try_into().ok()?).ok()
}

/// What has no age is taken to be old.
fn is_older(time: Option<OffsetDateTime>, age: Duration) -> bool {
    time.is_none_or(|time| time + age < clock::now())
}
