//! One call, the server that keeps it, and those who work on it, as small as the questions allow.

use skep_bus::life;

/// Attempts that a call has at most.
pub(crate) const MAX_ATTEMPTS: u8 = 2;
/// Workers that hold deliveries at the same time.
pub(crate) const WORKERS: usize = 2;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum End {
    Done,
    Dead,
    Cancelled,
}

/// How far the call of a message has come: attempts that have ended, and interruptions of the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Progress {
    pub(crate) attempts: u8,
    pub(crate) interruptions: u8,
}

impl Progress {
    /// When the attempt that is due has ended.
    pub(crate) fn after_attempt(self) -> Self {
        Self { attempts: self.attempts + 1, interruptions: 0 }
    }

    /// `Delivery::give_back`: it is not taken for a new call.
    pub(crate) fn given_back(self) -> Self {
        Self { interruptions: self.interruptions.max(1), ..self }
    }

    pub(crate) fn interrupted(self) -> Self {
        Self { interruptions: self.interruptions + 1, ..self }
    }
}

impl From<Progress> for life::Progress {
    fn from(small: Progress) -> Self {
        Self { attempts: small.attempts.into(), interruptions: small.interruptions.into() }
    }
}

/// A message that a consumer hands out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) sequence: u8,
    pub(crate) progress: Progress,
    /// A worker has it, as far as the server knows.
    pub(crate) is_out: bool,
    pub(crate) is_acked: bool,
    /// It may have been delivered before.
    pub(crate) is_repeated: bool,
}

/// What JetStream keeps. Each subject holds one message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// `skep.event.…`: the event that it is a call of, which stays.
    pub(crate) event: Option<Message>,
    /// `skep.invoke.…`: finished messages stay until they are purged.
    pub(crate) lane: Option<Message>,
    /// The same in a lane for hot functions, where only new calls are stored.
    pub(crate) bulk: Option<Message>,
    /// `skep.backlog.…`: what the function could not take.
    pub(crate) backlog: Option<Message>,
    /// `skep.delayed.wait.…`: parked.
    pub(crate) parked: Option<(u8, Progress)>,
    /// `skep.delayed.due.…`: its time has come.
    pub(crate) due: Option<Message>,
    /// `skep.calls.…`: the record, which nobody can change.
    pub(crate) record: Option<End>,
    /// Records that were taken; more than one is the end of all trust.
    pub(crate) records: u8,
    /// `skep.dead.…`.
    pub(crate) has_dead_letter: bool,
    pub(crate) last_sequence: u8,
    /// What was removed from a lane last.
    pub(crate) removed: Option<(Place, Message)>,
}

/// Where a message was handed out from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Event,
    Lane,
    Bulk,
    Backlog,
    Due,
}

/// What a worker does next with what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// Ask the other worker whether it holds the call.
    Ask,
    LookUp,
    /// A slot is there, or not.
    Begin,
    /// A call of an event that does not run straight from it is looked up, and put into its lane.
    QueueLook,
    QueuePut,
    Run,
    /// Put it into its function's backlog.
    Overflow,
    RemoveBacklogged {
        sequence: u8,
    },
    Record(End),
    DeadLetter,
    /// Look whether the next attempt may be parked.
    ParkLook,
    ParkPut {
        expected: u8,
    },
    ReturnToLane,
    RemoveQueued {
        sequence: u8,
    },
    /// The run takes long, so a lease is to stand for the message in the lane.
    Lease,
    LeaveLane,
    /// The call was given back too often, so it is parked as it is.
    ParkBack,
    LeaveLaneForGood,
    Ack,
}

/// A delivery in a worker's hands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Held {
    /// Of two workers that ask each other, the one with the lower id goes first.
    pub(crate) worker: u8,
    pub(crate) place: Place,
    pub(crate) sequence: u8,
    pub(crate) progress: Progress,
    pub(crate) is_repeated: bool,
    /// Another worker that goes first has asked while this one was in doubt.
    pub(crate) has_yielded: bool,
    /// The lease that stands for it.
    pub(crate) lease: Option<u8>,
    pub(crate) step: Step,
}

impl Held {
    /// Whether it is a delivery of the call, and not one of a due message that is only moved.
    pub(crate) fn is_of_call(&self) -> bool {
        self.place != Place::Due
    }

    /// `Delivery::may_be_held_elsewhere`.
    pub(crate) fn asks(&self) -> bool {
        self.is_repeated || self.progress.interruptions > 0
    }

    /// Whether this worker still finds out whether it may run the call.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.asks() && matches!(self.step, Step::Ask | Step::LookUp)
    }
}

/// Someone who submits the call: the gateway, for a caller that may send twice, or that waits while the gateway tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Submitting {
    /// Where it is stored, decided once.
    pub(crate) entry: Place,
    pub(crate) step: Submit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Submit {
    Look,
    Put,
    Answer,
}

/// Someone who takes the call back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cancel {
    Record,
    RemoveDelayed,
    RemoveBacklogged,
    RemoveQueued,
}

