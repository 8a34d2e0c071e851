//! Calls of schedules that come due: whether one is too late, and whose turn it is.
//!
//! What is decided is written before the call goes on, so each worker decides the same again; `skep_protocol::Turn` decides.

use std::{collections::HashSet, time::Duration};

use http::HeaderMap;
use skep_bus::{Cancelled, Delivery};
use skep_protocol::{Call, CallId, CallState, CallStatus, Occurrence, Overlap, Turn, TurnDecision};
use tracing::{debug, info, warn};

use crate::{
    Worker,
    dead_lettering::{try_again, without_answer},
    metrics::ScheduleOutcome,
};

/// Other workers decide about the same route at the same time; more often than this it is not by chance.
const MAX_TRIES: usize = 20;
/// A call that waits for its turn looks again after this, and after a longer time the longer it waits.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What becomes of a call that has come due.
enum Due {
    Run,
    Wait,
    /// It does not run, for this reason.
    End(ScheduleOutcome, String),
    /// Another worker has sent it on before.
    Gone,
}

impl Worker {
    /// Whether a call of a schedule goes on to its lane; if not, its delivery was ended.
    pub(crate) async fn has_its_turn(&self, delivery: &Delivery<Call>, call: &Call) -> bool {
        // A retry, one whose worker is gone, or one that is redriven has had its turn.
        let is_first = call.last_attempt.is_none() && call.interruptions == 0 && call.history.is_empty();
        let Some(occurrence) = call.occurrence.as_ref().filter(|_| is_first) else { return true };
        let due = match self.decide_due(call, occurrence).await {
            Ok(due) => due,
            Err(error) => {
                warn!(error = error.chain(), call_id = %call.call_id, "it cannot be decided whether a call of a schedule runs; trying again");
                delivery.again_after(try_again(&error)).await;
                return false;
            }
        };
        let late = Duration::try_from(skep_bus::now() - wanted_at(call)).unwrap_or_default();
        match due {
            Due::Run => {
                self.bus.calls.note_due(call);
                self.metrics.count_schedule(occurrence, ScheduleOutcome::Fired, late);
                return true;
            }
            Due::Wait => delivery.again_after((late / 20).clamp(SHORTEST_WAIT, LONGEST_WAIT)).await,
            Due::Gone => delivery.ack().await,
            Due::End(outcome, reason) => match self.end_without_run(call, &reason).await {
                Ok(()) => {
                    self.bus.calls.note_due(call);
                    self.metrics.count_schedule(occurrence, outcome, late);
                    info!(call_id = %call.call_id, reason, "a call of a schedule does not run");
                    delivery.ack().await;
                }
                Err(error) => {
                    warn!(error = error.chain(), call_id = %call.call_id, "the end of a call cannot be stored; trying again");
                    delivery.again_after(try_again(&error)).await;
                }
            },
        }
        false
    }

    async fn decide_due(&self, call: &Call, occurrence: &Occurrence) -> skep_bus::Result<Due> {
        let (now, wanted_at) = (skep_bus::now(), wanted_at(call));
        let overlap = occurrence.overlap_at(wanted_at, now);
        let miss = occurrence.miss(wanted_at, now);
        if overlap == Overlap::Allow {
            return match miss {
                // It may have been sent on when it was in time.
                Some(_) if self.bus.calls.is_queued(&call.call_id).await? => Ok(Due::Gone),
                Some(reason) => Ok(Due::End(ScheduleOutcome::Missed, reason)),
                None => Ok(Due::Run),
            };
        }
        let key = occurrence.turn_key();
        for _ in 0..MAX_TRIES {
            let (turn, sequence) = self.bus.queues.turn(&key).await?;
            let me = &call.call_id;
            if !turn.is_running(me)
                && !turn.has_waiting(me)
                && let Some(reason) = &miss
            {
                return Ok(Due::End(ScheduleOutcome::Missed, reason.clone()));
            }
            let (then, write) = match self.decide_turn(&turn, call, occurrence, overlap).await? {
                TurnDecision::Run { write } => (Some(Due::Run), write),
                TurnDecision::Wait { write } => (Some(Due::Wait), write),
                TurnDecision::Again { write } => (None, Some(write)),
                TurnDecision::Replace { of, write } => {
                    self.replace(&of, me).await?;
                    (Some(Due::Run), Some(write))
                }
                TurnDecision::Skip { of } => {
                    return Ok(Due::End(ScheduleOutcome::Skipped, format!("skipped: {of} is still running")));
                }
            };
            let is_written = match &write {
                Some(turn) => self.bus.queues.write_turn(&key, turn, sequence).await?,
                None => true,
            };
            if let (Some(then), true) = (then, is_written) {
                return Ok(then);
            }
        }
        Err(skep_bus::Error::unavailable(format!("the turn of {key} is changed by others all the time")))
    }

    async fn decide_turn(
        &self,
        turn: &Turn,
        call: &Call,
        occurrence: &Occurrence,
        overlap: Overlap,
    ) -> skep_bus::Result<TurnDecision> {
        let mut open = HashSet::new();
        for other in turn.others(&call.call_id) {
            if self.bus.calls.is_open(other).await? {
                open.insert(other);
            }
        }
        let planned_at = occurrence.planned_at.unix_timestamp();
        Ok(turn.decide(&call.call_id, planned_at, overlap, |other| open.contains(other)))
    }

    async fn replace(&self, running: &CallId, by: &CallId) -> skep_bus::Result<()> {
        if self.bus.calls.cancel(running).await? == Cancelled::Cancelled {
            info!(call_id = %running, %by, "a call of a schedule is replaced by a later one");
        }
        Ok(())
    }

    /// Records that a call does not run. There is no callback, because there is no answer.
    pub(crate) async fn end_without_run(&self, call: &Call, reason: &str) -> skep_bus::Result<()> {
        let status = CallStatus {
            state: CallState::Cancelled,
            finished_at: Some(skep_bus::now()),
            reason: Some(reason.to_owned()),
            callback_url: None,
            ..call.status()
        };
        let mut record = without_answer(status, HeaderMap::new());
        self.keep(&mut record);
        self.bus.outcomes.store_record(&record).await?;
        debug!(call_id = %call.call_id, reason, "a call does not run");
        self.metrics.count_finished(&record.status);
        Ok(())
    }
}

fn wanted_at(call: &Call) -> time::OffsetDateTime {
    call.run_at.unwrap_or(call.accepted_at)
}
