//! Kubernetes' horizontal pod autoscaler with its defaults, on calls in flight, and as KEDA drives it, on a queue.

use std::collections::VecDeque;

use super::{Limits, Mean, Scaler, View, whole};

const PERIOD: f64 = 15.0;
/// `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;
/// `stabilizationWindowSeconds` of scaling down.
const DOWN_WINDOW: f64 = 300.0;
/// The metric is a mean over a minute, as a query of Prometheus usually is.
const MEAN: usize = 4;
/// Up: twice as many or four more in 15 s, whichever is more.
const MIN_STEP: u32 = 4;
const UTILIZATION: f64 = 0.7;

pub struct Hpa {
    limits: Limits,
    mean: Mean,
    recommended: VecDeque<(f64, u32)>,
}

impl Hpa {
    pub fn new(limits: Limits) -> Self {
        Self { limits, mean: Mean::of(MEAN), recommended: VecDeque::new() }
    }

    /// What to do about a recommendation.
    fn settle(&mut self, recommended: u32, view: &View) -> u32 {
        let current = view.want;
        let recommended = recommended.min((2 * current).max(current + MIN_STEP));
        self.recommended.push_back((view.now, recommended));
        while self.recommended.front().is_some_and(|(at, _)| *at < view.now - DOWN_WINDOW) {
            self.recommended.pop_front();
        }
        let highest = self.recommended.iter().map(|(_, replicas)| *replicas).max().unwrap_or(recommended);
        let wanted = if recommended > current { recommended } else { highest.min(current) };
        wanted.clamp(self.limits.min, self.limits.max)
    }
}

impl Scaler for Hpa {
    fn period(&self) -> f64 {
        PERIOD
    }

    fn scale(&mut self, view: &View) -> u32 {
        let target = UTILIZATION * f64::from(self.limits.slots);
        let in_flight = self.mean.add((view.busy + view.queue) / view.span);
        let each = in_flight / f64::from(view.ready.max(1));
        let recommended = if (each / target - 1.0).abs() > TOLERANCE {
            whole(f64::from(view.ready) * each / target)
        } else {
            view.want
        };
        self.settle(recommended, view)
    }
}

/// KEDA with a queue: its lag and what is not acknowledged yet, with as many calls per replica as it runs at once.
pub struct Keda(Hpa);

impl Keda {
    pub fn new(limits: Limits) -> Self {
        Self(Hpa::new(limits))
    }
}

impl Scaler for Keda {
    fn period(&self) -> f64 {
        PERIOD
    }

    fn scale(&mut self, view: &View) -> u32 {
        let wanted = (view.queued + view.in_flight) / f64::from(self.0.limits.slots);
        let ratio = wanted / f64::from(view.want.max(1));
        let recommended = if (ratio - 1.0).abs() > TOLERANCE { whole(wanted) } else { view.want };
        self.0.settle(recommended, view)
    }
}