/// What may still go wrong; bounded, so that everything can be tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// More than one is of a caller's own id.
    pub(crate) submits: u8,
    /// Where the call may be stored first.
    pub(crate) entries: &'static [Place],
    /// Answers to a submit that are lost, so that it is tried again.
    pub(crate) lost_answers: u8,
    pub(crate) cancels: u8,
    /// Workers that die.
    pub(crate) crashes: u8,
    /// Deliveries that are handed to someone else while their holder lives on.
    pub(crate) stalls: u8,
    /// Questions that a worker does not answer although it holds the call: it stands still, or is cut off.
    pub(crate) unanswered: u8,
    /// Acks that a killed server forgets.
    pub(crate) lost_acks: u8,
    /// Messages that were removed from the lane and acknowledged, and that a killed server has again.
    pub(crate) lost_removals: u8,
    /// Calls that find no slot.
    pub(crate) overflow: u8,
    /// Runs that take long.
    pub(crate) long_runs: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) server: Server,
    pub(crate) submit: Option<Submitting>,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) workers: [Option<Held>; WORKERS],
    /// The caller has its 202.
    pub(crate) is_accepted: bool,
    /// A run was begun after a run had its record, and no question had stayed unanswered.
    pub(crate) ran_after_record: bool,
    /// A run was begun while another one was under way, and no question had stayed unanswered.
    pub(crate) ran_twice_at_once: bool,
    /// A question stayed unanswered.
    pub(crate) was_unanswered: bool,
    pub(crate) budget: Budget,
}

impl State {
    /// The same state with small sequences and workers in order: which worker it is and what number a message has makes no difference.
    pub(crate) fn canonical(mut self) -> Self {
        let mut sequences: Vec<&mut u8> = Vec::new();
        let Server { event, lane, bulk, backlog, parked, due, removed, last_sequence, .. } = &mut self.server;
        let removed = removed.iter_mut().map(|(_, message)| message);
        let messages = event.iter_mut().chain(lane).chain(bulk).chain(backlog).chain(due).chain(removed);
        sequences.extend(messages.map(|message| &mut message.sequence));
        sequences.extend(parked.iter_mut().map(|(sequence, _)| sequence));
        for held in self.workers.iter_mut().flatten() {
            sequences.push(&mut held.sequence);
            sequences.extend(&mut held.lease);
            if let Step::ParkPut { expected: sequence }
            | Step::RemoveQueued { sequence }
            | Step::RemoveBacklogged { sequence } = &mut held.step
            {
                sequences.push(sequence);
            }
        }
        let mut ranks: Vec<u8> = sequences.iter().map(|sequence| **sequence).filter(|sequence| *sequence > 0).collect();
        ranks.sort_unstable();
        ranks.dedup();
        for sequence in sequences {
            let rank = ranks.iter().position(|known| known == sequence).map_or(0, |rank| rank + 1);
            *sequence = u8::try_from(rank).unwrap();
        }
        *last_sequence = u8::try_from(ranks.len()).unwrap();
        self.workers.sort();
        self
    }
}

impl Server {
    /// Publishes to a subject that takes one message; refused if it holds one.
    pub(crate) fn put(&mut self, place: Place, progress: Progress, is_repeated: bool) {
        if self.message(place).is_none() {
            let sequence = self.next_sequence();
            *self.message(place) = Some(Message { sequence, progress, is_out: false, is_acked: false, is_repeated });
        }
    }

    pub(crate) fn next_sequence(&mut self) -> u8 {
        self.last_sequence += 1;
        self.last_sequence
    }

    pub(crate) fn message(&mut self, place: Place) -> &mut Option<Message> {
        match place {
            Place::Event => &mut self.event,
            Place::Lane => &mut self.lane,
            Place::Bulk => &mut self.bulk,
            Place::Backlog => &mut self.backlog,
            Place::Due => &mut self.due,
        }
    }

    /// A run has come to its end and has its record.
    pub(crate) fn has_run(&self) -> bool {
        matches!(self.record, Some(End::Done | End::Dead))
    }

    pub(crate) fn progress_in(&self, place: Place) -> Option<life::Progress> {
        let message = match place {
            Place::Event => &self.event,
            Place::Lane => &self.lane,
            Place::Bulk => &self.bulk,
            Place::Backlog => &self.backlog,
            Place::Due => &self.due,
        };
        message.as_ref().map(|message| message.progress.into())
    }

    pub(crate) fn parked_progress(&self) -> Option<life::Progress> {
        self.parked.map(|(_, progress)| progress.into())
    }

    /// The call is somewhere from where it will be worked on.
    pub(crate) fn holds_it(&self) -> bool {
        let is_open = |message: &Option<Message>| message.as_ref().is_some_and(|message| !message.is_acked);
        let queued = [&self.event, &self.lane, &self.bulk, &self.backlog, &self.due];
        queued.into_iter().any(is_open) || self.parked.is_some()
    }

    /// What is stored is known: the call has its record, or a message anywhere, also one that is finished and not purged.
    pub(crate) fn knows_it(&self) -> bool {
        self.event.is_some() || self.knows_it_elsewhere()
    }

    /// `Calls::stored_status`: the same of messages of its own.
    pub(crate) fn knows_it_elsewhere(&self) -> bool {
        let queued = [&self.lane, &self.bulk, &self.backlog, &self.due];
        self.record.is_some() || queued.into_iter().any(Option::is_some) || self.parked.is_some()
    }
}
