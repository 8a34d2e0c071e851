//! What is known of each call, in as little memory as possible: of ids only their hashes are kept, until one of them is missing.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    time::Duration,
};

use skep_protocol::{AuditKind, AuditedEvent, CallId, CallState, FunctionLedger};
use time::OffsetDateTime;

use crate::audit::ledger::Note;

/// How much the clocks of servers and roles may differ, in seconds.
const MARGIN: i64 = 10;

/// A call that does not seem to be in order, to be checked again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Doubt {
    pub(super) kind: AuditKind,
    pub(super) call_id: CallId,
    pub(super) function: usize,
    pub(super) since: i64,
    /// The event whose call it is, where it is missed as that.
    pub(super) event: Option<AuditedEvent>,
}

pub(super) struct Books {
    hashes: RandomState,
    now: i64,
    /// How long records are kept, in seconds.
    kept: i64,
    /// What has ended should have left all queues within this, in seconds.
    gone_within: i64,
    numbers: HashMap<String, usize>,
    pub(super) ledgers: Vec<FunctionLedger>,
    /// Functions whose records are kept for less.
    brief: HashMap<usize, i64>,
    removed_before: i64,
    receipts: Vec<u64>,
    marks: Vec<Mark>,
    open: HashMap<u64, Open>,
    letters: HashMap<u64, DeadLetter>,
}

/// What is known of a receipt.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Unseen,
    Seen,
    Recorded,
    Expired,
    InDoubt,
}

/// A call with a message.
struct Open {
    function: usize,
    /// A queue-worker has only to take it.
    is_due: bool,
    has_ended: bool,
}

struct DeadLetter {
    function: usize,
    sequence: u64,
    dead_at: i64,
    has_record: bool,
}

/// A dead letter whose call has no record and should have one.
pub(super) struct OrphanDeadLetter {
    pub(super) function: usize,
    pub(super) sequence: u64,
    pub(super) dead_at: i64,
}

