//! Every step that can happen in a call's life, and what it does.

use stateright::{Model, Property};

use crate::{
    flaw::Flaw,
    long_run,
    requests::{ack, becomes_due, give_back, look_before_delay, put_delayed, requeue, set_aside},
    state::{Budget, Cancel, End, Held, MAX_ATTEMPTS, Message, Place, Server, State, Step, Submit, WORKERS},
};

pub(crate) const KEPT: &str = "what got a 202 is kept or has ended";
pub(crate) const ONE_RECORD: &str = "a call has at most one record";
pub(crate) const LETTER: &str = "a dead call has its letter";
pub(crate) const ONE_RUN: &str = "what has its record is not run again";
pub(crate) const NOT_STUCK: &str = "no call is stuck";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Submit,
    SubmitStep,
    GatewayDies,
    Cancel,
    CancelStep,
    Deliver(usize, Place),
    /// A worker takes its next step; a run ends well or badly, and what is to be run finds a slot or not.
    Work(usize, bool),
    /// A run takes long.
    RunsLong(usize),
    WorkerDies(usize),
    /// The ack deadline passes while the holder is stuck, so that the message is free for others.
    Stall(Place),
    Purge,
    BecomesDue,
    AckIsForgotten,
}

pub(crate) struct Call {
    pub(crate) flaw: Flaw,
    pub(crate) budget: Budget,
}

impl Model for Call {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            server: Server::default(),
            submit: None,
            cancel: None,
            workers: Default::default(),
            is_accepted: false,
            ran_after_record: false,
            budget: self.budget.clone(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let budget = &state.budget;
        match state.submit {
            None if budget.submits > 0 => actions.push(Action::Submit),
            None => {}
            Some(_) => actions.extend([Action::SubmitStep, Action::GatewayDies]),
        }
        match state.cancel {
            None if budget.cancels > 0 && state.is_accepted => actions.push(Action::Cancel),
            None => {}
            // It may also stop in the middle.
            Some(_) => actions.extend([Action::CancelStep, Action::GatewayDies]),
        }
        for (worker, held) in state.workers.iter().enumerate() {
            match held {
                Some(held) => {
                    actions.push(Action::Work(worker, true));
                    let is_to_be_run = held.step == Step::LookUp && held.place == Place::Lane;
                    let may_be_set_aside = is_to_be_run && budget.set_aside > 0;
                    let has_two_ways = held.step == Step::Run || may_be_set_aside;
                    actions.extend(has_two_ways.then_some(Action::Work(worker, false)));
                    let may_last = held.step == Step::Run && held.stand_in.is_none() && budget.long_runs > 0;
                    actions.extend(may_last.then_some(Action::RunsLong(worker)));
                    actions.extend((budget.crashes > 0).then_some(Action::WorkerDies(worker)));
                }
                None => {
                    for (place, message) in places(&state.server) {
                        let is_free = message.as_ref().is_some_and(|message| !message.is_out && !message.is_acked);
                        actions.extend(is_free.then_some(Action::Deliver(worker, place)));
                    }
                }
            }
        }
        for (place, message) in places(&state.server) {
            let is_out = message.as_ref().is_some_and(|message| message.is_out && !message.is_acked);
            actions.extend((is_out && budget.stalls > 0).then_some(Action::Stall(place)));
        }
        if state.server.lane.as_ref().is_some_and(|message| message.is_acked) {
            actions.push(Action::Purge);
            actions.extend((budget.lost_acks > 0).then_some(Action::AckIsForgotten));
        }
        actions.extend(state.server.delayed.is_some().then_some(Action::BecomesDue));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Submit => {
                state.budget.submits -= 1;
                state.is_accepted |= self.flaw == Flaw::AnswerBeforeStored;
                state.submit = Some(Submit::Look);
            }
            Action::SubmitStep => submit(&mut state),
            Action::GatewayDies => (state.submit, state.cancel) = (None, None),
            Action::Cancel => {
                state.budget.cancels -= 1;
                state.cancel = Some(Cancel::Record);
            }
            Action::CancelStep => self.cancel(&mut state),
            Action::Deliver(worker, place) => deliver(&mut state, worker, place),
            Action::Work(worker, is_good) => self.work(&mut state, worker, is_good),
            Action::RunsLong(worker) => {
                state.budget.long_runs -= 1;
                state.workers.get_mut(worker)?.as_mut()?.step = Step::StandIn;
            }
            Action::WorkerDies(worker) => {
                state.budget.crashes -= 1;
                let held = state.workers.get_mut(worker)?.take()?;
                give_back(&mut state.server, held.place, held.sequence);
            }
            Action::Stall(place) => {
                state.budget.stalls -= 1;
                let sequence = state.server.message(place).as_ref()?.sequence;
                give_back(&mut state.server, place, sequence);
            }
            Action::Purge => state.server.lane = None,
            Action::BecomesDue => becomes_due(&mut state.server),
            Action::AckIsForgotten => {
                state.budget.lost_acks -= 1;
                let message = state.server.lane.as_mut()?;
                (message.is_acked, message.is_out, message.is_repeated) = (false, false, true);
            }
        }
        let state = state.canonical();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(KEPT, |_, state: &State| {
                !state.is_accepted || state.server.record.is_some() || state.server.holds_it()
            }),
            Property::always(ONE_RECORD, |_, state: &State| state.server.records <= 1),
            Property::always(LETTER, |_, state: &State| {
                state.server.record != Some(End::Dead) || state.server.has_letter
            }),
            Property::always(ONE_RUN, |_, state: &State| !state.ran_after_record),
            Property::always(NOT_STUCK, |model: &Self, state: &State| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                !actions.is_empty() || !state.is_accepted || state.server.record.is_some()
            }),
            Property::sometimes("a call ends well", |_, state: &State| state.server.record == Some(End::Done)),
            Property::sometimes("a call ends dead", |_, state: &State| state.server.record == Some(End::Dead)),
            Property::sometimes("a call is cancelled", |_, state: &State| state.server.record == Some(End::Cancelled)),
            Property::sometimes("two workers hold the same call", |_, state: &State| {
                state.workers.iter().flatten().filter(|held| held.step == Step::Run).count() == WORKERS
            }),
        ]
    }
}

