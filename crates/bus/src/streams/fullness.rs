//! How full the streams are that refuse messages when they are full, and the storage that the server gives.

use crate::{Housekeeping, Result};

/// Something that has a limit, and how much of it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fullness {
    /// The name of a stream, or `storage` for all that the server stores for skep's account.
    pub what: String,
    pub bytes: u64,
    pub limit: u64,
}

impl Housekeeping {
    /// What has a limit, and is refused more at it; a stream that drops its oldest messages instead may be full.
    pub async fn fullness(&self) -> Result<Vec<Fullness>> {
        let storage = self.storage().await?;
        let streams = self.stream_usage().await.into_iter().filter(|stream| stream.refuses);
        let streams = streams.filter_map(|one| Some(Fullness { what: one.name, bytes: one.bytes, limit: one.limit? }));
        Ok(storage.into_iter().chain(streams).collect())
    }
}

pub(super) fn positive(limit: i64) -> Option<u64> {
    u64::try_from(limit).ok().filter(|limit| *limit > 0)
}
