//! Every step that can happen in a call's life, and what it does.

use stateright::{Model, Property};

use crate::{
    flaw::Flaw,
    long_run,
    requests::{becomes_due, give_back},
    state::{Budget, Cancel, End, Held, Message, Place, Progress, Server, State, Step, Submit, Submitting, WORKERS},
};

pub(crate) const KEPT: &str = "what got a 202 is kept or has ended";
pub(crate) const ONE_RECORD: &str = "a call has at most one record";
pub(crate) const DEAD_LETTER: &str = "a dead call has its letter";
pub(crate) const ONE_RUN: &str = "what has its record is not run again";
pub(crate) const ONE_AT_A_TIME: &str = "a call that a worker runs is not begun by another one";
pub(crate) const NOT_STUCK: &str = "no call is stuck";

pub(crate) const ENDS: [&str; 3] = ["a call ends well", "a call ends dead", "a call is cancelled"];
/// Only where a worker does not answer.
pub(crate) const TWO_AT_ONCE: &str = "two workers run the same call";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Submit(Place),
    SubmitStep,
    AnswerIsLost,
    GatewayDies,
    Cancel,
    CancelStep,
    Deliver(usize, Place),
    /// A worker takes its next step; a run ends well or badly, what is to be run finds a slot or not, and a question is answered or not.
    Work(usize, bool),
    /// A run takes long, or a call is given back too often.
    LeavesLane(usize),
    /// No replica takes a call, so it waits for another slot.
    IsBusy(usize),
    /// A call of an event is given back and goes to its lane.
    IsQueuedInstead(usize),
    WorkerDies(usize),
    /// The ack deadline passes while the holder is stuck, so that the message is free for others.
    Stall(Place),
    Purge(Place),
    BecomesDue,
    AckIsForgotten(Place),
    RemovalIsForgotten,
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
            ran_twice_at_once: false,
            was_unanswered: false,
            budget: self.budget.clone(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let budget = &state.budget;
        add_submits(state, actions);
        match state.cancel {
            None if budget.cancels > 0 && state.is_accepted => actions.push(Action::Cancel),
            None => {}
            // It may also stop in the middle.
            Some(_) => actions.extend([Action::CancelStep, Action::GatewayDies]),
        }
        for (worker, held) in state.workers.iter().enumerate() {
            match held {
                Some(held) => self.add_steps(budget, worker, held, actions),
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
        for (lane, message) in places(&state.server) {
            if message.as_ref().is_some_and(|message| message.is_acked) {
                actions.extend((lane != Place::Event).then_some(Action::Purge(lane)));
                actions.extend((budget.lost_acks > 0).then_some(Action::AckIsForgotten(lane)));
            }
            let was_removed = state.server.removed.as_ref().is_some_and(|(from, _)| *from == lane);
            let may_come_back = was_removed && message.is_none() && budget.lost_removals > 0;
            actions.extend(may_come_back.then_some(Action::RemovalIsForgotten));
        }
        actions.extend(state.server.parked.is_some().then_some(Action::BecomesDue));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Submit(entry) => self.begin_submit(&mut state, entry),
            Action::SubmitStep => submit(&mut state),
            Action::AnswerIsLost => {
                state.budget.lost_answers -= 1;
                let is_blind = self.flaw == Flaw::TriedAgainBlindly;
                state.submit.as_mut()?.step = if is_blind { Submit::Put } else { Submit::Look };
            }
            Action::GatewayDies => (state.submit, state.cancel) = (None, None),
            Action::Cancel => {
                state.budget.cancels -= 1;
                state.cancel = Some(Cancel::Record);
            }
            Action::CancelStep => self.cancel(&mut state),
            Action::Deliver(worker, place) => deliver(&mut state, worker, place, self.flaw),
            Action::Work(worker, is_good) => self.work(&mut state, worker, is_good),
            Action::LeavesLane(worker) => leaves_lane(&mut state, worker)?,
            Action::IsBusy(worker) => state.workers.get_mut(worker)?.as_mut()?.step = Step::Begin,
            Action::IsQueuedInstead(worker) => queue_instead(&mut state, worker)?,
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
            Action::Purge(lane) => *state.server.message(lane) = None,
            Action::BecomesDue => becomes_due(&mut state.server),
            Action::AckIsForgotten(lane) => {
                state.budget.lost_acks -= 1;
                let message = state.server.message(lane).as_mut()?;
                (message.is_acked, message.is_out, message.is_repeated) = (false, false, true);
            }
            Action::RemovalIsForgotten => {
                state.budget.lost_removals -= 1;
                let (lane, message) = state.server.removed.take()?;
                *state.server.message(lane) = Some(message);
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
            Property::always(DEAD_LETTER, |_, state: &State| {
                state.server.record != Some(End::Dead) || state.server.has_dead_letter
            }),
            Property::always(ONE_RUN, |_, state: &State| !state.ran_after_record),
            Property::always(ONE_AT_A_TIME, |_, state: &State| !state.ran_twice_at_once),
            Property::always(NOT_STUCK, |model: &Self, state: &State| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                !actions.is_empty() || !state.is_accepted || state.server.record.is_some()
            }),
            Property::sometimes(ENDS[0], |_, state: &State| state.server.record == Some(End::Done)),
            Property::sometimes(ENDS[1], |_, state: &State| state.server.record == Some(End::Dead)),
            Property::sometimes(ENDS[2], |_, state: &State| state.server.record == Some(End::Cancelled)),
            Property::sometimes(TWO_AT_ONCE, |_, state: &State| {
                state.workers.iter().flatten().filter(|held| held.step == Step::Run).count() == WORKERS
            }),
        ]
    }
}

