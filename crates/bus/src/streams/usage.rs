//! What the streams take, for the metrics, and what waits in them for a person or a receiver.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::{consumer::pull, stream::DiscardPolicy};
use futures_util::TryStreamExt;
use skep_protocol::{DeadKind, StreamUsage};

use crate::{
    Error, Housekeeping, Result,
    calls::records,
    client::clock,
    permissions,
    streams::fullness::{Fullness, positive},
};

/// Dead letters are counted by function up to here. With more, the list of their subjects is too long to be asked for again and again.
const MAX_LETTERS: u64 = 20_000;

/// How many dead letters there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetterCounts {
    /// By the function as the subject has it, and by their kind.
    ByFunction(HashMap<(String, DeadKind), u64>),
    /// There are too many to count them by function.
    All(u64),
}

/// Callbacks that are not delivered yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitingCallbacks {
    pub waiting: u64,
    /// How long ago the call of the first one ended.
    pub oldest: Duration,
}

impl Housekeeping {
    /// What each stream takes; one that is not there is left out.
    pub async fn stream_usage(&self) -> Vec<StreamUsage> {
        let mut found = Vec::new();
        for name in permissions::streams(&self.nats.subjects) {
            let Ok(stream) = self.nats.jetstream.get_stream(&name).await else { continue };
            let info = stream.cached_info();
            let own = positive(info.config.max_bytes).map(|limit| (limit, info.config.discard == DiscardPolicy::New));
            let limit = own.or_else(|| self.budget_of(&name));
            found.push(StreamUsage {
                name,
                messages: info.state.messages,
                bytes: info.state.bytes,
                limit: limit.map(|(bytes, _)| bytes),
                refuses: limit.is_some_and(|(_, refuses)| refuses),
            });
        }
        found
    }

    /// What the server stores for skep's account, if that has a limit.
    pub async fn storage(&self) -> Result<Option<Fullness>> {
        let account = self.nats.jetstream.query_account().await.map_err(Error::unavailable)?;
        let limit = account.limits.max_storage.and_then(positive);
        Ok(limit.map(|limit| Fullness { what: "storage".to_owned(), bytes: account.storage, limit }))
    }

    /// How many dead letters are kept.
    pub async fn dead_letters(&self) -> Result<u64> {
        Ok(self.nats.streams.dead.get_info().await.map_err(Error::unavailable)?.state.messages)
    }

    /// Dead letters, by function if they are not too many.
    pub async fn dead_letter_counts(&self) -> Result<DeadLetterCounts> {
        let (dead, subjects) = (&self.nats.streams.dead, &self.nats.subjects);
        let messages = self.dead_letters().await?;
        if messages > MAX_LETTERS {
            return Ok(DeadLetterCounts::All(messages));
        }
        let mut counts = HashMap::new();
        let all = subjects.dead_all();
        let mut found = dead.info_with_subjects(&all).await.map_err(Error::unavailable)?;
        while let Some((subject, count)) = found.try_next().await.map_err(Error::unavailable)? {
            let Some(named) = subject.strip_prefix(all.trim_end_matches('>')) else { continue };
            let mut tokens = named.split('.');
            let function = tokens.next().unwrap_or_default().to_owned();
            let kind = if tokens.nth(1).is_some() { DeadKind::Callback } else { DeadKind::Call };
            *counts.entry((function, kind)).or_default() += count as u64;
        }
        Ok(DeadLetterCounts::ByFunction(counts))
    }

    /// Callbacks that wait for their first try, or for another one.
    pub async fn waiting_callbacks(&self) -> Result<WaitingCallbacks> {
        let calls = &self.nats.streams.calls;
        // Before a worker has opened it, nothing waits.
        let Ok(consumer) = calls.get_consumer::<pull::Config>(records::CALLBACKS).await else {
            return Ok(WaitingCallbacks::default());
        };
        let info = consumer.cached_info();
        let waiting = info.num_pending + info.num_ack_pending as u64;
        if waiting == 0 {
            return Ok(WaitingCallbacks::default());
        }
        let subject = self.nats.subjects.record_callbacks();
        let first = records::find_after(calls, subject, info.ack_floor.stream_sequence).await?;
        let oldest = first.and_then(|first| (clock::now() - first.time).try_into().ok()).unwrap_or_default();
        Ok(WaitingCallbacks { waiting, oldest })
    }

    /// What skep itself sees to, where the server has no limit, and whether more is refused then.
    fn budget_of(&self, stream: &str) -> Option<(u64, bool)> {
        let (kept, subjects) = (&self.nats.kept, &self.nats.subjects);
        let budgets = [
            ("CALLS", kept.records.bytes, false),
            ("DEAD", kept.letters.bytes, false),
            ("EVENTS", kept.event_bytes, false),
            ("REQUESTS", kept.bodies, true),
        ];
        let (_, bytes, refuses) = budgets.into_iter().find(|(name, ..)| subjects.stream(name) == stream)?;
        Some((bytes, refuses))
    }
}
