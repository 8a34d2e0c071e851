//! One call, the server that keeps it, and those who work on it, as small as the questions allow.

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

/// A message that a consumer hands out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) sequence: u8,
    /// Attempts made before this one.
    pub(crate) attempts: u8,
    /// Somebody has it, as far as the server knows.
    pub(crate) is_out: bool,
    pub(crate) is_acked: bool,
    /// It may have been worked on before.
    pub(crate) is_repeated: bool,
}

/// What JetStream keeps. Each subject holds one message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// `skep.invoke.…`: finished messages stay until they are purged.
    pub(crate) lane: Option<Message>,
    /// `skep.backlog.…`: what the function could not take.
    pub(crate) backlog: Option<Message>,
    /// `skep.delayed.…`: sequence, and attempts made.
    pub(crate) delayed: Option<(u8, u8)>,
    /// `skep.due.…`: its time has come.
    pub(crate) due: Option<Message>,
    /// `skep.calls.…`: the record, which nobody can change.
    pub(crate) record: Option<End>,
    /// Records that were taken; more than one is the end of all trust.
    pub(crate) records: u8,
    /// `skep.dead.…`.
    pub(crate) has_letter: bool,
    pub(crate) last_sequence: u8,
}

/// Where a message was handed out from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Lane,
    Backlog,
    Due,
}

/// What a worker does next with what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    LookUp,
    Run,
    /// Put it into its function's backlog.
    SetAside,
    RemoveSetAside {
        sequence: u8,
    },
    Record(End),
    Letter,
    /// Look whether the next attempt may be stored; it is told what is there now.
    DelayLook,
    DelayPut {
        known: u8,
    },
    Requeue,
    RemoveQueued {
        sequence: u8,
    },
    /// The run takes long, so a schedule is to stand in for the message in the lane.
    StandIn,
    LeaveLane,
    Ack,
}

/// A delivery in a worker's hands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Held {
    pub(crate) place: Place,
    pub(crate) sequence: u8,
    pub(crate) attempts: u8,
    pub(crate) is_repeated: bool,
    /// The schedule that stands in for it.
    pub(crate) stand_in: Option<u8>,
    pub(crate) step: Step,
}

/// Someone who submits the call: the gateway, for a caller that may send twice.
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
    RemoveSetAside,
    RemoveQueued,
}

/// What may still go wrong; bounded, so that everything can be tried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) submits: u8,
    pub(crate) cancels: u8,
    /// Workers that die.
    pub(crate) crashes: u8,
    /// Deliveries that are handed to someone else while their holder lives on.
    pub(crate) stalls: u8,
    /// Acks that a killed server forgets.
    pub(crate) lost_acks: u8,
    /// Calls that find no slot.
    pub(crate) set_aside: u8,
    /// Runs that take long.
    pub(crate) long_runs: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) server: Server,
    pub(crate) submit: Option<Submit>,
    pub(crate) cancel: Option<Cancel>,
    pub(crate) workers: [Option<Held>; WORKERS],
    /// The caller has its 202.
    pub(crate) is_accepted: bool,
    /// A run was begun although the record was there when the worker was to look.
    pub(crate) ran_after_record: bool,
    pub(crate) budget: Budget,
}

impl State {
    /// The same state with small sequences and workers in order: which worker it is and what number a message has makes no difference.
    pub(crate) fn canonical(mut self) -> Self {
        let mut sequences: Vec<&mut u8> = Vec::new();
        let Server { lane, backlog, delayed, due, last_sequence, .. } = &mut self.server;
        sequences.extend(lane.iter_mut().chain(backlog).chain(due).map(|message| &mut message.sequence));
        sequences.extend(delayed.iter_mut().map(|(sequence, _)| sequence));
        for held in self.workers.iter_mut().flatten() {
            sequences.push(&mut held.sequence);
            sequences.extend(&mut held.stand_in);
            if let Step::DelayPut { known: sequence }
            | Step::RemoveQueued { sequence }
            | Step::RemoveSetAside { sequence } = &mut held.step
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
    /// Publishes to a subject of the invocation stream; refused if it holds a message.
    pub(crate) fn put_in_lane(&mut self, attempts: u8, is_repeated: bool) -> bool {
        if self.lane.is_some() {
            return false;
        }
        let sequence = self.next_sequence();
        self.lane = Some(Message { sequence, attempts, is_out: false, is_acked: false, is_repeated });
        true
    }

    pub(crate) fn next_sequence(&mut self) -> u8 {
        self.last_sequence += 1;
        self.last_sequence
    }

    pub(crate) fn message(&mut self, place: Place) -> &mut Option<Message> {
        match place {
            Place::Lane => &mut self.lane,
            Place::Backlog => &mut self.backlog,
            Place::Due => &mut self.due,
        }
    }

    /// The most attempts that a waiting call of this id has behind it: its schedule, or what came of that.
    pub(crate) fn waiting(&self) -> Option<u8> {
        let due = self.due.as_ref().map(|message| message.attempts);
        due.max(self.delayed.map(|(_, attempts)| attempts))
    }

    /// The most attempts that the call has behind it anywhere.
    pub(crate) fn furthest(&self) -> Option<u8> {
        let queued = [&self.lane, &self.backlog].map(|message| message.as_ref().map(|message| message.attempts));
        queued.into_iter().max().flatten().max(self.waiting())
    }

    /// The call is somewhere from where it will be worked on.
    pub(crate) fn holds_it(&self) -> bool {
        let is_open = |message: &Option<Message>| message.as_ref().is_some_and(|message| !message.is_acked);
        is_open(&self.lane) || is_open(&self.backlog) || is_open(&self.due) || self.delayed.is_some()
    }
}
