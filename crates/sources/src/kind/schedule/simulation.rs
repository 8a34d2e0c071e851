//! A simulation of planners and workers over simulated time, with the functions that really decide.
//! Planners stop between any two steps, an old one goes on beside the new one, and workers stop after each write.

mod checks;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use skep_protocol::{CallId, Occurrence, Overlap, Turn, TurnDecision, TurnRequest};
use time::OffsetDateTime;

use super::{Schedule, tests::schedule};
use crate::{Due, Receiver, Run, occurrence_id, testing::try_receiver};

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Waits,
    Runs { until: OffsetDateTime },
    Ended { ran: bool },
}

#[derive(Clone, Debug)]
struct Call {
    occurrence: Occurrence,
    run_at: OffsetDateTime,
    state: State,
    begun_at: Option<OffsetDateTime>,
    waited: bool,
}

/// How far it is planned, as the registry says.
#[derive(Clone, Copy, Debug)]
struct Plan {
    until: OffsetDateTime,
    listed: OffsetDateTime,
}

struct World {
    receiver: Receiver,
    now: OffsetDateTime,
    plan: Plan,
    calls: BTreeMap<CallId, Call>,
    turn: Turn,
    /// Occurrences that a planner has left out, because it was too late for them.
    left_out: BTreeSet<OffsetDateTime>,
    listed: BTreeSet<OffsetDateTime>,
    runs_for: i64,
}

/// What happens next.
#[derive(Clone, Debug)]
enum Happens {
    Time(i64),
    Plans {
        writes: usize,
    },
    /// One that leads no more looks with what it knew.
    OldPlans {
        writes: usize,
    },
    /// A worker takes what is due, and stops after this many decisions.
    Works {
        decisions: usize,
        newest_first: bool,
    },
}

impl World {
    fn new(spec: &Value, now: OffsetDateTime, runs_for: i64) -> Self {
        let receiver = try_receiver(&spec.to_string()).unwrap_or_else(|error| panic!("{spec}: {error}"));
        let (calls, turn, left_out, listed) = Default::default();
        Self { receiver, now, plan: Plan { until: now, listed: now }, calls, turn, left_out, listed, runs_for }
    }

    fn schedule(&self) -> &Schedule {
        self.receiver.schedule().unwrap()
    }

    fn plans(&mut self, known: Plan, mut writes: usize, leads: bool) {
        let step = self.schedule().step(known.until, known.listed, self.now);
        let mut may_write = || {
            writes = writes.saturating_sub(1);
            writes > 0
        };
        for due in &step.run {
            if !may_write() {
                return;
            }
            self.submit(due);
        }
        for listed in &step.listed {
            if !may_write() {
                return;
            }
            self.listed.insert(listed.at);
        }
        if !leads || !may_write() {
            return;
        }
        let between: Vec<_> = self.schedule().between(self.plan.until, step.planned_until.min(self.now)).collect();
        let left_out: Vec<_> = between.into_iter().filter(|at| !self.calls.contains_key(&self.id(*at))).collect();
        self.check_left_out(&left_out);
        self.check_gap(known, step.gap, &left_out);
        self.left_out.extend(left_out);
        let listed = step.listed.last().map_or(self.plan.listed, |last| last.at.max(self.plan.listed));
        self.plan = Plan { until: step.planned_until, listed };
    }

    fn id(&self, at: OffsetDateTime) -> CallId {
        CallId::of_occurrence(self.receiver.name(), self.receiver.routes()[0].name(), &occurrence_id(at).unwrap())
    }

    fn submit(&mut self, due: &Due) {
        let schedule = self.receiver.schedule().unwrap();
        let (id, at) = (occurrence_id(due.at).unwrap(), (due.at, due.missed));
        let event = self.receiver.occurrence_event(schedule, id, at, None, &|_| Vec::new());
        for call in self.receiver.occurrence_calls(schedule, &event, due, Run::Planned, self.now) {
            assert_eq!(call.call_id, self.id(due.at));
            let (occurrence, run_at) = (call.occurrence.unwrap(), call.run_at.unwrap());
            let new = Call { occurrence, run_at, state: State::Waits, begun_at: None, waited: false };
            // A second one is refused.
            self.calls.entry(call.call_id).or_insert(new);
        }
    }

    fn works(&mut self, decisions: usize, newest_first: bool) {
        let is_due = |call: &&Call| call.state == State::Waits && call.run_at <= self.now;
        let mut due: Vec<CallId> =
            self.calls.iter().filter(|(_, call)| is_due(call)).map(|(id, _)| id.clone()).collect();
        if newest_first {
            due.reverse();
        }
        for id in due.into_iter().take(decisions) {
            self.decides(&id);
        }
    }

