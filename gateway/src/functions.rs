//! `/system/functions`, `/system/function/{name}` and `/system/scale-function/{name}`.

use std::sync::Arc;

use axum::{
    Json as AnswerJson,
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use skep_dispatch::Function;
use skep_protocol::{DeleteFunction, FunctionDeployment, FunctionName, FunctionStatus, Operation, ScaleFunction};

use crate::{
    Error, Result, Routes,
    app::App,
    input::{Json, NamespaceQuery, Queried, Segment, check_body_namespace, function_in_body},
};

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
    namespace.check()?;
    Ok(AnswerJson(app.dispatch.registry().all().iter().map(|function| report(function)).collect()))
}

async fn read(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Queried(namespace): Queried<NamespaceQuery>,
) -> Result<AnswerJson<FunctionStatus>> {
    namespace.check()?;
    let function = app.function(&FunctionName::parse_qualified(&name)?)?;
    Ok(AnswerJson(report(&function)))
}

async fn deploy(
    State(app): State<Arc<App>>,
    Queried(namespace): Queried<NamespaceQuery>,
    Json(deployment): Json<FunctionDeployment>,
) -> Result<StatusCode> {
    namespace.check()?;
    put(&app, Operation::Deploy, &deployment).await
}

async fn update(
    State(app): State<Arc<App>>,
    Queried(namespace): Queried<NamespaceQuery>,
    Json(deployment): Json<FunctionDeployment>,
) -> Result<StatusCode> {
    namespace.check()?;
    put(&app, Operation::Update, &deployment).await
}

async fn delete(
    State(app): State<Arc<App>>,
    Queried(namespace): Queried<NamespaceQuery>,
    Json(wanted): Json<DeleteFunction>,
) -> Result<StatusCode> {
    namespace.check()?;
    check_body_namespace(&wanted.namespace)?;
    let name = function_in_body(&wanted.function_name)?;
    let () = app.control(Operation::Delete, &wanted).await?;
    app.wait_until_gone(&name).await;
    Ok(StatusCode::ACCEPTED)
}

async fn scale(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Queried(namespace): Queried<NamespaceQuery>,
    Json(mut wanted): Json<ScaleFunction>,
) -> Result<StatusCode> {
    namespace.check()?;
    check_body_namespace(&wanted.namespace)?;
    let name = FunctionName::parse_qualified(&name)?;
    if !wanted.service_name.is_empty() && FunctionName::parse_qualified(&wanted.service_name)? != name {
        let reason = format!("the path names {name} and serviceName another function");
        return Err(Error::InvalidRequest(reason));
    }
    wanted.service_name = name.to_string();
    app.change(Operation::Scale, &wanted).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn put(app: &App, operation: Operation, deployment: &FunctionDeployment) -> Result<StatusCode> {
    check_body_namespace(&deployment.namespace)?;
    function_in_body(&deployment.service)?;
    app.change(operation, deployment).await?;
    Ok(StatusCode::ACCEPTED)
}

fn report(function: &Function) -> FunctionStatus {
    // A float is what OpenFaaS reports; a gateway does not count beyond 2^53.
    FunctionStatus::new(&function.record, function.invocation_count() as f64)
}
