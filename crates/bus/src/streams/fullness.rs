//! How full the streams are that refuse messages when they are full, and the storage that the server gives.

use async_nats::jetstream::stream::DiscardPolicy;

use crate::{Error, Housekeeping, Result, permissions};

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
        let account = self.nats.jetstream.query_account().await.map_err(Error::unavailable)?;
        let mut found = Vec::new();
        if let Some(limit) = account.limits.max_storage.and_then(positive) {
            found.push(Fullness { what: "storage".to_owned(), bytes: account.storage, limit });
        }
        for name in permissions::streams(&self.nats.subjects) {
            // One that is not there is not full.
            let Ok(stream) = self.nats.jetstream.get_stream(&name).await else { continue };
            let info = stream.cached_info();
            if let (DiscardPolicy::New, Some(limit)) = (info.config.discard, positive(info.config.max_bytes)) {
                found.push(Fullness { what: name, bytes: info.state.bytes, limit });
            }
        }
        Ok(found)
    }
}

fn positive(limit: i64) -> Option<u64> {
    u64::try_from(limit).ok().filter(|limit| *limit > 0)
}