fn places(server: &Server) -> [(Place, &Option<Message>); 3] {
    [(Place::Lane, &server.lane), (Place::Backlog, &server.backlog), (Place::Due, &server.due)]
}

/// `Bus::submit`: a known id is looked up, then one message is published, then the caller hears of it.
fn submit(state: &mut State) {
    let server = &mut state.server;
    state.submit = match state.submit {
        Some(Submit::Look) if server.record.is_some() || server.lane.is_some() || server.holds_it() => {
            Some(Submit::Answer)
        }
        Some(Submit::Look) => Some(Submit::Put),
        // The caller chose the id, so whoever gets the message looks its record up.
        Some(Submit::Put) => {
            server.put_in_lane(0, true);
            Some(Submit::Answer)
        }
        Some(Submit::Answer) => {
            state.is_accepted = true;
            None
        }
        None => None,
    };
}

fn deliver(state: &mut State, worker: usize, place: Place) {
    let Some(message) = state.server.message(place) else { return };
    message.is_out = true;
    let step = match place {
        Place::Lane | Place::Backlog => Step::LookUp,
        Place::Due => Step::Requeue,
    };
    let (sequence, attempts, is_repeated) = (message.sequence, message.attempts, message.is_repeated);
    state.workers[worker] = Some(Held { place, sequence, attempts, is_repeated, stand_in: None, step });
}

impl Call {
    /// `Bus::cancel`.
    fn cancel(&self, state: &mut State) {
        state.cancel = match state.cancel {
            Some(Cancel::Record) => {
                let is_first = self.record(&mut state.server, End::Cancelled);
                is_first.then_some(Cancel::RemoveDelayed)
            }
            Some(Cancel::RemoveDelayed) => {
                state.server.delayed = None;
                Some(Cancel::RemoveSetAside)
            }
            Some(Cancel::RemoveSetAside) => {
                state.server.backlog = None;
                Some(Cancel::RemoveQueued)
            }
            Some(Cancel::RemoveQueued) => {
                state.server.lane = None;
                None
            }
            None => None,
        };
    }

