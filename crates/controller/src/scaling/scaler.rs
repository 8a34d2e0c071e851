//! How one function is scaled: its past, and what was decided last.

use std::{sync::Arc, time::Duration};

use skep_protocol::{FunctionName, FunctionRecord, FunctionStats, ScaleChange, Scaling, ScalingStatus};
use skep_scaling::{Decision, Observation, Policy, Record, Room, State, decide};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Load, Recorder, arrivals::Arrivals, starts::Starts};

/// For how long an alert raises a function that other things scale, unless it fires again.
const RAISED: Duration = Duration::from_secs(60);
/// Two decisions may see a call before replicas for it must be started.
const LOOKS: Duration = Duration::from_secs(2);
/// When a number of replicas that was refused is asked for again.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

/// What all functions are scaled with.
#[derive(Clone, Default)]
pub(crate) struct Autoscale {
    /// Whether functions are scaled by their use.
    pub(crate) is_on: bool,
    /// The cores of the machine, if all replicas share them.
    pub(crate) cores: Option<f64>,
    /// Whether functions at zero are woken.
    pub(crate) wakes: bool,
    pub(crate) recorder: Option<Arc<Recorder>>,
}

/// One function.
pub(crate) struct Scaler {
    shared: Autoscale,
    name: FunctionName,
    began: Instant,
    state: State,
    /// Until when a number is kept that a person has set.
    held: Option<Instant>,
    arrivals: Arrivals,
    starts: Starts,
    /// What was seen and decided last, and when.
    last: Option<(Instant, Observation, Decision)>,
    /// Since when the present number of replicas is wanted, and why.
    since: Option<(OffsetDateTime, String)>,
    /// The last change that was not yet reported.
    change: Option<ScaleChange>,
    refused: Option<Instant>,
}

/// What there is of a function's replicas.
#[derive(Clone, Debug, Default)]
pub(crate) struct Present {
    /// Replicas that are wanted.
    pub(crate) wanted: u64,
    /// Replicas that take calls.
    pub(crate) ready: u64,
    /// Why some that are wanted cannot be placed.
    pub(crate) shortage: Option<String>,
    /// What they use of the CPU on average, in thousandths of a core.
    pub(crate) cpu: Option<f64>,
}

impl Scaler {
    pub(crate) fn new(shared: Autoscale, name: FunctionName) -> Self {
        let (state, arrivals, starts) = (State::new(), Arrivals::default(), Starts::default());
        let (held, last, since, change, refused) = (None, None, None, None, None);
        Self { shared, name, began: Instant::now(), state, held, arrivals, starts, last, since, change, refused }
    }

    /// Whether its use changes the number of its replicas.
    pub(crate) fn is_automatic(&self, scaling: &Scaling) -> bool {
        self.shared.is_on && scaling.is_automatic()
    }

    /// Decides how many replicas there are to be; `None` if as many as there are.
    pub(crate) fn decide(&mut self, load: &Load, present: &Present, mut policy: Policy) -> Option<u64> {
        policy.start = self.starts.usual();
        policy.cores = self.shared.cores;
        let seen = self.observation(load, present);
        let now = self.now();
        let decision = decide(&mut self.state, &seen, &policy, now);
        let want = u64::from(decision.want);
        let record = || Record {
            at: now.as_secs_f64(),
            function: self.name.to_string(),
            seen: seen.clone(),
            policy: policy.clone(),
            want: decision.want,
        };
        if let Some(recorder) = &self.shared.recorder {
            recorder.write(&record());
        }
        // From zero it is woken by a call, which asks for it, or before one comes due.
        let may_change = present.wanted > 0 || self.shared.wakes && seen.due > 0.0;
        let is_change = want != present.wanted && want > 0 && may_change;
        let is_due = is_change && self.refused.is_none_or(|at| at.elapsed() >= REFUSED_RETRY);
        if is_due {
            let record = serde_json::to_string(&record()).unwrap_or_default();
            let (from, reason) = (present.wanted, decision.reason.to_string());
            info!(function = %self.name, from, to = want, reason, record, "replicas follow the use");
        }
        self.last = Some((Instant::now(), seen, decision));
        is_due.then_some(want)
    }

