//! `/system/secrets`: names only; a value goes in and never comes out.

use std::sync::Arc;

use axum::{Json as AnswerJson, extract::State, routing::get};
use http::StatusCode;
use skep_protocol::{Operation, Secret};

use crate::{
    Result, Routes,
    app::App,
    input::{Json, NamespaceQuery, Queried, check_body_namespace},
};

pub(crate) fn routes() -> Routes {
    vec![("/system/secrets", get(list).post(create).put(update).delete(delete))]
}

async fn list(
    State(app): State<Arc<App>>,
    Queried(namespace): Queried<NamespaceQuery>,
) -> Result<AnswerJson<Vec<Secret>>> {
    namespace.check()?;
    Ok(AnswerJson(app.control(Operation::ListSecrets, &()).await?))
}

async fn create(State(app): State<Arc<App>>, Json(secret): Json<Secret>) -> Result<StatusCode> {
    change(&app, Operation::CreateSecret, &secret).await?;
    Ok(StatusCode::CREATED)
}

async fn update(State(app): State<Arc<App>>, Json(secret): Json<Secret>) -> Result<StatusCode> {
    change(&app, Operation::UpdateSecret, &secret).await?;
    Ok(StatusCode::ACCEPTED)
}

/// 200 and not 204, which `faas-cli` takes for a failure.
async fn delete(State(app): State<Arc<App>>, Json(secret): Json<Secret>) -> Result<StatusCode> {
    change(&app, Operation::DeleteSecret, &secret).await?;
    Ok(StatusCode::OK)
}

async fn change(app: &App, operation: Operation, secret: &Secret) -> Result<()> {
    check_body_namespace(&secret.namespace)?;
    app.control(operation, secret).await
}
