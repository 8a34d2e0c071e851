//! Removing what is over: finished calls from the invocation stream, and the oldest records and letters when there are more than their budgets have room for.
//!
//! An ack only moves a consumer's mark (deleting at each ack costs a sync each), so finished messages are purged together, up to the first message that any lane still has to finish.

use std::future::ready;

use async_nats::jetstream::{consumer::pull, stream::Stream};
use skep_protocol::LANES;

use crate::{Bus, Error, Result, lanes, records};

/// A stream that has outgrown its budget is cut back to this share, so that it is not cut at every look.
const CUT_TO: f64 = 0.9;

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

    /// Removes the oldest records and letters beyond their budgets; returns how many went. A record whose callback waits stays, and all that are younger.
    pub async fn keep_to_budgets(&self) -> Result<u64> {
        let calls = &self.streams.calls;
        let first_waiting = first_unfinished_of(calls, records::CALLBACKS, self.subjects.record_callbacks(), u64::MAX);
        let records = cut_back(calls, self.kept.records.bytes, first_waiting).await?;
        let letters = cut_back(&self.streams.dead, self.kept.letters.bytes, ready(Ok(u64::MAX))).await?;
        Ok(records + letters)
    }
}

/// Purges the oldest messages of a stream that is larger than its budget, at most up to `first_kept`.
async fn cut_back(stream: &Stream, budget: u64, first_kept: impl Future<Output = Result<u64>>) -> Result<u64> {
    let state = stream.get_info().await.map_err(Error::unavailable)?.state;
    if state.bytes <= budget || state.messages == 0 {
        return Ok(0);
    }
    // As if all were of one size; what is still too much goes with the next look.
    let share = 1.0 - budget as f64 * CUT_TO / state.bytes as f64;
    let count = (state.messages as f64 * share).ceil() as u64;
    let first = (state.first_sequence + count).min(first_kept.await?);
    if first <= state.first_sequence {
        return Ok(0);
    }
    Ok(stream.purge().sequence(first).await.map_err(Error::unavailable)?.purged)
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
