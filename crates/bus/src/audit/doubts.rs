//! Checking suspects again: they may only have moved meanwhile, so a call is reported only if it stays wrong.

use std::{collections::HashMap, time::Duration};

use async_nats::jetstream::context::ConsumerInfoErrorKind;
use futures_util::{StreamExt, TryStreamExt, stream};
use skep_protocol::{AuditKind, CallId, CallState, DeadKind, LANES};

use super::books::Doubt;
use crate::{Audit, Calls, DeadLetters, Error, Result, calls::records, queue::lanes};

/// A call has to be wrong at this many checks,
const MAX_CHECKS: u32 = 3;
/// with this much time in between.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 32;

/// What was seen at another look.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Seen {
    /// It is as it seemed.
    Still,
    /// It is in order, in this state.
    Is(CallState),
    /// It has ended, and its record is not kept any more.
    Expired,
}

/// Up to where each lane is finished.
pub(super) type Floors = HashMap<u32, u64>;

impl Audit {
    /// Looks at each several times; returns what was seen at last.
    pub(super) async fn check_again(&self, doubts: Vec<Doubt>) -> Result<Vec<(Doubt, Seen)>> {
        let (mut open, mut settled) = (doubts, Vec::new());
        for look in 0..MAX_CHECKS {
            if open.is_empty() {
                break;
            }
            if look > 0 {
                tokio::time::sleep(CHECK_INTERVAL).await;
            }
            let floors = self.floors().await?;
            let checks = open.into_iter().map(|doubt| async {
                let seen = self.see(&doubt, &floors).await?;
                Ok::<_, Error>((doubt, seen))
            });
            let seen: Vec<_> = stream::iter(checks).buffer_unordered(AT_ONCE).try_collect().await?;
            let (still, changed): (Vec<_>, Vec<_>) = seen.into_iter().partition(|(_, seen)| *seen == Seen::Still);
            open = still.into_iter().map(|(doubt, _)| doubt).collect();
            settled.extend(changed);
        }
        settled.extend(open.into_iter().map(|doubt| (doubt, Seen::Still)));
        Ok(settled)
    }

    async fn see(&self, doubt: &Doubt, floors: &Floors) -> Result<Seen> {
        let id = &doubt.call_id;
        let is_still = match doubt.kind {
            AuditKind::Missing | AuditKind::NotRouted => return self.find_anywhere(id, floors).await,
            AuditKind::LetterWithoutRecord => {
                let letter = DeadLetters::over(&self.nats).get(id, DeadKind::Call).await?;
                letter.is_some()
                    && Calls::over(&self.nats).record(id).await?.is_none()
                    && !self.is_open(id, floors).await?
            }
            AuditKind::LeftOver => {
                let queued = self.nats.find_queued(id).await?;
                let is_due = self.nats.find_delayed(id).await?.is_some_and(|message| message.subject.contains(".due."));
                Calls::over(&self.nats).record(id).await?.is_some()
                    && (is_due || queued.iter().any(|queued| queued.stream == "BACKLOG"))
            }
            AuditKind::NotPurged => {
                let queued = self.nats.find_queued(id).await?;
                queued.iter().any(|queued| queued.stream == "INVOKE")
            }
            AuditKind::TwoRecords => {
                let (calls, subject) = (&self.nats.streams.calls, self.nats.subjects.record_by_id(id));
                match records::find(calls, subject.clone()).await? {
                    Some(first) => records::find_after(calls, subject, first.sequence).await?.is_some(),
                    None => false,
                }
            }
        };
        // Whatever state it is in was counted.
        Ok(if is_still { Seen::Still } else { Seen::Expired })
    }

    async fn find_anywhere(&self, id: &CallId, floors: &Floors) -> Result<Seen> {
        // In the order in which a call goes on, so that one that moves at this moment is met.
        if self.is_open(id, floors).await? {
            return Ok(Seen::Is(CallState::Queued));
        }
        if let Some(record) = Calls::over(&self.nats).record(id).await? {
            return Ok(Seen::Is(record.status.state));
        }
        if DeadLetters::over(&self.nats).get(id, DeadKind::Call).await?.is_some() {
            return Ok(Seen::Is(CallState::Dead));
        }
        let called_back = DeadLetters::over(&self.nats).get(id, DeadKind::Callback).await?;
        Ok(if called_back.is_some() { Seen::Expired } else { Seen::Still })
    }

    /// Whether a call has a message that is to be finished yet.
    async fn is_open(&self, id: &CallId, floors: &Floors) -> Result<bool> {
        let (delayed, queued) = tokio::try_join!(self.nats.find_delayed(id), self.nats.find_queued(id))?;
        let mut queued = queued.iter().map(|queued| &queued.message);
        Ok(delayed.is_some() || queued.any(|message| !is_finished(&message.subject, message.sequence, floors)))
    }

    pub(super) async fn floors(&self) -> Result<Floors> {
        let mut floors = Floors::new();
        for lane in 0..LANES {
            match self.nats.streams.invoke.consumer_info(lanes::lane_name(lane)).await {
                Ok(info) => drop(floors.insert(lane, info.ack_floor.stream_sequence)),
                // No worker has opened it yet.
                Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {}
                Err(error) => return Err(Error::unavailable(error)),
            }
        }
        Ok(floors)
    }
}

/// Whether a message of a lane, and all before it there, was finished.
pub(super) fn is_finished(subject: &str, sequence: u64, floors: &Floors) -> bool {
    let mut tokens = subject.rsplit('.').skip(2);
    let (lane, stream) = (tokens.next(), tokens.next());
    let lane = lane.filter(|_| stream == Some("invoke")).and_then(|lane| lane.parse().ok());
    lane.and_then(|lane: u32| floors.get(&lane)).is_some_and(|floor| sequence <= *floor)
}
