//! `/system/functions`, `/system/function/{name}` and `/system/scale-function/{name}`.

use std::{slice, sync::Arc, time::Duration};

use axum::{
    Extension, Json as AnswerJson,
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header};
use serde::Deserialize;
use skep_dispatch::Function;
use skep_protocol::{
    Author, CanaryMode, DeleteFunction, FunctionDeployment, FunctionStatus, Namespace, ScaleFunction, ScalingStatus,
    control::{Change, ControlRequest, Delete, Deploy, Scale, Update, held_by_default},
    format_duration, has_same_settings, parse_duration,
};
use tokio::time::timeout;

use crate::{
    Error, Result, Routes,
    app::App,
    audit_log::Details,
    auth::Caller,
    input::{Json, NamespaceQuery, Queried, Segment, function_in_body},
    versions,
};

/// How long the answer waits for the number of waiting calls; later it goes without.
pub(crate) const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// A number of replicas that a person sets is kept for no longer.
const MAX_HOLD: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn routes() -> Routes {
    vec![
        ("/system/functions", get(list).post(deploy).put(update).delete(delete)),
        ("/system/function/{name}", get(read)),
        ("/system/scale-function/{name}", post(scale)),
    ]
}

async fn list(
    State(app): State<Arc<App>>,
    Queried(namespace): Queried<NamespaceQuery>,
) -> Result<AnswerJson<Vec<FunctionStatus>>> {
    let wanted = app.bus.connection.default_namespace().other(&namespace.namespace)?;
    let functions = app.dispatch.registry().all();
    let inside =
        functions.iter().filter(|function| function.name.namespace() == wanted.as_ref().map(Namespace::as_str));
    let found: Vec<_> = inside.map(|function| report(function)).collect();
    // Only the controller can tell an empty namespace from one that is not there.
    if let Some(wanted) = wanted.filter(|_| found.is_empty())
        && !app.namespaces().await?.iter().any(|namespace| namespace.name == wanted.as_str())
    {
        return Err(Error::UnknownNamespace(wanted.to_string()));
    }
    Ok(AnswerJson(found))
}

async fn read(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Queried(namespace): Queried<NamespaceQuery>,
) -> Result<AnswerJson<FunctionStatus>> {
    let function = app.function(&app.named(&name, &namespace.namespace)?)?;
    let mut status = report(&function);
    status.scaling = Some(
        app.stats
            .of(&function.name)
            .unwrap_or_else(|| ScalingStatus::of(&function.record, &function.policy.scaling, skep_bus::now())),
    );
    // While the bus is away, the answer has everything else.
    if let Ok(Ok(waiting)) = timeout(QUEUE_TIMEOUT, app.bus.queue_depth.waiting(slice::from_ref(&function.name))).await
        && let Some(waiting) = waiting.functions.get(&function.name)
    {
        status.queue_depth = Some(waiting.depth);
        status.queue_age_seconds = Some(waiting.age.as_secs_f64());
    }
    Ok(AnswerJson(status))
}

/// The query of a deployment: a note, and whether it is a canary.
#[derive(Deserialize)]
struct DeployQuery {
    note: Option<String>,
    canary: Option<String>,
}

impl DeployQuery {
    fn canary(&self) -> Result<Option<CanaryMode>> {
        let invalid = |error| Error::InvalidRequest(format!("canary: {error}"));
        self.canary.as_deref().map(|text| text.parse().map_err(invalid)).transpose()
    }
}

async fn deploy(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Queried(namespace): Queried<NamespaceQuery>,
    Queried(query): Queried<DeployQuery>,
    Json(deployment): Json<FunctionDeployment>,
) -> Result<Response> {
    let author = versions::author(&caller, query.note.as_deref())?;
    // A function that is new has no version that a canary could be beside.
    query.canary()?;
    put(&app, |deployment, author| Deploy { deployment, author }, namespace, deployment, author).await
}

async fn update(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Queried(namespace): Queried<NamespaceQuery>,
    Queried(query): Queried<DeployQuery>,
    Json(deployment): Json<FunctionDeployment>,
) -> Result<Response> {
    let author = versions::author(&caller, query.note.as_deref())?;
    let canary = query.canary()?;
    put(&app, |deployment, author| Update { deployment, author, canary }, namespace, deployment, author).await
}

async fn delete(
    State(app): State<Arc<App>>,
    Queried(namespace): Queried<NamespaceQuery>,
    Json(mut wanted): Json<DeleteFunction>,
) -> Result<StatusCode> {
    namespace.fill(&mut wanted.namespace)?;
    let function = function_in_body(&app, &wanted.function_name, &wanted.namespace)?;
    app.control(&Delete { function: function.clone() }).await?;
    app.wait_until_gone(&function).await;
    Ok(StatusCode::ACCEPTED)
}

async fn scale(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Queried(namespace): Queried<NamespaceQuery>,
    Json(mut wanted): Json<ScaleFunction>,
) -> Result<StatusCode> {
    namespace.fill(&mut wanted.namespace)?;
    let name = app.named(&name, &wanted.namespace)?;
    wanted.namespace = app.bus.connection.default_namespace().of(&name).to_owned();
    if !wanted.service_name.is_empty() && app.named(&wanted.service_name, &wanted.namespace)? != name {
        let reason = format!("the path names {name} and serviceName another function");
        return Err(Error::InvalidRequest(reason));
    }
    let hold = held_for(&wanted.hold)?;
    app.change(&Scale { function: name, replicas: wanted.replicas, hold }).await?;
    Ok(StatusCode::ACCEPTED)
}

/// How long a number of replicas is kept that a person sets.
fn held_for(text: &str) -> Result<Duration> {
    if text.is_empty() {
        return Ok(held_by_default());
    }
    match parse_duration(text) {
        Ok(hold) if hold <= MAX_HOLD => Ok(hold),
        Ok(_) => Err(Error::InvalidRequest(format!("hold: must be at most {}", format_duration(MAX_HOLD)))),
        Err(error) => Err(Error::InvalidRequest(format!("hold: {error}"))),
    }
}

async fn put<R: ControlRequest<Reply = Change>>(
    app: &App,
    request: impl FnOnce(FunctionDeployment, Author) -> R,
    namespace: NamespaceQuery,
    mut deployment: FunctionDeployment,
    author: Author,
) -> Result<Response> {
    namespace.fill(&mut deployment.namespace)?;
    let name = function_in_body(app, &deployment.service, &deployment.namespace)?;
    let wanted = FunctionDeployment { registry_auth: String::new(), ..deployment.clone() };
    let change = app.control(&request(deployment, author)).await?;
    let is_seen = app.wait_until_seen(change).await;
    let function = app.function(&name).ok().filter(|_| is_seen);
    let version = function.and_then(|function| {
        let canary = function.record.canary.as_ref();
        let canary = canary.filter(|canary| has_same_settings(&wanted, &canary.deployment));
        canary.map(|canary| canary.version.number).or_else(|| function.record.number())
    });
    Ok(match version {
        Some(version) => {
            let details = Details(format!("version {version}"));
            let location = [(header::LOCATION, versions::location(&name, version))];
            (StatusCode::ACCEPTED, location, Extension(details)).into_response()
        }
        None => StatusCode::ACCEPTED.into_response(),
    })
}

fn report(function: &Function) -> FunctionStatus {
    // A float is what OpenFaaS reports; a gateway does not count beyond 2^53.
    FunctionStatus::new(&function.record, function.invocation_count() as f64)
}
