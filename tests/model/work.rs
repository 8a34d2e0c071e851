//! What a worker, and someone who cancels, do next.

use skep_bus::life::{Found, NextStep, Origin, next_step};

use crate::{
    call::Call,
    doubt,
    flaw::Flaw,
    long_run,
    requests::{ack, give_back, look_before_parking, overflow, park, return_to_lane},
    state::{Cancel, End, Held, MAX_ATTEMPTS, Place, Server, State, Step},
};

impl Call {
    /// `Calls::cancel`.
    pub(crate) fn cancel(&self, state: &mut State) {
        state.cancel = match state.cancel {
            Some(Cancel::Record) => {
                let is_first = self.record(&mut state.server, End::Cancelled);
                is_first.then_some(Cancel::RemoveDelayed)
            }
            Some(Cancel::RemoveDelayed) => {
                state.server.parked = None;
                Some(Cancel::RemoveBacklogged)
            }
            Some(Cancel::RemoveBacklogged) => {
                state.server.backlog = None;
                Some(Cancel::RemoveQueued)
            }
            Some(Cancel::RemoveQueued) => {
                (state.server.lane, state.server.bulk) = (None, None);
                None
            }
            None => None,
        };
    }

    /// `Outcomes::store_record`: the first one stays.
    fn record(&self, server: &mut Server, end: End) -> bool {
        if server.record.is_some() && self.flaw != Flaw::RecordsAreReplaced {
            return false;
        }
        server.record = Some(end);
        server.records += 1;
        true
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each step")]
    pub(crate) fn work(&self, state: &mut State, worker: usize, is_good: bool) {
        let Some(mut held) = state.workers.get_mut(worker).and_then(Option::take) else { return };
        let server = &mut state.server;
        let next = match held.step {
            Step::Ask => doubt::ask(state, &held, is_good),
            Step::LookUp => {
                let is_queued = !is_good;
                let next = if is_queued { queue(&held) } else { self.look_up(server, &held) };
                if next != Step::Ack && held.has_yielded && self.flaw != Flaw::NobodyYields {
                    give_back(server, held.place, held.sequence);
                    None
                } else {
                    Some(next)
                }
            }
            Step::Begin if is_good => {
                if held.place == Place::Event && self.flaw == Flaw::EventIsAckedFirst {
                    ack(server, &held);
                }
                doubt::begin(state);
                Some(Step::Run)
            }
            // `Calls::submit_derived`.
            Step::QueueLook if server.knows_it_elsewhere() => Some(Step::Ack),
            Step::QueueLook => Some(Step::QueuePut),
            Step::QueuePut => {
                server.put(Place::Lane, held.progress, false);
                Some(Step::Ack)
            }
            Step::Begin => {
                state.budget.overflow -= 1;
                if self.flaw == Flaw::AckBeforeOverflow {
                    ack(server, &held);
                }
                Some(Step::Overflow)
            }
            // `Delivery::leave`.
            Step::Overflow if held.lease.is_some() => Some(overflow(server, held.progress.interrupted())),
            Step::Overflow => Some(overflow(server, held.progress)),
            Step::RemoveBacklogged { sequence } => {
                if server.backlog.as_ref().is_some_and(|message| message.sequence == sequence) {
                    server.backlog = None;
                }
                Some(Step::Overflow)
            }
            Step::Run => Some(self.after_run(server, &held, is_good)),
            Step::DeadLetter => {
                server.has_dead_letter = true;
                Some(if self.flaw == Flaw::RecordBeforeDeadLetter { Step::Ack } else { Step::Record(End::Dead) })
            }
            Step::Record(end) => {
                self.record(server, end);
                let owes_dead_letter = end == End::Dead && self.flaw == Flaw::RecordBeforeDeadLetter;
                Some(if owes_dead_letter { Step::DeadLetter } else { Step::Ack })
            }
            Step::ParkLook => Some(look_before_parking(server, held.progress.after_attempt())),
            Step::ParkPut { expected } => Some(park(server, expected, held.progress.after_attempt())),
            Step::ReturnToLane if self.flaw == Flaw::DueIsForgotten => Some(Step::Ack),
            Step::ReturnToLane if self.flaw == Flaw::OlderIsTaken => Some(return_to_lane(server, held.progress, 0)),
            Step::ReturnToLane => Some(return_to_lane(server, held.progress, held.sequence)),
            Step::RemoveQueued { sequence } => {
                if server.lane.as_ref().is_some_and(|message| message.sequence == sequence) {
                    server.lane = None;
                }
                Some(Step::ReturnToLane)
            }
            Step::Lease => {
                let progress = held.progress.interrupted();
                let is_leased = long_run::lease(server, &mut held, progress, self.flaw != Flaw::DueIsOverlooked);
                Some(if is_leased { Step::LeaveLane } else { Step::Run })
            }
            Step::ParkBack => {
                let progress = held.progress.given_back();
                let is_parked = long_run::lease(server, &mut held, progress, self.flaw != Flaw::DueIsOverlooked);
                if !is_parked {
                    give_back(server, held.place, held.sequence);
                }
                is_parked.then_some(Step::LeaveLaneForGood)
            }
            Step::LeaveLane => {
                long_run::leave_lane(server, &held);
                Some(Step::Run)
            }
            Step::LeaveLaneForGood => {
                long_run::leave_lane(server, &held);
                None
            }
            Step::Ack => {
                match held.lease {
                    Some(sequence) => long_run::end(server, sequence),
                    None => ack(server, &held),
                }
                None
            }
        };
        state.workers[worker] = next.map(|step| {
            held.step = step;
            held
        });
    }

    /// `Queues::next_step`.
    fn look_up(&self, server: &Server, held: &Held) -> Step {
        // A first delivery of a new id.
        let is_new =
            !held.asks() && !self.has_callers_id() && held.place != Place::Backlog && held.progress.attempts == 0;
        if is_new || self.flaw == Flaw::NoLookUp {
            return Step::Begin;
        }
        let mut found = Found { has_record: server.record.is_some(), ..Found::default() };
        if held.asks() {
            found.backlog = server.progress_in(Place::Backlog);
            let elsewhere = [server.progress_in(Place::Lane), server.progress_in(Place::Due), server.parked_progress()];
            found.elsewhere = elsewhere.into_iter().max().flatten();
        }
        let origin = match held.place {
            Place::Event => Origin::Event,
            Place::Backlog => Origin::Backlog,
            Place::Lane | Place::Bulk | Place::Due => Origin::Shared,
        };
        match next_step(origin, held.progress.into(), &found) {
            NextStep::Run => Step::Begin,
            NextStep::Finished | NextStep::Superseded => Step::Ack,
        }
    }

    fn after_run(&self, server: &mut Server, held: &Held, is_good: bool) -> Step {
        let is_last = held.progress.attempts + 1 >= MAX_ATTEMPTS;
        match (is_good, is_last) {
            (true, _) => {
                if self.flaw == Flaw::AckBeforeRecord {
                    ack(server, held);
                }
                Step::Record(End::Done)
            }
            (false, true) if self.flaw == Flaw::RecordBeforeDeadLetter => Step::Record(End::Dead),
            (false, true) => Step::DeadLetter,
            (false, false) => {
                if self.flaw == Flaw::AckBeforeDelay {
                    ack(server, held);
                }
                Step::ParkLook
            }
        }
    }
}

/// A call of an event that does not run straight from it: one that was not delivered before need not be looked up.
fn queue(held: &Held) -> Step {
    if held.asks() { Step::QueueLook } else { Step::QueuePut }
}
