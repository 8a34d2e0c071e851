//! Retention: purges finished calls from the stream of calls, and deletes the oldest records and dead letters beyond their budgets.
//!
//! An ack only moves the consumer forward, because a delete per ack would cost a sync each. Finished messages are purged together, up to the first message that any lane still has to finish.

use std::future::ready;

use async_nats::jetstream::{consumer::pull, stream::Stream};
use skep_protocol::{BodyKind, DeadKind, LANES};

use crate::{
    DeadLetters, Error, Housekeeping, Result, bodies::deletions, bodies::orphans, calls::records, events::ROUTE,
    queue::lanes, wire,
};

/// A stream that has outgrown its budget is cut back to this share, so that it is not cut at every look.
const CUT_TO: f64 = 0.9;

impl Housekeeping {
    /// Purges what all lanes have finished; returns how many messages went.
    pub async fn purge_finished(&self) -> Result<u64> {
        let state = self.nats.streams.invoke.get_info().await.map_err(Error::unavailable)?.state;
        if state.messages == 0 {
            return Ok(0);
        }
        let mut first_unfinished = state.last_sequence + 1;
        for lane in 0..LANES {
            let (consumer, subject) = (lanes::lane_name(lane), self.nats.subjects.invoke_lane(lane));
            let of_lane = first_unfinished_of(&self.nats.streams.invoke, &consumer, subject, state.last_sequence + 1);
            first_unfinished = first_unfinished.min(of_lane.await?);
        }
        if first_unfinished <= state.first_sequence {
            return Ok(0);
        }
        // The server removes what is below this sequence and keeps the sequence itself.
        purge(&self.nats.streams.invoke, first_unfinished).await
    }

    /// Removes the oldest records, dead letters and events beyond their budgets; returns how many went. A record whose callback waits stays, an event that is not routed stays, and all that are younger.
    pub async fn keep_to_budgets(&self) -> Result<u64> {
        let calls = &self.nats.streams.calls;
        let first_waiting =
            first_unfinished_of(calls, records::CALLBACKS, self.nats.subjects.record_callbacks(), u64::MAX);
        let mut removed = 0;
        if let Some(first) = first_within(calls, self.nats.kept.records.bytes, first_waiting).await? {
            // An audit that misses an older record has to know why.
            if let Some(kept) = records::find_after(calls, self.nats.subjects.record_all(), first - 1).await? {
                self.nats.ledger.note_removed(kept.time).await?;
            }
            removed += purge(calls, first).await?;
        }
        removed += self.cut_back_large_results().await?;
        let letters = &self.nats.streams.dead;
        if let Some(first) = first_within(letters, self.nats.kept.letters.bytes, ready(Ok(u64::MAX))).await? {
            removed += purge(letters, first).await?;
        }
        let events = &self.nats.streams.events;
        let first_waiting = first_unfinished_of(events, ROUTE, self.nats.subjects.event_all(), u64::MAX);
        if let Some(first) = first_within(events, self.nats.kept.event_bytes, first_waiting).await? {
            removed += purge(events, first).await?;
        }
        Ok(removed)
    }

    /// Removes the oldest dead letters whose large bodies take more than the budget of dead letters; the bodies are found to be named by nothing then.
    pub async fn keep_dead_bodies_to_budget(&self) -> Result<u64> {
        let budget = self.nats.kept.letters.bytes;
        if self.nats.streams.requests.get_info().await.map_err(Error::unavailable)?.state.bytes <= budget {
            return Ok(0);
        }
        let mut letters = Vec::new();
        for key in self.bodies_in(BodyKind::Request).await? {
            let letter = records::find(&self.nats.streams.dead, self.nats.subjects.dead_by_id(&key.call_id)).await?;
            let stored = letter.as_ref().and_then(|letter| wire::stored_body(&letter.headers).ok().flatten());
            if let (Some(letter), Some(stored)) = (letter, stored.filter(|stored| stored.key == key)) {
                letters.push((letter.sequence, stored.length));
            }
        }
        let beyond = oldest_beyond(budget, letters);
        for sequence in &beyond {
            DeadLetters::over(&self.nats).remove(*sequence).await?;
        }
        Ok(beyond.len() as u64)
    }

