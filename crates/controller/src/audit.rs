//! The audit, again and again while this controller leads: its log names the calls that do not add up, and its metrics have the figures.

use std::{sync::Arc, time::Duration};

use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, Registry};
use skep_bus::{Audit, MIN_LEFTOVER_AGE};
use skep_protocol::AuditReport;
use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use crate::reconcile::Reconcilers;

/// The most findings that are logged; the rest is counted.
const MAX_LOGGED: usize = 10;

const CALLS: (&str, &str) = ("controller_audit_calls", "Calls that the last audit has counted.");
const FINDINGS: (&str, &str) = ("controller_audit_findings", "What did not add up at the last audit.");
const AT: (&str, &str) = ("controller_audit_timestamp_seconds", "When the last audit was.");

/// An audit that is run again and again.
#[derive(Clone)]
pub struct PeriodicAudit {
    pub interval: Duration,
    pub metrics: AuditMetrics,
}

/// The figures of the last audit; cheap to clone.
#[derive(Clone)]
pub struct AuditMetrics {
    calls: IntGaugeVec,
    findings: IntGauge,
    at: Gauge,
}

impl AuditMetrics {
    /// Registers them, once in a process.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let calls = IntGaugeVec::new(Opts::new(CALLS.0, CALLS.1), &["function_name", "state"])?;
        let (findings, at) = (IntGauge::new(FINDINGS.0, FINDINGS.1)?, Gauge::new(AT.0, AT.1)?);
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(findings.clone()))?;
        registry.register(Box::new(at.clone()))?;
        Ok(Self { calls, findings, at })
    }

    fn show(&self, reconcilers: &Reconcilers, report: &AuditReport) {
        self.calls.reset();
        for ledger in &report.functions {
            // A name that is not deployed may come from outside and must not become a label.
            let is_deployed = ledger.function.parse().is_ok_and(|name| reconcilers.require(&name).is_ok());
            let label = if is_deployed { ledger.function.as_str() } else { "" };
            for (state, count) in ledger.counts().into_iter().filter(|(_, count)| *count > 0) {
                self.calls.with_label_values(&[label, state]).add(count.try_into().unwrap_or(i64::MAX));
            }
        }
        self.findings.set(findings_of(report).try_into().unwrap_or(i64::MAX));
        self.at.set(report.at.unix_timestamp() as f64);
    }
}

impl PeriodicAudit {
    /// Runs an audit each time the interval has passed, until it is dropped.
    pub(crate) async fn run(self, audit: Audit, reconcilers: Arc<Reconcilers>) {
        loop {
            sleep(self.interval).await;
            match audit.run(MIN_LEFTOVER_AGE, &watch::Sender::default()).await {
                Ok(report) => {
                    self.metrics.show(&reconcilers, &report);
                    log(&report);
                }
                Err(error) => warn!(error = error.chain(), "the audit was interrupted; trying again later"),
            }
        }
    }
}

fn log(report: &AuditReport) {
    let findings = findings_of(report);
    if findings == 0 {
        info!(functions = report.functions.len(), "all calls add up");
        return;
    }
    warn!(findings, "calls do not add up; skep audit names them");
    for finding in report.findings.iter().take(MAX_LOGGED) {
        let what = finding.what();
        warn!(call_id = %finding.call_id, function = finding.function, what, "audit: a call is not accounted for");
    }
}

fn findings_of(report: &AuditReport) -> u64 {
    report.findings.len() as u64 + report.more_findings
}
