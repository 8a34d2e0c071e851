//! Calls of schedules that come due: whether one is too late, and whose turn it is.
//!
//! What is decided is written before the call goes on, so each worker decides the same again; `skep_protocol::Turn` decides.

use std::{collections::HashSet, time::Duration};

use http::HeaderMap;
use skep_bus::{Cancelled, Delivery, Source};
use skep_protocol::{
    Call, CallId, CallState, CallStatus, Missed, Occurrence, Overlap, Turn, TurnDecision, TurnRequest, headers,
};
use skep_sources::{Defaults, Receiver};
use time::OffsetDateTime;
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
    /// It runs, and was missed or not.
    Run(bool),
    /// It waits, and was missed or not.
    Wait(bool),
    /// It does not run, for this reason.
    End(ScheduleOutcome, String),
    /// Another worker has sent it on before.
    Gone,
}

/// A call that goes on to its lane.
#[derive(Default)]
pub(crate) struct Begins {
    /// For how many that were missed it runs, itself included, if it was.
    pub(crate) missed: Option<u64>,
}

impl Worker {
    /// Whether a call of a schedule goes on to its lane, and how many were missed with it; if not, its delivery was ended.
    pub(crate) async fn turn_of(&self, delivery: &Delivery<Call>, call: &Call) -> Option<Begins> {
        // A retry, one whose worker is gone, or one that is redriven has had its turn.
        let is_first = call.last_attempt.is_none() && call.interruptions == 0 && call.history.is_empty();
        let Some(occurrence) = call.occurrence.as_ref().filter(|_| is_first) else {
            return Some(Begins::default());
        };
        let due = match self.decide_due(call, occurrence).await {
            Ok(due) => due,
            Err(error) => {
                warn!(error = error.chain(), call_id = %call.call_id, "it cannot be decided whether a call of a schedule runs; trying again");
                delivery.again_after(try_again(&error)).await;
                return None;
            }
        };
        let late = Duration::try_from(skep_bus::now() - wanted_at(call)).unwrap_or_default();
        match due {
            Due::Run(is_missed) => {
                self.bus.calls.note_accepted(call);
                self.metrics.count_schedule(occurrence, ScheduleOutcome::Fired, late);
                let missed = self.missed_with(call, occurrence, is_missed).await;
                if missed.is_some() {
                    self.missed.note(occurrence, true);
                }
                return Some(Begins { missed });
            }
            Due::Wait(is_missed) => {
                if is_missed {
                    self.missed.note(occurrence, true);
                }
                delivery.again_after((late / 20).clamp(SHORTEST_WAIT, LONGEST_WAIT)).await;
            }
            Due::Gone => delivery.ack().await,
            Due::End(outcome, reason) => match self.end_without_run(call, &reason).await {
                Ok(()) => {
                    self.bus.calls.note_accepted(call);
                    self.metrics.count_schedule(occurrence, outcome, late);
                    if outcome == ScheduleOutcome::Missed {
                        self.missed.note(occurrence, false);
                    }
                    info!(call_id = %call.call_id, reason, "a call of a schedule does not run");
                    delivery.ack().await;
                }
                Err(error) => {
                    warn!(error = error.chain(), call_id = %call.call_id, "the end of a call cannot be stored; trying again");
                    delivery.again_after(try_again(&error)).await;
                }
            },
        }
        None
    }

    /// For how many that were missed a call runs, itself included. What cannot be looked up does not keep it from running.
    async fn missed_with(&self, call: &Call, occurrence: &Occurrence, is_missed: bool) -> Option<u64> {
        let is_latest = occurrence.lateness.as_ref().is_some_and(|lateness| lateness.missed == Missed::Latest);
        // One that the planner makes for others says so already.
        if call.headers.contains_key(headers::SKEP_MISSED) {
            return None;
        }
        if !is_latest || !Occurrence::is_late(wanted_at(call), skep_bus::now()) {
            return is_missed.then_some(1);
        }
        let before = self.missed_before(occurrence).await.unwrap_or_else(|error| {
            debug!(error = error.chain(), call_id = %call.call_id, "it cannot be looked up how many were missed");
            0
        });
        (is_missed || before > 0).then_some(1 + before)
    }

