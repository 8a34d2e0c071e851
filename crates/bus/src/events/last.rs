//! The newest event of a source.

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use skep_protocol::SourceName;

use super::list::{StoredEvent, read};
use crate::{Bus, Result, calls::scan::Looking};

impl Bus {
    /// The event of a source that was stored last, without its body, as far as one is kept.
    pub async fn last_event(&self, source: &SourceName) -> Result<Option<StoredEvent>> {
        let config = pull::OrderedConfig {
            filter_subject: self.subjects.events_of(source),
            deliver_policy: DeliverPolicy::Last,
            headers_only: true,
            ..pull::OrderedConfig::default()
        };
        let mut looking = Looking::open(&self.streams.events, config, 0).await?;
        let last = looking.next().await?;
        looking.end().await;
        Ok(last.and_then(read))
    }
}