    /// `Bus::store_record`: the first one stays.
    fn record(&self, server: &mut Server, end: End) -> bool {
        if server.record.is_some() && self.flaw != Flaw::RecordsAreReplaced {
            return false;
        }
        server.record = Some(end);
        server.records += 1;
        true
    }

    fn work(&self, state: &mut State, worker: usize, is_good: bool) {
        let Some(mut held) = state.workers.get_mut(worker).and_then(Option::take) else { return };
        let server = &mut state.server;
        let next = match held.step {
            Step::LookUp => {
                let next = self.look_up(server, &held, is_good);
                state.ran_after_record |= next == Step::Run && server.record.is_some();
                state.budget.set_aside -= u8::from(next == Step::SetAside);
                Some(next)
            }
            Step::SetAside => Some(set_aside(server, held.attempts)),
            Step::RemoveSetAside { sequence } => {
                if server.backlog.as_ref().is_some_and(|message| message.sequence == sequence) {
                    server.backlog = None;
                }
                Some(Step::SetAside)
            }
            Step::Run => Some(self.after_run(server, &held, is_good)),
            Step::Letter => {
                server.has_letter = true;
                Some(if self.flaw == Flaw::RecordBeforeLetter { Step::Ack } else { Step::Record(End::Dead) })
            }
            Step::Record(end) => {
                self.record(server, end);
                let owes_letter = end == End::Dead && self.flaw == Flaw::RecordBeforeLetter;
                Some(if owes_letter { Step::Letter } else { Step::Ack })
            }
            Step::DelayLook => Some(look_before_delay(server, held.attempts + 1)),
            Step::DelayPut { known } => Some(put_delayed(server, known, held.attempts + 1)),
            Step::Requeue if self.flaw == Flaw::DueIsForgotten => Some(Step::Ack),
            Step::Requeue if self.flaw == Flaw::OlderIsTaken => Some(requeue(server, held.attempts, 0)),
            Step::Requeue => Some(requeue(server, held.attempts, held.sequence)),
            Step::RemoveQueued { sequence } => {
                if server.lane.as_ref().is_some_and(|message| message.sequence == sequence) {
                    server.lane = None;
                }
                Some(Step::Requeue)
            }
            Step::StandIn => Some(long_run::stand_in(server, &mut held, self.flaw != Flaw::DueIsOverlooked)),
            Step::LeaveLane => Some(long_run::leave_lane(server, &held)),
            Step::Ack => {
                match held.stand_in {
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

    /// `Bus::standing`.
    fn look_up(&self, server: &mut Server, held: &Held, has_slot: bool) -> Step {
        let waits_further = server.furthest().is_some_and(|attempts| attempts > held.attempts);
        let is_the_same = |message: &Message| message.attempts >= held.attempts;
        let left_lane = held.place == Place::Lane && server.backlog.as_ref().is_some_and(is_the_same);
        let is_further = held.is_repeated && (waits_further || left_lane);
        if self.flaw != Flaw::NoLookUp && (server.record.is_some() || is_further) {
            return Step::Ack;
        }
        if has_slot {
            return Step::Run;
        }
        if self.flaw == Flaw::AckBeforeSetAside {
            ack(server, held);
        }
        Step::SetAside
    }

    fn after_run(&self, server: &mut Server, held: &Held, is_good: bool) -> Step {
        let is_last = held.attempts + 1 >= MAX_ATTEMPTS;
        match (is_good, is_last) {
            (true, _) => {
                if self.flaw == Flaw::AckBeforeRecord {
                    ack(server, held);
                }
                Step::Record(End::Done)
            }
            (false, true) if self.flaw == Flaw::RecordBeforeLetter => Step::Record(End::Dead),
            (false, true) => Step::Letter,
            (false, false) => {
                if self.flaw == Flaw::AckBeforeDelay {
                    ack(server, held);
                }
                Step::DelayLook
            }
        }
    }
}
