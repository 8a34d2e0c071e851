//! The metric that tells how far the clock of this machine is from that of the NATS server.

use prometheus::{
    Gauge, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// Read when it is asked for.
struct Ahead(Gauge);

impl Collector for Ahead {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.set(skep_bus::server_clock_ahead().as_seconds_f64());
        self.0.collect()
    }
}

/// The metrics of a process, with this one.
pub(crate) fn registry() -> Registry {
    let registry = Registry::new();
    let help = "By how much the clock of the NATS server is ahead of this machine's; the server's clock decides when calls are due.";
    if let Ok(gauge) = Gauge::new("skep_nats_clock_ahead_seconds", help) {
        // An empty registry takes it.
        let _ = registry.register(Box::new(Ahead(gauge)));
    }
    registry
}
