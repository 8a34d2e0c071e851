//! Removing finished calls from the invocation stream.
//!
//! An ack only moves a consumer's mark (deleting at each ack costs a sync each), so finished messages are purged together, up to the first message that any lane still has to finish.

use async_nats::jetstream::{consumer::pull, stream::DirectGetErrorKind};
use skep_protocol::LANES;

use crate::{Bus, Error, Result, lanes};

impl Bus {
    /// Purges what all lanes have finished; returns how many messages went.
    pub async fn purge_finished(&self) -> Result<u64> {
        let state = self.streams.invoke.get_info().await.map_err(Error::unavailable)?.state;
        if state.messages == 0 {
            return Ok(0);
        }
        let mut first_unfinished = state.last_sequence + 1;
        for lane in 0..LANES {
            first_unfinished = first_unfinished.min(self.first_unfinished(lane, state.last_sequence + 1).await?);
        }
        if first_unfinished <= state.first_sequence {
            return Ok(0);
        }
        // The server removes what is below this sequence and keeps the sequence itself.
        let purged = self.streams.invoke.purge().sequence(first_unfinished).await.map_err(Error::unavailable)?;
        Ok(purged.purged)
    }

    /// The sequence of the first message that a lane has not finished; `end` when it has finished all.
    async fn first_unfinished(&self, lane: u32, end: u64) -> Result<u64> {
        let info = match self.streams.invoke.get_consumer::<pull::Config>(&lanes::lane_name(lane)).await {
            Ok(consumer) => consumer.cached_info().clone(),
            // A lane that no worker has opened yet may hold anything.
            Err(_) => return Ok(0),
        };
        if info.num_pending == 0 && info.num_ack_pending == 0 {
            return Ok(end);
        }
        let after = info.ack_floor.stream_sequence + 1;
        match self.streams.invoke.direct_get_next_for_subject(self.subjects.invoke_lane(lane), Some(after)).await {
            Ok(message) => Ok(message.sequence),
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => Ok(end),
            Err(error) => Err(Error::unavailable(error)),
        }
    }
}
