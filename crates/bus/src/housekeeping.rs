//! Removing what is over: finished calls from the invocation stream, and the oldest records where they take more room than they may.
//!
//! An ack only moves a consumer's mark (deleting at each ack costs a sync each), so finished messages are purged together, up to the first message that any lane still has to finish.

use async_nats::jetstream::{consumer::pull, stream::Stream};
use skep_protocol::LANES;

use crate::{Bus, Error, Result, lanes, records};

impl Bus {
    /// Purges what all lanes have finished; returns how many messages went.
    pub async fn purge_finished(&self) -> Result<u64> {
        let state = self.streams.invoke.get_info().await.map_err(Error::unavailable)?.state;
        if state.messages == 0 {
            return Ok(0);
        }
        let mut first_unfinished = state.last_sequence + 1;
        for lane in 0..LANES {
            let (consumer, subject) = (lanes::lane_name(lane), self.subjects.invoke_lane(lane));
            let of_lane = first_unfinished_of(&self.streams.invoke, &consumer, subject, state.last_sequence + 1);
            first_unfinished = first_unfinished.min(of_lane.await?);
        }
        if first_unfinished <= state.first_sequence {
            return Ok(0);
        }
        // The server removes what is below this sequence and keeps the sequence itself.
        let purged = self.streams.invoke.purge().sequence(first_unfinished).await.map_err(Error::unavailable)?;
        Ok(purged.purged)
    }

    /// Removes the oldest records until they take no more than so many bytes, but none whose callback still waits; returns how many went.
    pub async fn trim_records(&self, most_bytes: u64) -> Result<u64> {
        let state = self.streams.calls.get_info().await.map_err(Error::unavailable)?.state;
        if state.bytes <= most_bytes {
            return Ok(0);
        }
        // A tenth more goes than must, so that it is not done for each record that comes.
        let kept = u128::from(state.messages) * u128::from(most_bytes - most_bytes / 10) / u128::from(state.bytes);
        let end = state.last_sequence + 1;
        let first_kept = end.saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX));
        let subject = self.subjects.record_callbacks();
        let first_waiting = first_unfinished_of(&self.streams.calls, records::CALLBACKS, subject, end).await?;
        let first_kept = first_kept.min(first_waiting);
        if first_kept <= state.first_sequence {
            return Ok(0);
        }
        let purged = self.streams.calls.purge().sequence(first_kept).await.map_err(Error::unavailable)?;
        Ok(purged.purged)
    }
}

/// The sequence of the first message that a consumer has not finished; `end` when it has finished all.
async fn first_unfinished_of(stream: &Stream, consumer: &str, subject: String, end: u64) -> Result<u64> {
    let info = match stream.get_consumer::<pull::Config>(consumer).await {
        Ok(consumer) => consumer.cached_info().clone(),
        // What no worker has opened yet may hold anything.
        Err(_) => return Ok(0),
    };
    if info.num_pending == 0 && info.num_ack_pending == 0 {
        return Ok(end);
    }
    let message = records::find_after(stream, subject, info.ack_floor.stream_sequence).await?;
    Ok(message.map_or(end, |message| message.sequence))
}
