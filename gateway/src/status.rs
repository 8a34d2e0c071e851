//! `/system/status`: all functions with their figures; `/system/streams`: what their calls take on NATS; and `/system/nats`: how its servers are.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, routing::get};
use skep_dispatch::Function;
use skep_protocol::{FunctionFigures, FunctionName, InstallationStatus, NatsHealth, StreamUsage, control::ListStreams};
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::{Result, Routes, app::App, auth::Caller, functions::QUEUE_TIMEOUT, queues::Queue};

pub(crate) fn routes() -> Routes {
    vec![("/system/status", get(status)), ("/system/streams", get(streams)), ("/system/nats", get(nats))]
}

/// What a caller may see: everything, or the functions of some namespaces and their sums.
async fn status(State(app): State<Arc<App>>, caller: Extension<Caller>) -> Result<Json<InstallationStatus>> {
    let default = app.bus.connection.default_namespace();
    let mut functions = app.dispatch.registry().all();
    functions.retain(|function| caller.require_function(&function.name, default).is_ok());
    functions.sort_by_cached_key(|function| function.name.to_string());
    let names: Vec<FunctionName> = functions.iter().map(|function| function.name.clone()).collect();
    // While the bus is away, the answer has everything else.
    let dead = timeout(QUEUE_TIMEOUT, app.bus.dead_letters.counts(&names)).await;
    let dead = dead.ok().and_then(std::result::Result::ok);
    let figures = functions.iter().map(|function| {
        let of_function = dead.as_ref().map(|dead| dead.of(&function.name));
        figures(&app, function, of_function)
    });
    let (at, functions): (_, Vec<_>) = (OffsetDateTime::now_utc(), figures.collect());
    let mut status =
        InstallationStatus { at, functions, dead_letters: None, queue_bytes: None, queue_bytes_limit: None };
    if caller.is_limited() {
        status.dead_letters = status.functions.iter().map(|function| function.dead_letters).sum();
    } else {
        status.dead_letters = dead.map(|dead| dead.all);
        status.queue_bytes = app.bus.connection.is_connected().then(|| app.queues.bytes());
        status.queue_bytes_limit = Some(app.limits.queue_bytes);
    }
    Ok(Json(status))
}

async fn streams(State(app): State<Arc<App>>) -> Result<Json<Vec<StreamUsage>>> {
    app.control(&ListStreams).await.map(Json)
}

/// It asks the servers themselves, so it answers while they store nothing.
async fn nats(State(app): State<Arc<App>>) -> Json<NatsHealth> {
    Json(app.bus.connection.health().await)
}

fn figures(app: &App, function: &Function, dead_letters: Option<u64>) -> FunctionFigures {
    let counted = function.figures();
    // A request for the status has the queue polled for a while.
    let Queue { waiting, bytes } = app.queues.of(&function.name);
    let queue_bytes_limit = function.policy.queue.bytes.unwrap_or(app.limits.queue_bytes_per_function);
    FunctionFigures {
        name: function.name.to_string(),
        replicas: function.record.replicas,
        available_replicas: function.replicas() as u64,
        ended: counted.ended,
        failed: counted.failed,
        seconds: counted.seconds,
        in_flight: function.under_way() as u64,
        queue_depth: waiting.map(|waiting| waiting.depth),
        queue_age_seconds: waiting.map(|waiting| waiting.age.as_secs_f64()),
        queue_bytes: waiting.map(|_| bytes),
        queue_bytes_limit: Some(queue_bytes_limit),
        dead_letters,
        problem: function.record.problem.clone(),
    }
}