    /// How many were missed in whose place an occurrence runs.
    async fn missed_before(&self, occurrence: &Occurrence) -> skep_bus::Result<u64> {
        let (Some(lateness), Some(before)) = (&occurrence.lateness, &occurrence.after) else { return Ok(0) };
        if self.bus.calls.missed(std::slice::from_ref(before)).await? == 0 {
            return Ok(0);
        }
        let Some(Source { record, .. }) = self.bus.sources.get(&occurrence.source).await? else { return Ok(1) };
        let defaults = Defaults::new(self.bus.connection.default_namespace());
        let Ok(receiver) = Receiver::from_spec(record.name, &record.spec, &defaults) else { return Ok(1) };
        let (at, within) = (occurrence.planned_at, Duration::from_secs(lateness.within_seconds));
        let before = receiver.calls_between(&occurrence.route, at - within, at - Duration::from_secs(1));
        self.bus.calls.missed(&before).await
    }

    async fn decide_due(&self, call: &Call, occurrence: &Occurrence) -> skep_bus::Result<Due> {
        let (now, wanted_at) = (skep_bus::now(), wanted_at(call));
        let miss = occurrence.miss(wanted_at, now);
        if occurrence.overlap == Overlap::Allow {
            return match miss {
                // It may have been sent on when it was in time.
                Some(_) if self.bus.calls.is_queued(&call.call_id).await? => Ok(Due::Gone),
                Some(reason) => Ok(Due::End(ScheduleOutcome::Missed, reason)),
                None => Ok(Due::Run(occurrence.is_missed(wanted_at, now))),
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
            let (request, is_missed) = request(call, occurrence, &turn, now);
            let (then, write) = match self.decide_turn(&turn, request).await? {
                TurnDecision::Run { write } => (Some(Due::Run(is_missed)), write),
                TurnDecision::Wait { write } => (Some(Due::Wait(is_missed)), write),
                TurnDecision::Again { write } => (None, Some(write)),
                TurnDecision::Replace { of, write } => {
                    self.replace(&of, me).await?;
                    (Some(Due::Run(is_missed)), Some(write))
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

    async fn decide_turn(&self, turn: &Turn, request: TurnRequest<'_>) -> skep_bus::Result<TurnDecision> {
        let mut open = HashSet::new();
        for other in turn.others(request) {
            if self.bus.calls.is_open(other).await? {
                open.insert(other);
            }
        }
        Ok(turn.decide(request, |other| open.contains(other)))
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
        let function = self.deployed(&record.status.function);
        self.metrics.count_end(function.as_ref().map(|function| &function.name), CallState::Cancelled);
        Ok(())
    }
}

/// What a call asks of a turn, and whether it was missed.
fn request<'call>(
    call: &'call Call,
    occurrence: &'call Occurrence,
    turn: &Turn,
    now: OffsetDateTime,
) -> (TurnRequest<'call>, bool) {
    let (me, wanted_at) = (&call.call_id, wanted_at(call));
    let overlap = occurrence.overlap_at(wanted_at, turn.begun_at, now);
    // Whether one that waits was missed was decided when it began to.
    let is_missed = if turn.has_waiting(me) { turn.is_missed(me) } else { occurrence.is_missed(wanted_at, now) };
    let request = TurnRequest {
        call_id: me,
        planned_at: occurrence.planned_at.unix_timestamp(),
        overlap,
        after: occurrence.after.as_ref(),
        is_missed: is_missed || overlap != occurrence.overlap,
        all_run: occurrence.all_run(),
        now,
    };
    (request, is_missed)
}

fn wanted_at(call: &Call) -> OffsetDateTime {
    call.run_at.unwrap_or(call.accepted_at)
}
