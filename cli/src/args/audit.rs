//! The audit that the controller runs.

use std::time::Duration;

use clap::Args;
use skep_controller::{AuditMetrics, PeriodicAudit};

use crate::{Failure, Result};

#[derive(Debug, Args)]
pub(crate) struct PeriodicAuditArgs {
    /// How often all queued calls are counted, for the metrics and the log (skep audit does it at once); 0 for never
    #[arg(long, env = "SKEP_AUDIT_EVERY", default_value = "1h", value_parser = skep_protocol::parse_duration)]
    audit_every: Duration,
}

impl PeriodicAuditArgs {
    pub(crate) fn periodic(&self, metrics: &prometheus::Registry) -> Result<Option<PeriodicAudit>> {
        if self.audit_every.is_zero() {
            return Ok(None);
        }
        let metrics = AuditMetrics::register(metrics).map_err(Failure::internal)?;
        Ok(Some(PeriodicAudit { interval: self.audit_every, metrics }))
    }
}