    /// As a queue-worker does.
    fn decides(&mut self, id: &CallId) {
        let call = self.calls[id].clone();
        let miss = call.occurrence.miss(call.run_at, self.now);
        let has_turn =
            call.occurrence.overlap != Overlap::Allow && (self.turn.is_running(id) || self.turn.has_waiting(id));
        if miss.is_some() && !has_turn {
            return self.end(id, false);
        }
        loop {
            let overlap = call.occurrence.overlap_at(call.run_at, self.turn.begun_at, self.now);
            let is_open =
                |other: &CallId| self.calls.get(other).is_some_and(|call| !matches!(call.state, State::Ended { .. }));
            let (planned_at, after) = (call.occurrence.planned_at.unix_timestamp(), call.occurrence.after.as_ref());
            let (is_missed, all_run, now) = (false, call.occurrence.all_run(), self.now);
            let request = TurnRequest { call_id: id, planned_at, overlap, after, is_missed, all_run, now };
            match self.turn.decide(request, is_open) {
                TurnDecision::Run { write } => {
                    self.turn = write.unwrap_or_else(|| self.turn.clone());
                    return self.begin(id, overlap);
                }
                TurnDecision::Wait { write } => {
                    self.turn = write.unwrap_or_else(|| self.turn.clone());
                    self.calls.get_mut(id).unwrap().waited = true;
                    return;
                }
                TurnDecision::Again { write } => self.turn = write,
                TurnDecision::Skip { of } => {
                    assert_ne!(overlap, Overlap::Allow);
                    assert!(of != *id);
                    self.check_skipped(&call, &self.calls[&of]);
                    return self.end(id, false);
                }
                TurnDecision::Replace { of, write } => {
                    self.end(&of, true);
                    self.turn = write;
                    return self.begin(id, overlap);
                }
            }
        }
    }

    fn begin(&mut self, id: &CallId, overlap: Overlap) {
        let running = self.calls.values().filter(|call| matches!(call.state, State::Runs { .. })).count();
        assert!(running == 0 || overlap == Overlap::Allow, "{overlap:?}: two run at once");
        let mut older = self.calls.range(..id.clone()).filter(|(_, call)| call.state == State::Waits);
        let is_first = overlap != Overlap::InTurn || !older.any(|(_, call)| self.is_before_all(call));
        assert!(is_first, "{id}: an older one waits");
        let (now, until) = (self.now, self.now + time::Duration::seconds(self.runs_for));
        let call = self.calls.get_mut(id).unwrap();
        assert_eq!(call.state, State::Waits, "it begins once");
        (call.state, call.begun_at) = (State::Runs { until }, Some(now));
        let call = call.clone();
        self.check_late(&call);
    }

    fn end(&mut self, id: &CallId, ran: bool) {
        self.calls.get_mut(id).unwrap().state = State::Ended { ran };
    }

    fn passes(&mut self, seconds: i64) {
        self.now += time::Duration::seconds(seconds);
        for call in self.calls.values_mut() {
            if matches!(call.state, State::Runs { until } if until <= self.now) {
                call.state = State::Ended { ran: true };
            }
        }
    }

    fn happens(&mut self, what: &Happens, old: &mut Plan) {
        match what {
            Happens::Time(seconds) => self.passes(*seconds),
            Happens::Plans { writes } => {
                *old = self.plan;
                self.plans(self.plan, *writes, true);
            }
            Happens::OldPlans { writes } => self.plans(*old, *writes, false),
            Happens::Works { decisions, newest_first } => self.works(*decisions, *newest_first),
        }
    }

    /// All go on, until what was there has ended.
    fn settles(&mut self, since: OffsetDateTime, is_calm: bool) {
        let end = self.now;
        self.plans(self.plan, usize::MAX, true);
        for _ in 0..2000 {
            self.works(usize::MAX, false);
            let is_open = |call: &Call| call.run_at <= end && !matches!(call.state, State::Ended { .. });
            if !self.calls.values().any(is_open) {
                break;
            }
            self.passes(self.runs_for.max(1));
        }
        for at in self.schedule().between(since, end).collect::<Vec<_>>() {
            let call = self.calls.get(&self.id(at));
            assert!(call.is_some() || self.left_out.contains(&at), "{at} is nowhere");
            let is_over = call.is_none_or(|call| matches!(call.state, State::Ended { .. }) || call.run_at > end);
            assert!(is_over, "{at}: {call:?}");
            assert!(!is_calm || call.is_none() || self.listed.contains(&at), "{at} is not listed");
        }
        for (id, call) in &self.calls {
            let planned = call.occurrence.planned_at;
            let is_occurrence = self.schedule().after(planned - time::Duration::SECOND) == Some(planned);
            assert!(is_occurrence, "{id} is no occurrence");
            let ended = matches!(call.state, State::Ended { ran: false });
            let may_end = call.occurrence.overlap != Overlap::Allow || call.occurrence.lateness.is_some();
            assert!(!ended || may_end, "{id} did not run");
        }
    }
}

