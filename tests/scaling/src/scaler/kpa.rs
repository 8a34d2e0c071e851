//! Knative's pod autoscaler with its defaults: concurrency, 70 % of what a container takes, every two seconds.

use super::{Limits, Mean, Scaler, View, whole};

const PERIOD: f64 = 2.0;
/// `container-concurrency-target-percentage`.
const UTILIZATION: f64 = 0.7;
/// `stable-window` and `panic-window-percentage`: 60 s and 6 s.
const STABLE: usize = 30;
const PANIC: usize = 3;
/// `panic-threshold-percentage`.
const PANIC_THRESHOLD: f64 = 2.0;
const STABLE_SECONDS: f64 = 60.0;
/// `max-scale-up-rate` and `max-scale-down-rate`.
const MAX_UP: f64 = 1000.0;
const MAX_DOWN: f64 = 2.0;

pub struct Kpa {
    limits: Limits,
    stable: Mean,
    panic: Mean,
    panics_since: Option<f64>,
    most: u32,
}

impl Kpa {
    pub fn new(limits: Limits) -> Self {
        Self { limits, stable: Mean::of(STABLE), panic: Mean::of(PANIC), panics_since: None, most: 0 }
    }
}

impl Scaler for Kpa {
    fn period(&self) -> f64 {
        PERIOD
    }

    fn scale(&mut self, view: &View) -> u32 {
        let concurrency = (view.busy + view.queue) / view.span;
        let target = UTILIZATION * f64::from(self.limits.slots);
        let ready = f64::from(view.ready.max(1));
        let (most, least) = ((MAX_UP * ready).ceil(), (ready / MAX_DOWN).floor());
        let stable = (self.stable.add(concurrency) / target).ceil();
        let panic = (self.panic.add(concurrency) / target).ceil();
        if panic / ready >= PANIC_THRESHOLD {
            self.panics_since = Some(view.now);
        } else if self.panics_since.is_some_and(|since| since + STABLE_SECONDS < view.now) {
            (self.panics_since, self.most) = (None, 0);
        }
        let (stable, panic) = (whole(stable.clamp(least, most)), whole(panic.clamp(least, most)));
        let wanted = if self.panics_since.is_some() {
            self.most = self.most.max(stable).max(panic);
            self.most
        } else {
            stable
        };
        wanted.clamp(self.limits.min, self.limits.max)
    }
}