    /// Removes the oldest records that have a large result, while these take what other records have left of the budget.
    async fn cut_back_large_results(&self) -> Result<u64> {
        let bytes = async |stream: &Stream| Ok(stream.get_info().await.map_err(Error::unavailable)?.state.bytes);
        let room = self.nats.kept.records.bytes.saturating_sub(bytes(&self.nats.streams.calls).await?);
        if bytes(&self.nats.streams.results).await? <= room {
            return Ok(0);
        }
        let waiting = self.nats.subjects.record_callbacks();
        let first_waiting =
            first_unfinished_of(&self.nats.streams.calls, records::CALLBACKS, waiting, u64::MAX).await?;
        let mut removed = 0;
        for key in self.bodies_in(BodyKind::Result).await? {
            // One that is being stored has no record, and that of an undelivered callback is kept with its dead letter.
            let record =
                self.nats.find_record(&key.call_id).await?.filter(|record| orphans::names(&record.headers, &key));
            let Some(record) = record.filter(|record| record.sequence < first_waiting) else { continue };
            if self.dead_letter_names(&key, DeadKind::Callback).await? {
                continue;
            }
            self.nats.ledger.note_removed(record.time).await?;
            self.nats.remove_message("CALLS", record.sequence).await?;
            deletions::remove(&self.nats.streams.results, &self.nats.subjects, &key).await?;
            removed += 1;
            if bytes(&self.nats.streams.results).await? <= room {
                break;
            }
        }
        Ok(removed)
    }
}

/// Of a stream that is larger than its budget the first message that is to stay, at most `first_kept`; `None` if all are.
async fn first_within(
    stream: &Stream,
    budget: u64,
    first_kept: impl Future<Output = Result<u64>>,
) -> Result<Option<u64>> {
    let state = stream.get_info().await.map_err(Error::unavailable)?.state;
    let Some(count) = count_beyond(budget, state.bytes, state.messages) else { return Ok(None) };
    let first = (state.first_sequence + count).min(first_kept.await?);
    Ok((first > state.first_sequence).then_some(first))
}

/// How many of the oldest messages go so that the rest keeps well to its budget; `None` if all fit.
fn count_beyond(budget: u64, bytes: u64, messages: u64) -> Option<u64> {
    if bytes <= budget || messages == 0 {
        return None;
    }
    // As if all were of one size; what is still too much goes with the next look.
    let share = 1.0 - budget as f64 * CUT_TO / bytes as f64;
    Some((messages as f64 * share).ceil() as u64)
}

/// Of dead letters with the lengths of their large bodies, the oldest that go so that the bodies of the rest keep to the budget.
fn oldest_beyond(budget: u64, mut letters: Vec<(u64, u64)>) -> Vec<u64> {
    letters.sort_unstable();
    let mut bytes: u64 = letters.iter().map(|(_, length)| length).sum();
    let mut beyond = Vec::new();
    for (sequence, length) in letters {
        if bytes <= budget {
            break;
        }
        bytes -= length;
        beyond.push(sequence);
    }
    beyond
}

/// Removes what is before a message.
async fn purge(stream: &Stream, first: u64) -> Result<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_within_its_budget_keeps_all() {
        assert_eq!([count_beyond(100, 100, 10), count_beyond(0, 0, 0), count_beyond(0, 10, 0)], [None; 3]);
    }

    #[test]
    fn a_stream_beyond_its_budget_is_cut_below_it_so_that_it_is_not_cut_at_every_look() {
        // 1000 messages of one size, 20 % too many of them.
        assert_eq!(count_beyond(100_000, 120_000, 1000), Some(250));
        assert_eq!(count_beyond(0, 120_000, 1000), Some(1000), "nothing may be kept");
        assert_eq!(count_beyond(119_999, 120_000, 1), Some(1), "one message that does not fit goes");
    }

    #[test]
    fn the_oldest_dead_letters_go_first_and_no_more_than_must() {
        let letters = vec![(9, 50), (3, 10), (7, 40)];
        assert_eq!(oldest_beyond(100, letters.clone()), [0; 0]);
        assert_eq!(oldest_beyond(90, letters.clone()), [3]);
        assert_eq!(oldest_beyond(89, letters.clone()), [3, 7]);
        assert_eq!(oldest_beyond(0, letters), [3, 7, 9]);
    }
}