    fn observation(&mut self, load: &Load, present: &Present) -> Observation {
        let Load { calls, waiting, due, is_complete, .. } = load;
        let arrived = self.arrivals.next(calls, waiting.depth);
        let age = self.arrivals.held_for(calls).max(waiting.age);
        Observation {
            arrived: arrived as f64,
            busy: Duration::from_millis(calls.busy_ms),
            done: calls.done as f64,
            failed: calls.failed as f64,
            in_flight: calls.in_flight as f64,
            longest: Duration::from_millis(calls.longest_ms),
            held: calls.held as f64,
            waiting: waiting.depth as f64,
            age: Duration::from_millis(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            due: *due as f64,
            ready: number(present.ready),
            starting: number(present.wanted.saturating_sub(present.ready)),
            complete: *is_complete,
            cpu: present.cpu,
            // What waits for a node goes on waiting, and no more are added to it.
            room: present.shortage.clone().map(|why| Room { replicas: Some(number(present.wanted)), why }),
        }
    }

    /// The replicas of a function at zero that is called: as many as the calls need that wait.
    pub(crate) fn awake(&mut self, scaling: &Scaling, policy: &Policy, load: &Load) -> u64 {
        self.hold(0, None);
        if !self.is_automatic(scaling) {
            return scaling.awake();
        }
        let waiting = load.calls.held.max(1) + load.waiting.depth;
        waiting.div_ceil(u64::from(policy.slots.max(1))).clamp(scaling.awake(), scaling.max.max(1))
    }

    /// The replicas after an alert. One that fires raises them for a while, and its end takes that back.
    pub(crate) fn after_alert(&mut self, scaling: &Scaling, replicas: u64, is_firing: bool, wanted: u64) -> u64 {
        let now = self.now();
        if !self.is_automatic(scaling) {
            return wanted;
        }
        if is_firing {
            self.state.raise(number(wanted), now + RAISED);
            return if self.is_held() { replicas } else { wanted.max(replicas) };
        }
        self.state.raise(0, now);
        if replicas == 0 || self.is_held() {
            return replicas;
        }
        let fresh = self.last.as_ref().filter(|(at, ..)| at.elapsed() < Duration::from_secs(3));
        let needed = fresh.map_or(0, |(.., decision)| u64::from(decision.need));
        replicas.min(needed.clamp(scaling.awake(), scaling.max.max(1)))
    }

    /// Keeps a number that a person has set.
    pub(crate) fn hold(&mut self, replicas: u64, until: Option<OffsetDateTime>) {
        let left = until.map(|until| until - skep_bus::now()).and_then(|left| Duration::try_from(left).ok());
        self.held = left.map(|left| Instant::now() + left);
        match left {
            Some(left) => self.state.hold(number(replicas), self.now() + left),
            None => self.state.let_go(),
        }
    }

    /// From now on, `wanted` replicas are wanted.
    pub(crate) fn expect(&mut self, before: u64, wanted: u64) {
        if wanted > before {
            self.starts.begin();
        }
    }

    /// The number of replicas was changed.
    pub(crate) fn changed(&mut self, from: u64, to: u64, reason: String) {
        let at = skep_bus::now();
        let from = self.change.as_ref().map_or(from, |change| change.from);
        self.change = Some(ScaleChange { at, from, to, reason: reason.clone() });
        self.since = Some((at, reason));
        self.refused = None;
    }

    /// Why the last decision was made.
    pub(crate) fn reason(&self) -> String {
        self.last.as_ref().map(|(.., decision)| decision.reason.to_string()).unwrap_or_default()
    }

    /// The number that was decided cannot be; it is tried again later.
    pub(crate) fn refuse(&mut self, error: &crate::Error) {
        warn!(function = %self.name, %error, "replicas do not follow the use");
        self.refused = Some(Instant::now());
    }

    /// The number of ready replicas has changed from `before` to `after`, of those that are wanted.
    pub(crate) fn see_ready(&mut self, before: u64, after: u64, wanted: u64) {
        self.starts.see(before, after, wanted);
    }

    /// How long before a call comes due replicas are started for it.
    pub(crate) fn horizon(&self) -> Duration {
        self.starts.usual() + LOOKS
    }

    /// Whether nothing changes any more without use.
    pub(crate) fn is_settled(&self, scaling: &Scaling, replicas: u64) -> bool {
        let is_least = replicas <= scaling.awake() && self.change.is_none();
        let is_decided = self.last.as_ref().is_some_and(|(.., decision)| u64::from(decision.want) == replicas);
        !self.is_held() && (!self.is_automatic(scaling) && self.change.is_none() || is_least && is_decided)
    }

    /// What is reported of this second.
    pub(crate) fn stats(
        &mut self,
        load: &Load,
        present: &Present,
        scaling: &Scaling,
        record: &FunctionRecord,
    ) -> FunctionStats {
        let Load { calls, waiting, is_unseen, is_complete, .. } = *load;
        let ready = present.ready;
        FunctionStats {
            name: self.name.clone(),
            calls,
            waiting: waiting.depth,
            age_ms: u64::try_from(waiting.age.as_millis()).unwrap_or(u64::MAX),
            unseen: is_unseen,
            replicas: present.wanted,
            ready,
            starting: present.wanted.saturating_sub(ready),
            complete: is_complete,
            scaling: Some(self.status(scaling, record)),
            scaled: self.change.take(),
        }
    }

    fn status(&self, scaling: &Scaling, record: &FunctionRecord) -> ScalingStatus {
        let since = self.since.as_ref().map(|(at, _)| *at);
        let mut status = ScalingStatus { since, ..ScalingStatus::of(record, scaling, skep_bus::now()) };
        if !self.is_automatic(scaling) {
            if !self.shared.is_on {
                "automatic scaling is off".clone_into(&mut status.reason);
            }
            return status;
        }
        if let Some((_, seen, decision)) = &self.last {
            status.need = Some(decision.need.into());
            status.load = Some(rounded(decision.load));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they are numbers of calls")]
            let (waiting, due) = (seen.queued() as u64, seen.due as u64);
            status.waiting = Some(waiting);
            status.age = Some(rounded(seen.age.as_secs_f64()));
            status.due = Some(due);
            status.occupancy = Some(rounded(decision.occupancy.as_secs_f64()));
            status.reason = decision.reason.to_string();
        }
        status
    }

    fn is_held(&self) -> bool {
        self.held.is_some_and(|until| Instant::now() < until)
    }

    /// In whole milliseconds, so that a record has all of it.
    fn now(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

fn number(replicas: u64) -> u32 {
    u32::try_from(replicas).unwrap_or(u32::MAX)
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
