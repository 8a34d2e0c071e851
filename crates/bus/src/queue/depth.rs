//! How many calls wait for a function, and since when: in its lanes, and in its backlog.
//!
//! If a lane is empty, one request answers for all of its functions.

use std::{collections::HashMap, time::Duration};

use async_nats::{
    StatusCode,
    jetstream::{
        consumer::{AckPolicy, DeliverPolicy, pull},
        context::ConsumerInfoErrorKind,
        stream::Stream,
    },
};
use serde_json::json;
use skep_protocol::{FunctionName, Waiting, lanes_of};
use tokio::time::timeout;

use crate::{
    Connection, Error, QueueDepth, Queues, Result,
    calls::{
        lookup::{LEFT, NOT_FOUND},
        records,
    },
    client::{clock, connect::REQUEST_TIMEOUT},
    queue::{backlog::Backlog, lanes, parked},
};

/// A consumer that was created to count expires after this time, if it could not be deleted.
const COUNTER_TTL: Duration = Duration::from_secs(5);

/// What waits in all.
pub struct Queued {
    pub bytes: u64,
    /// Calls that wait for their time, or for another attempt.
    pub delayed: u64,
}

/// What waits for some functions.
pub struct Waits {
    pub functions: HashMap<FunctionName, Waiting>,
    /// Others, for which something waits too.
    pub others: Vec<FunctionName>,
}

impl QueueDepth {
    /// What waits for these functions; what workers have taken from a backlog and not finished is part of it.
    pub async fn waiting(&self, functions: &[FunctionName]) -> Result<Waits> {
        self.count(functions, |backlog| (backlog.waiting + backlog.held, 0)).await
    }

    /// What waits for these functions, and what no worker has taken.
    pub async fn untaken(&self, functions: &[FunctionName]) -> Result<Waits> {
        self.count(functions, |backlog| (backlog.waiting, backlog.handed_out)).await
    }

    /// `of` says how many calls of a backlog count, and behind which place they are.
    async fn count(&self, functions: &[FunctionName], of: impl Fn(&Backlog) -> (u64, u64)) -> Result<Waits> {
        let (backlogs, _) = Queues::over(&self.nats).backlogs().await?;
        let mut backlogs: HashMap<FunctionName, (u64, u64)> =
            backlogs.into_iter().map(|backlog| (backlog.function.clone(), of(&backlog))).collect();
        let mut lanes = HashMap::new();
        let mut found = HashMap::new();
        for function in functions {
            let mut waiting = Waiting::default();
            let (depth, behind) = backlogs.remove(function).unwrap_or_default();
            if depth > 0 {
                let subject = self.nats.subjects.backlog_of(function);
                let (age, bytes) = self.first_waits(&self.nats.streams.backlog, subject, behind).await?;
                waiting = waiting.and(depth, age, bytes);
            }
            for lane in lanes_of(function) {
                let handed_out = match lanes.get(&lane) {
                    Some(handed_out) => *handed_out,
                    None => *lanes.entry(lane).or_insert(self.handed_out(lane).await?),
                };
                let Some(handed_out) = handed_out else { continue };
                let subject = self.nats.subjects.invoke_of_lane(lane, function);
                let depth = self.count_behind(subject.clone(), handed_out).await?;
                if depth > 0 {
                    let (age, bytes) = self.first_waits(&self.nats.streams.invoke, subject, handed_out).await?;
                    waiting = waiting.and(depth, age, bytes);
                }
            }
            found.insert(function.clone(), waiting);
        }
        backlogs.retain(|_, (depth, _)| *depth > 0);
        Ok(Waits { functions: found, others: backlogs.into_keys().collect() })
    }

    /// What waits in lanes, in backlogs, or for its time; bodies that are stored apart not counted.
    pub async fn queued(&self) -> Result<Queued> {
        let mut queued = Queued { bytes: 0, delayed: 0 };
        for stream in [&self.nats.streams.invoke, &self.nats.streams.backlog, &self.nats.streams.delayed] {
            let state = stream.get_info().await.map_err(Error::unavailable)?.state;
            queued.bytes += state.bytes;
            // Of the last one.
            queued.delayed = state.messages;
        }
        Ok(queued)
    }

    /// The calls of a function that wait for their time, or for another attempt: their number, and about what the first of them takes.
    pub async fn delayed_calls(&self, function: &FunctionName) -> Result<(u64, u64)> {
        count_of(&self.nats, "DELAYED", &self.nats.subjects.delayed_or_due_of(function)).await
    }

    /// Up to where a lane has been handed out; `None` if that is all.
    async fn handed_out(&self, lane: u32) -> Result<Option<u64>> {
        match self.nats.streams.invoke.consumer_info(lanes::lane_name(lane)).await {
            Ok(info) => Ok((info.num_pending > 0).then_some(info.delivered.stream_sequence)),
            // No worker has opened it yet.
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(Some(0)),
            Err(error) => Err(Error::unavailable(error)),
        }
    }

    /// How many messages of a subject are behind a place: what a consumer would have to hand out, which is never read.
    async fn count_behind(&self, subject: String, after: u64) -> Result<u64> {
        let config = pull::Config {
            filter_subject: subject,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
            ack_policy: AckPolicy::None,
            memory_storage: true,
            inactive_threshold: COUNTER_TTL,
            ..pull::Config::default()
        };
        let consumer = self.nats.streams.invoke.create_consumer(config).await.map_err(Error::unavailable)?;
        let info = consumer.cached_info();
        let count = info.num_pending;
        // If it stays, it goes by itself soon.
        let _ = self.nats.streams.invoke.delete_consumer(&info.name).await;
        Ok(count)
    }

    /// How long the first call of a subject behind a place waits, and about what it takes.
    async fn first_waits(&self, stream: &Stream, subject: String, after: u64) -> Result<(Duration, u64)> {
        let message = records::find_after(stream, subject, after).await?;
        let now = clock::now();
        let first = message.and_then(|message| parked::read(&message).ok());
        Ok(first.map(|call| (call.age(now), call.queued_bytes())).unwrap_or_default())
    }
}

/// The messages of a stream with a subject: their number, and about what the first of them takes.
pub(crate) async fn count_of(nats: &Connection, stream: &str, subject: &str) -> Result<(u64, u64)> {
    let api = format!("$JS.API.DIRECT.GET.{}", nats.subjects.stream(stream));
    // As a batch, even of one, the answer tells how many there are behind it (NATS ADR-31).
    let query = json!({ "seq": 1, "next_by_subj": subject, "batch": 1 });
    let asked = nats.client.request(api, query.to_string().into());
    let first = timeout(REQUEST_TIMEOUT, asked).await.map_err(Error::unavailable)?.map_err(Error::unavailable)?;
    match first.status.as_ref().map(StatusCode::as_u16) {
        None => {
            let left = first.headers.as_ref().and_then(|headers| headers.get(LEFT));
            let left: u64 = left.and_then(|left| left.as_str().parse().ok()).unwrap_or(0);
            Ok((left + 1, first.length as u64))
        }
        Some(NOT_FOUND) => Ok((0, 0)),
        Some(status) => Err(Error::unavailable(format!("messages of {stream} cannot be counted: {status}"))),
    }
}