impl Books {
    pub(super) fn new(now: OffsetDateTime, kept: Duration, gone_within: Duration) -> Self {
        let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 2);
        Self {
            hashes: RandomState::new(),
            now: now.unix_timestamp(),
            kept: seconds(kept),
            gone_within: seconds(gone_within),
            numbers: HashMap::new(),
            ledgers: Vec::new(),
            brief: HashMap::new(),
            removed_before: 0,
            receipts: Vec::new(),
            marks: Vec::new(),
            open: HashMap::new(),
            letters: HashMap::new(),
        }
    }

    pub(super) fn note(&mut self, note: &Note<'_>) {
        match note {
            Note::Receipt { call_id, .. } => self.receipts.push(self.hashes.hash_one(call_id)),
            Note::Brief { function, seconds } => {
                let function = self.number(function);
                let known = self.brief.entry(function).or_insert(*seconds);
                *known = (*known).min(*seconds);
            }
            Note::Removed { before } => self.removed_before = self.removed_before.max(*before),
        }
    }

    pub(super) fn doubt(
        &mut self,
        kind: AuditKind,
        call_id: &str,
        function: &str,
        since: OffsetDateTime,
    ) -> Option<Doubt> {
        let function = self.number(function);
        Some(Doubt { kind, call_id: call_id.parse().ok()?, function, since: since.unix_timestamp(), event: None })
    }

    /// All receipts have been read once.
    pub(super) fn close_receipts(&mut self) {
        self.receipts.sort_unstable();
        self.receipts.dedup();
        self.receipts.shrink_to_fit();
        self.marks = vec![Mark::Unseen; self.receipts.len()];
    }

    pub(super) fn dead_letter(&mut self, call_id: &str, function: &str, sequence: u64, dead_at: OffsetDateTime) {
        let function = self.number(function);
        let letter = DeadLetter { function, sequence, dead_at: dead_at.unix_timestamp(), has_record: false };
        self.letters.insert(self.hashes.hash_one(call_id), letter);
    }

    /// A message of a call that has to be run, or finished.
    pub(super) fn open(&mut self, call_id: &str, function: &str, is_due: bool) {
        let (hash, function) = (self.hashes.hash_one(call_id), self.number(function));
        let open = self.open.entry(hash).or_insert(Open { function, is_due, has_ended: false });
        open.is_due |= is_due;
    }

    /// Work that was published and not taken up.
    pub(super) fn published(&mut self, function: &str, count: u64) {
        let function = self.number(function);
        if let Some(ledger) = self.ledgers.get_mut(function) {
            ledger.in_flight += count;
        }
    }

    /// A record; returns what may be wrong with it.
    pub(super) fn record(
        &mut self,
        call_id: &str,
        function: &str,
        state: CallState,
        stored_at: OffsetDateTime,
    ) -> Option<Doubt> {
        let (hash, function) = (self.hashes.hash_one(call_id), self.number(function));
        let since = stored_at.unix_timestamp();
        let doubt = |kind| Some(Doubt { kind, call_id: call_id.parse().ok()?, function, since, event: None });
        if let Some(mark) = self.mark(hash) {
            if *mark == Mark::Recorded {
                return doubt(AuditKind::TwoRecords);
            }
            *mark = Mark::Recorded;
        }
        *self.ledgers.get_mut(function)?.count_mut(state) += 1;
        if let Some(letter) = self.letters.get_mut(&hash) {
            letter.has_record = true;
        }
        let open = self.open.get_mut(&hash)?;
        open.has_ended = true;
        let is_left_over = open.is_due && self.should_be_gone(stored_at);
        if is_left_over { doubt(AuditKind::LeftOver) } else { None }
    }

    /// Whether what ended then should have left all queues.
    pub(super) fn should_be_gone(&self, ended_at: OffsetDateTime) -> bool {
        ended_at.unix_timestamp() + self.gone_within < self.now
    }

    /// All messages and records have been seen: counts the calls that have no record, and returns dead letters that should have one.
    pub(super) fn close_messages(&mut self) -> Vec<OrphanDeadLetter> {
        let open = std::mem::take(&mut self.open);
        for (hash, open) in open.iter().filter(|(_, open)| !open.has_ended) {
            self.seen(*hash, open.function, CallState::Queued);
        }
        let mut lone = Vec::new();
        for (hash, letter) in std::mem::take(&mut self.letters) {
            if letter.has_record || open.contains_key(&hash) {
                continue;
            }
            let DeadLetter { function, sequence, dead_at, .. } = letter;
            self.seen(hash, function, CallState::Dead);
            if !self.may_have_run_out(function, dead_at) {
                lone.push(OrphanDeadLetter { function, sequence, dead_at });
            }
        }
        lone
    }

    /// Looks at a receipt for the second time: what was seen nowhere has run out, or is in doubt.
    pub(super) fn settle(&mut self, note: &Note<'_>) -> Option<Doubt> {
        let Note::Receipt { function, call_id, since } = *note else { return None };
        let (hash, function) = (self.hashes.hash_one(call_id), self.number(function));
        let has_run_out = self.may_have_run_out(function, since);
        let mark = self.mark(hash)?;
        let before = *mark;
        match (before, has_run_out) {
            (Mark::Seen | Mark::Recorded | Mark::InDoubt, _) | (Mark::Expired, true) => return None,
            (Mark::Unseen, true) => *mark = Mark::Expired,
            // Of a call that was accepted more than once the last time counts.
            (Mark::Unseen | Mark::Expired, false) => *mark = Mark::InDoubt,
        }
        let expired = &mut self.ledgers.get_mut(function)?.expired;
        if has_run_out {
            *expired += 1;
            return None;
        }
        *expired -= u64::from(before == Mark::Expired);
        Some(Doubt { kind: AuditKind::Missing, call_id: call_id.parse().ok()?, function, since, event: None })
    }

    /// The call of a route of an event that was routed; in doubt if it has no receipt, for with one it is counted.
    pub(super) fn call_of_event(&mut self, call_id: CallId, function: &str, since: OffsetDateTime) -> Option<Doubt> {
        let (hash, function) = (self.hashes.hash_one(call_id.as_str()), self.number(function));
        let since = since.unix_timestamp();
        let is_known = self.mark(hash).is_some() || self.may_have_run_out(function, since);
        (!is_known).then_some(Doubt { kind: AuditKind::NotRouted, call_id, function, since, event: None })
    }

    pub(super) fn ledger(&mut self, function: usize) -> Option<&mut FunctionLedger> {
        self.ledgers.get_mut(function)
    }

    /// Records may have run out until then.
    pub(super) fn go_on_until(&mut self, now: OffsetDateTime) {
        self.now = now.unix_timestamp();
    }

    /// Whether what is missed may have run out meanwhile.
    pub(super) fn is_over(&self, doubt: &Doubt) -> bool {
        match doubt.kind {
            AuditKind::Missing | AuditKind::LetterWithoutRecord | AuditKind::NotRouted => {
                self.may_have_run_out(doubt.function, doubt.since)
            }
            AuditKind::LeftOver | AuditKind::NotPurged | AuditKind::TwoRecords => false,
        }
    }

    /// Whether a record that was stored at this time, or later, may have been removed in order.
    fn may_have_run_out(&self, function: usize, since: i64) -> bool {
        let kept = self.brief.get(&function).map_or(self.kept, |brief| self.kept.min(*brief));
        since.saturating_add(kept) <= self.now + MARGIN || since < self.removed_before + MARGIN
    }

    fn seen(&mut self, hash: u64, function: usize, state: CallState) {
        if let Some(mark) = self.mark(hash) {
            *mark = Mark::Seen;
        }
        if let Some(ledger) = self.ledgers.get_mut(function) {
            *ledger.count_mut(state) += 1;
        }
    }

    fn mark(&mut self, hash: u64) -> Option<&mut Mark> {
        let place = self.receipts.binary_search(&hash).ok()?;
        self.marks.get_mut(place)
    }

    fn number(&mut self, function: &str) -> usize {
        if let Some(number) = self.numbers.get(function) {
            return *number;
        }
        let number = self.ledgers.len();
        self.numbers.insert(function.to_owned(), number);
        self.ledgers.push(FunctionLedger { function: function.to_owned(), ..FunctionLedger::default() });
        number
    }
}

#[cfg(test)]
#[path = "books/tests.rs"]
mod tests;
