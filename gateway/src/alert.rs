//! `/system/alert`: alerts of Alertmanager scale functions up, or down to their minimum.

use std::{fmt::Write, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode};
use skep_protocol::{Alert, AlertWebhook, control::ApplyAlert, headers};
use tokio::time::timeout;
use tracing::{error, info};

use crate::{Error, Result, Routes, app::App, input::Json};

/// How long Alertmanager waits for its answer; the work goes on after it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Alerts of one request that the controller is asked about at once.
const AT_ONCE: usize = 16;
/// Requests that go on at once.
pub(crate) const MAX_AT_ONCE: usize = 64;

pub(crate) fn routes() -> Routes {
    vec![("/system/alert", post(alert))]
}

async fn alert(State(app): State<Arc<App>>, Json(webhook): Json<AlertWebhook>) -> Result<Response> {
    let place = Arc::clone(&app.alerts).try_acquire_owned().map_err(|_| Error::TooManyAlerts)?;
    let scaling = {
        let app = Arc::clone(&app);
        async move {
            let failures = scale(&app, webhook.alerts).await;
            drop(place);
            failures
        }
    };
    match timeout(ANSWER_TIMEOUT, app.tasks.spawn(scaling)).await {
        Ok(Ok(failures)) if !failures.is_empty() => Ok(failed_functions(&failures)),
        Ok(Ok(_)) | Err(_) => Ok(StatusCode::OK.into_response()),
        Ok(Err(error)) => Err(Error::Ended(error)),
    }
}

/// Handles all alerts and returns a line for each that failed.
async fn scale(app: &App, alerts: Vec<Alert>) -> Vec<String> {
    let asked = stream::iter(alerts.into_iter().enumerate()).map(|(number, alert)| async move {
        let failure = scale_one(app, &alert).await.err()?;
        if let Error::UnknownFunction(function) = &failure {
            // Alerts of a deleted function go on for a while. An error would make Alertmanager send the whole group
            // again, which would scale the other functions in it once more.
            info!(%function, "an alert is about a function that is not deployed");
            return None;
        }
        error!(error = %failure, function = alert.labels.get(LABEL), "a function was not scaled as an alert says");
        Some(format!("[{number}] {}", failure.reason()))
    });
    asked.buffered(AT_ONCE).filter_map(std::future::ready).collect().await
}

const LABEL: &str = "function_name";

async fn scale_one(app: &App, alert: &Alert) -> Result<()> {
    let name = alert.labels.get(LABEL).map(String::as_str).unwrap_or_default();
    let function = app.named(name, "")?;
    app.function(&function)?;
    app.control(&ApplyAlert { function, status: alert.status }).await?;
    Ok(())
}

fn failed_functions(failures: &[String]) -> Response {
    let mut text = String::new();
    for failure in failures {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{failure}");
    }
    let marks = [
        (headers::SKEP_ERROR, HeaderValue::from_static("alert_failed")),
        (headers::OPENFAAS_INTERNAL, HeaderValue::from_static("gateway")),
    ];
    (StatusCode::INTERNAL_SERVER_ERROR, marks, text).into_response()
}
