//! `/system/audit`: counts all calls, and names those that do not add up. One audit runs at a time.

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
use skep_bus::MIN_LEFTOVER_AGE;
use skep_protocol::{AuditLine, AuditProgress};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::interval,
};

use crate::{Error, Result, Routes, app::App};

/// How often progress is sent.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
pub(crate) fn routes() -> Routes {
    vec![("/system/audit", get(audit))]
}

async fn audit(State(app): State<Arc<App>>) -> Result<Response> {
    let turn = Arc::clone(&app.audits).try_acquire_owned().map_err(|_| Error::AuditUnderWay)?;
    app.require_bus().await?;
    let (sender, receiver) = mpsc::channel(2);
    let tasks = app.tasks.clone();
    tasks.spawn(Box::pin(report(app, turn, sender)));
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
async fn report(app: Arc<App>, _turn: OwnedSemaphorePermit, lines: mpsc::Sender<AuditLine>) {
    let (report, progress) = watch::channel(AuditProgress::default());
    let mut audit = pin!(app.bus.audit.run(MIN_LEFTOVER_AGE, &report));
    let mut tick = interval(PROGRESS_INTERVAL);
    let last = loop {
        tokio::select! {
            ended = &mut audit => match ended {
                Ok(report) => break AuditLine::Report(report),
                Err(error) => {
                    let error = Error::from(error);
                    error.log();
                    break AuditLine::Error(error.reason());
                }
            },
            // A slow client gets the next one.
            _ = tick.tick() => drop(lines.try_send(AuditLine::Progress(*progress.borrow()))),
            () = lines.closed() => return,
            () = app.shutdown.cancelled() => break AuditLine::Error("this gateway is stopping".to_owned()),
        }
    };
    // The client may have gone.
    let _ = lines.send(last).await;
}
