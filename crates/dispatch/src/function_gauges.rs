//! Gauges of each function, read from the registry when they are asked for, so that a call costs nothing more, and a deleted function leaves nothing behind.

use std::sync::{Mutex, PoisonError};

use prometheus::{
    IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{
    Function, Registry,
    metrics::{IN_FLIGHT, MAX, MIN, READY, TARGET, TARGET_LOAD},
};

/// The name and the help of a gauge, and what of a function it shows, if anything.
type Shown = ((&'static str, &'static str), fn(&Function) -> Option<u64>);

const SHOWN: [Shown; 6] = [
    (READY, |function| Some(function.replicas() as u64)),
    (MIN, |function| Some(function.policy.scaling.min)),
    (MAX, |function| Some(function.policy.scaling.max)),
    (TARGET, target),
    (TARGET_LOAD, target),
    (IN_FLIGHT, |function| Some(function.under_way() as u64)),
];

fn target(function: &Function) -> Option<u64> {
    function.policy.scaling.target_load(function.policy.max_inflight).map(u64::from)
}

/// The labels of a gauge.
fn labels(name: &str) -> &'static [&'static str] {
    if name == TARGET_LOAD.0 { &["function_name", "scaling_type"] } else { &["function_name"] }
}

pub(crate) struct FunctionGauges {
    registry: Registry,
    gauges: Vec<IntGaugeVec>,
    /// Two that ask at once would empty the gauges under each other.
    turn: Mutex<()>,
}

impl FunctionGauges {
    pub(crate) fn new(registry: Registry) -> prometheus::Result<Self> {
        let gauge = |&((name, help), _): &Shown| IntGaugeVec::new(Opts::new(name, help), labels(name));
        let gauges = SHOWN.iter().map(gauge).collect::<Result<_, _>>()?;
        Ok(Self { registry, gauges, turn: Mutex::default() })
    }
}

impl Collector for FunctionGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.gauges.iter().for_each(IntGaugeVec::reset);
        for function in self.registry.snapshot().iter() {
            let values = [&*function.name.to_string(), function.policy.scaling.kind.as_str()];
            for (gauge, ((name, _), shown)) in self.gauges.iter().zip(SHOWN) {
                let Some(value) = shown(function) else { continue };
                gauge.with_label_values(&values[..labels(name).len()]).set(value.try_into().unwrap_or(i64::MAX));
            }
        }
        self.gauges.iter().flat_map(Collector::collect).collect()
    }
}
