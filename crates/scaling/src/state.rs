//! What a decision remembers of those before it.

use std::{collections::VecDeque, time::Duration};

use crate::{Observation, history::History};

/// The longest down window.
const MAX_WINDOW: Duration = Duration::from_secs(300);
/// An observation is not taken to cover more than this, whatever delayed it.
const MAX_SPAN: f64 = 10.0;

/// One function's past. A new one begins with what runs at the first decision.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) history: History,
    /// What was needed, and when; the newest last.
    needs: VecDeque<(Duration, u32)>,
    /// The last decision.
    pub(crate) want: u32,
    /// What a call used of a core while it held a slot, when the machine had cores to spare.
    pub(crate) cores_per_call: Option<f64>,
    /// How long a call holds a slot while few fail.
    pub(crate) usual_occupancy: Option<f64>,
    held: Option<(u32, Duration)>,
    raised: Option<(u32, Duration)>,
    last: Option<Duration>,
    down_at: Option<Duration>,
}

impl State {
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps this number until then, on the clock of [`crate::decide`]: a person has set it.
    pub fn hold(&mut self, replicas: u32, until: Duration) {
        self.held = Some((replicas, until));
    }

    /// Ends [`State::hold`].
    pub fn let_go(&mut self) {
        self.held = None;
    }

    /// Wants no fewer than this number until then: an alert has fired.
    pub fn raise(&mut self, replicas: u32, until: Duration) {
        self.raised = Some((replicas, until));
    }

    /// The number that a person has set, and for how much longer it is held.
    pub(crate) fn held(&self, now: Duration) -> Option<(u32, Duration)> {
        left(self.held, now)
    }

    pub(crate) fn raised(&self, now: Duration) -> Option<(u32, Duration)> {
        left(self.raised, now)
    }

    /// Adds an observation.
    pub(crate) fn see(&mut self, seen: &Observation, now: Duration) {
        let span = match self.last {
            Some(last) => now.saturating_sub(last).as_secs_f64().min(MAX_SPAN),
            None => {
                self.want = seen.replicas();
                self.need(self.want, now);
                1.0
            }
        };
        self.last = Some(now);
        self.history.push(seen, span, now);
    }

    /// This many are needed now.
    pub(crate) fn need(&mut self, replicas: u32, now: Duration) {
        self.needs.push_back((now, replicas));
        while self.needs.front().is_some_and(|(at, _)| now.saturating_sub(*at) > MAX_WINDOW) {
            self.needs.pop_front();
        }
    }

    pub(crate) fn decided(&mut self, want: u32, now: Duration) {
        if want < self.want {
            self.down_at = Some(now);
        }
        self.want = want;
    }

    /// How long ago the number was reduced.
    pub(crate) fn down_since(&self, now: Duration) -> Option<Duration> {
        self.down_at.map(|at| now.saturating_sub(at))
    }

    /// The most that was needed within this time.
    pub(crate) fn most_needed(&self, window: Duration, now: Duration) -> u32 {
        let recent = self.needs.iter().rev().take_while(|(at, _)| now.saturating_sub(*at) <= window);
        recent.map(|(_, need)| *need).max().unwrap_or(0)
    }
}

fn left(timed: Option<(u32, Duration)>, now: Duration) -> Option<(u32, Duration)> {
    timed.filter(|(_, until)| *until > now).map(|(replicas, until)| (replicas, until.saturating_sub(now)))
}
