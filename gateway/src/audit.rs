//! `/system/audit`: counts all calls, and names those that do not add up. One audit runs at a time, and the figures of the last one are in the metrics.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::stream;
use http::header;
use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, Registry};
use skep_protocol::{AuditLine, AuditProgress, AuditReport};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{interval, sleep},
};
use tracing::{info, warn};

use crate::{Error, Result, Routes, app::App};

/// A call that ended longer ago should have left all queues.
const MIN_LEFTOVER_AGE: Duration = Duration::from_secs(3600);
/// How often progress is sent.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// The most findings that are logged; the rest is counted.
const MAX_LOGGED: usize = 10;

const CALLS: (&str, &str) = ("gateway_audit_calls", "Calls that the last audit through this gateway has counted.");
const FINDINGS: (&str, &str) = ("gateway_audit_findings", "What did not add up at the last audit.");
const AT: (&str, &str) = ("gateway_audit_timestamp_seconds", "When the last audit was.");

pub(crate) fn routes() -> Routes {
    vec![("/system/audit", get(audit))]
}

pub(crate) struct Audits {
    turn: Arc<Semaphore>,
    calls: IntGaugeVec,
    findings: IntGauge,
    at: Gauge,
}

impl Audits {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let calls = IntGaugeVec::new(Opts::new(CALLS.0, CALLS.1), &["function_name", "state"])?;
        let (findings, at) = (IntGauge::new(FINDINGS.0, FINDINGS.1)?, Gauge::new(AT.0, AT.1)?);
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(findings.clone()))?;
        registry.register(Box::new(at.clone()))?;
        Ok(Self { turn: Arc::new(Semaphore::new(1)), calls, findings, at })
    }

    /// Shows the figures of a report and logs what does not add up.
    fn tell(&self, app: &App, report: &AuditReport) {
        self.calls.reset();
        for ledger in &report.functions {
            // A name that is not deployed may come from outside and must not become a label.
            let is_deployed = app.named(&ledger.function, "").is_ok_and(|name| app.function(&name).is_ok());
            let label = if is_deployed { ledger.function.as_str() } else { "" };
            for (state, count) in ledger.counts().into_iter().filter(|(_, count)| *count > 0) {
                self.calls.with_label_values(&[label, state]).add(count.try_into().unwrap_or(i64::MAX));
            }
        }
        let findings = report.findings.len() as u64 + report.more_findings;
        self.findings.set(findings.try_into().unwrap_or(i64::MAX));
        self.at.set(report.at.unix_timestamp() as f64);
        if findings == 0 {
            info!(functions = report.functions.len(), "all calls add up");
            return;
        }
        warn!(findings, "calls do not add up; skep audit names them");
        for finding in report.findings.iter().take(MAX_LOGGED) {
            let what = finding.kind.what();
            warn!(call_id = %finding.call_id, function = finding.function, what, "audit: a call is not accounted for");
        }
    }
}

async fn audit(State(app): State<Arc<App>>) -> Result<Response> {
    let turn = Arc::clone(&app.audits.turn).try_acquire_owned().map_err(|_| Error::AuditUnderWay)?;
    app.require_bus().await?;
    let (sender, receiver) = mpsc::channel(2);
    let tasks = app.tasks.clone();
    tasks.spawn(Box::pin(tell(app, turn, sender)));
    let lines = stream::unfold(receiver, async |mut receiver| {
        let line: AuditLine = receiver.recv().await?;
        let written = serde_json::to_vec(&line).map(|mut line| {
            line.push(b'\n');
            Bytes::from(line)
        });
        Some((written, receiver))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// Runs an audit and streams its progress, until the client disconnects.
async fn tell(app: Arc<App>, _turn: OwnedSemaphorePermit, lines: mpsc::Sender<AuditLine>) {
    let (told, progress) = watch::channel(AuditProgress::default());
    let mut audit = pin!(app.bus.audit.run(MIN_LEFTOVER_AGE, &told));
    let mut tick = interval(PROGRESS_INTERVAL);
    let last = loop {
        tokio::select! {
            ended = &mut audit => match ended {
                Ok(report) => {
                    app.audits.tell(&app, &report);
                    break AuditLine::Report(report);
                }
                Err(error) => {
                    let error = Error::from(error);
                    error.log();
                    break AuditLine::Error(error.reason());
                }
            },
            // A slow client gets the next one.
            _ = tick.tick() => drop(lines.try_send(AuditLine::Progress(*progress.borrow()))),
            () = lines.closed() => return,
            () = app.shutdown.cancelled() => break AuditLine::Error("this gateway is told to stop".to_owned()),
        }
    };
    // He may have gone.
    let _ = lines.send(last).await;
}

/// Runs an audit again and again, until shutdown.
pub(crate) async fn follow(app: &App, every: Duration) {
    if !every.is_zero() {
        app.shutdown.run_until_cancelled(Box::pin(again_and_again(app, every))).await;
    }
}

async fn again_and_again(app: &App, every: Duration) {
    loop {
        sleep(every).await;
        let (told, _progress) = watch::channel(AuditProgress::default());
        let Ok(_turn) = app.audits.turn.acquire().await else { return };
        match app.bus.audit.run(MIN_LEFTOVER_AGE, &told).await {
            Ok(report) => app.audits.tell(app, &report),
            Err(error) => warn!(error = error.chain(), "the audit was interrupted; trying again later"),
        }
    }
}