impl Call {
    /// What a worker may do with what it holds, and what may happen to it.
    fn add_steps(&self, budget: &Budget, worker: usize, held: &Held, actions: &mut Vec<Action>) {
        actions.push(Action::Work(worker, true));
        let has_two_ways = match held.step {
            Step::Run => true,
            Step::Begin => held.place != Place::Backlog && budget.overflow > 0,
            // Too many calls run straight from their events.
            Step::LookUp => held.place == Place::Event,
            Step::Ask => budget.unanswered > 0,
            _ => false,
        };
        actions.extend(has_two_ways.then_some(Action::Work(worker, false)));
        let may_leave = matches!(held.step, Step::Run | Step::Begin)
            || (held.step == Step::LookUp && self.flaw == Flaw::LeaseBeforeLook);
        let may_leave = may_leave && held.lease.is_none();
        actions.extend((may_leave && budget.long_runs > 0).then_some(Action::LeavesLane(worker)));
        let may_be_queued =
            held.place == Place::Event && held.step == Step::Begin && held.lease.is_none() && budget.overflow > 0;
        actions.extend(may_be_queued.then_some(Action::IsQueuedInstead(worker)));
        let may_be_busy = held.step == Step::Run && held.place != Place::Backlog && budget.overflow > 0;
        actions.extend(may_be_busy.then_some(Action::IsBusy(worker)));
        actions.extend((budget.crashes > 0).then_some(Action::WorkerDies(worker)));
    }

    fn begin_submit(&self, state: &mut State, entry: Place) {
        state.budget.submits -= 1;
        state.is_accepted |= self.flaw == Flaw::AnswerBeforeStored;
        // What has a new id is not known.
        let step = if self.has_callers_id() { Submit::Look } else { Submit::Put };
        state.submit = Some(Submitting { entry, step });
    }

    /// Whether its id may come again.
    pub(crate) fn has_callers_id(&self) -> bool {
        self.budget.submits > 1 || self.budget.entries.contains(&Place::Event)
    }
}

fn add_submits(state: &State, actions: &mut Vec<Action>) {
    let budget = &state.budget;
    match state.submit {
        None if budget.submits > 0 => actions.extend(budget.entries.iter().copied().map(Action::Submit)),
        None => {}
        Some(submit) => {
            actions.extend([Action::SubmitStep, Action::GatewayDies]);
            let may_be_lost = submit.step == Submit::Answer && budget.lost_answers > 0;
            actions.extend(may_be_lost.then_some(Action::AnswerIsLost));
        }
    }
}

fn places(server: &Server) -> [(Place, &Option<Message>); 5] {
    let Server { event, lane, bulk, backlog, due, .. } = server;
    [(Place::Event, event), (Place::Lane, lane), (Place::Bulk, bulk), (Place::Backlog, backlog), (Place::Due, due)]
}

/// `Calls::submit`: what may be known is looked up, then one message is published, then the caller hears of it.
fn submit(state: &mut State) {
    let Some(Submitting { entry, step }) = state.submit else { return };
    let next = match step {
        Submit::Look if state.server.knows_it() => Submit::Answer,
        Submit::Look => Submit::Put,
        Submit::Put => {
            state.server.put(entry, Progress::default(), false);
            Submit::Answer
        }
        Submit::Answer => {
            state.is_accepted = true;
            state.submit = None;
            return;
        }
    };
    state.submit = Some(Submitting { entry, step: next });
}

fn leaves_lane(state: &mut State, worker: usize) -> Option<()> {
    state.budget.long_runs -= 1;
    let held = state.workers.get_mut(worker)?.as_mut()?;
    match held.step {
        Step::LookUp => lease_too_early(&mut state.server, held),
        Step::Run => held.step = Step::Lease,
        _ => held.step = Step::ParkBack,
    }
    Some(())
}

fn lease_too_early(server: &mut Server, held: &mut Held) {
    let progress = held.progress.interrupted();
    if long_run::lease(server, held, progress, true) {
        long_run::leave_lane(server, held);
    }
}

/// `Worker::take_route`, for a call that may have been begun.
fn queue_instead(state: &mut State, worker: usize) -> Option<()> {
    state.budget.overflow -= 1;
    let held = state.workers.get_mut(worker)?.as_mut()?;
    (held.progress, held.step) = (held.progress.interrupted(), Step::QueueLook);
    Some(())
}

fn deliver(state: &mut State, worker: usize, place: Place, flaw: Flaw) {
    let Some(message) = state.server.message(place) else { return };
    message.is_out = true;
    let (sequence, progress, is_repeated) = (message.sequence, message.progress, message.is_repeated);
    // The workers differ only in who goes first.
    let other = state.workers.iter().flatten().map(|held| held.worker).next();
    let id = other.map_or_else(|| u8::try_from(worker).unwrap(), |other| 1 - other);
    let (has_yielded, lease) = (false, None);
    let mut held = Held { worker: id, place, sequence, progress, is_repeated, has_yielded, lease, step: Step::LookUp };
    held.step = match place {
        Place::Due => Step::ReturnToLane,
        _ if held.asks() && flaw != Flaw::NobodyIsAsked => Step::Ask,
        _ => Step::LookUp,
    };
    state.workers[worker] = Some(held);
}
