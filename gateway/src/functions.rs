//! `/system/functions`, `/system/function/{name}` and `/system/scale-function/{name}`.

use std::{slice, sync::Arc, time::Duration};

use axum::{
    Json as AnswerJson,
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use skep_dispatch::Function;
use skep_protocol::{
    DeleteFunction, FunctionDeployment, FunctionStatus, Namespace, ScaleFunction,
    control::{Change, ControlRequest, Delete, Deploy, Scale, Update},
};
use tokio::time::timeout;

use crate::{
    Error, Result, Routes,
    app::App,
    input::{Json, NamespaceQuery, Queried, Segment, function_in_body},
};

/// How long the answer waits for the number of waiting calls; later it goes without.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

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
    // While the bus is away, the answer has everything else.
    if let Ok(Ok(waiting)) = timeout(QUEUE_TIMEOUT, app.bus.queue_depth.waiting(slice::from_ref(&function.name))).await
        && let Some(waiting) = waiting.functions.get(&function.name)
    {
        status.queue_depth = Some(waiting.depth);
        status.queue_age_seconds = Some(waiting.age.as_secs_f64());
    }
    Ok(AnswerJson(status))
}

async fn deploy(
    State(app): State<Arc<App>>,
    Queried(namespace): Queried<NamespaceQuery>,
    Json(deployment): Json<FunctionDeployment>,
) -> Result<StatusCode> {
    put(&app, Deploy, namespace, deployment).await
}

async fn update(
    State(app): State<Arc<App>>,
    Queried(namespace): Queried<NamespaceQuery>,
    Json(deployment): Json<FunctionDeployment>,
) -> Result<StatusCode> {
    put(&app, Update, namespace, deployment).await
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
    app.change(&Scale { function: name, replicas: wanted.replicas }).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn put<R: ControlRequest<Reply = Change>>(
    app: &App,
    request: fn(FunctionDeployment) -> R,
    namespace: NamespaceQuery,
    mut deployment: FunctionDeployment,
) -> Result<StatusCode> {
    namespace.fill(&mut deployment.namespace)?;
    function_in_body(app, &deployment.service, &deployment.namespace)?;
    app.change(&request(deployment)).await?;
    Ok(StatusCode::ACCEPTED)
}

fn report(function: &Function) -> FunctionStatus {
    // A float is what OpenFaaS reports; a gateway does not count beyond 2^53.
    FunctionStatus::new(&function.record, function.invocation_count() as f64)
}