/// Schedules of all kinds, with a moment near which the clocks of their zone change, in either direction.
fn specs() -> impl Strategy<Value = (Value, i64)> {
    let zones = [
        ("Europe/Berlin", 1_774_746_000),
        ("Europe/Berlin", 1_792_890_000),
        ("America/New_York", 1_772_953_200),
        ("America/New_York", 1_793_512_800),
        ("Australia/Lord_Howe", 1_775_314_800),
        ("America/Sao_Paulo", 1_541_300_400),
        ("UTC", 1_780_000_000),
    ];
    let field = |most: u32| {
        prop_oneof![
            Just("*".to_owned()),
            (0..most).prop_map(|number| number.to_string()),
            (1..most.max(2)).prop_map(|step| format!("*/{step}")),
        ]
    };
    let cron = (field(60), field(24)).prop_map(|(minute, hour)| json!({ "cron": format!("{minute} {hour} * * *") }));
    let every = prop_oneof![1 => 5_u32..20, 4 => 20_u32..=60, 5 => 60_u32..4000]
        .prop_map(|seconds| json!({ "every": seconds }));
    let rule = prop_oneof![1 => cron, 4 => every];
    let policies = (
        prop::sample::select(vec!["skip", "queue", "replace", "allow"]),
        prop::sample::select(vec!["latest", "all", "skip"]),
        prop::sample::select(vec![60, 3600, 86_400]),
        prop::sample::select(vec![0, 0, 1, 90]),
    );
    (rule, policies, prop::sample::select(zones.to_vec())).prop_map(|(mut spec, policies, (zone, change))| {
        let (overlap, missed, within, jitter) = policies;
        spec["timezone"] = json!(zone);
        spec["overlap"] = json!(overlap);
        spec["missed"] = json!(missed);
        spec["missed_within"] = json!(within);
        if jitter > 0 {
            spec["jitter"] = json!(jitter);
        }
        spec["routes"] = json!([{ "to": "job" }]);
        (spec, change)
    })
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    let writes = || prop_oneof![2 => Just(usize::MAX), 1 => 0_usize..6];
    let one = prop_oneof![
        3 => (1_i64..200).prop_map(Happens::Time),
        1 => (200_i64..9000).prop_map(Happens::Time),
        4 => writes().prop_map(|writes| Happens::Plans { writes }),
        1 => writes().prop_map(|writes| Happens::OldPlans { writes }),
        4 => (writes(), any::<bool>()).prop_map(|(decisions, newest_first)| Happens::Works { decisions, newest_first }),
    ];
    prop::collection::vec(one, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn no_occurrence_is_twice_or_missing_and_policies_hold(
        (spec, change) in specs(),
        before in 0_i64..7200,
        runs_for in prop::sample::select(vec![0_i64, 5, 100, 4000]),
        happenings in happenings(),
    ) {
        let since = OffsetDateTime::from_unix_timestamp(change - before).unwrap();
        let mut world = World::new(&spec, since, runs_for);
        let mut old = world.plan;
        for what in &happenings {
            world.happens(what, &mut old);
        }
        // A planner that is cut off may leave calls of which the next one does not know.
        let is_calm = |what: &Happens| matches!(what, Happens::Time(_) | Happens::Works { .. } | Happens::Plans { writes: usize::MAX });
        world.settles(since, happenings.iter().all(is_calm));
    }

    #[test]
    fn occurrences_are_the_same_however_they_are_asked_for((spec, change) in specs(), cuts in prop::collection::vec(0_i64..20_000, 0..6)) {
        let schedule = schedule(&spec);
        let at = |seconds: i64| OffsetDateTime::from_unix_timestamp(change + seconds).unwrap();
        let (first, last) = (at(-3000), at(3000));
        let whole: Vec<_> = schedule.between(first, last).take(500).collect();
        prop_assert!(whole.windows(2).all(|pair| pair[0] < pair[1]));
        let last = whole.last().copied().unwrap_or(last);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| at(cut - 3000)).filter(|cut| *cut < last).collect();
        cuts.extend([first, last]);
        cuts.sort();
        let parts = cuts.windows(2).flat_map(|pair| schedule.between(pair[0], pair[1]).collect::<Vec<_>>());
        prop_assert_eq!(parts.collect::<Vec<_>>(), whole);
    }
}
