//! `/system/secrets`: names only; a value goes in and never comes out.

use std::sync::Arc;

use axum::{Json as AnswerJson, extract::State, routing::get};
use http::StatusCode;
use skep_protocol::{NamespaceInfo, Operation, Secret};

use crate::{
    Result, Routes,
    app::App,
    input::{Json, NamespaceQuery, Queried},
};

pub(crate) fn routes() -> Routes {
    vec![("/system/secrets", get(list).post(create).put(update).delete(delete))]
}

async fn list(State(app): State<Arc<App>>, Queried(query): Queried<NamespaceQuery>) -> Result<AnswerJson<Vec<Secret>>> {
    let namespace = NamespaceInfo { name: query.namespace, ..NamespaceInfo::default() };
    let secrets: Vec<Secret> = app.control(Operation::ListSecrets, &namespace).await?;
    // Clients look for the namespace as they named it.
    let named = |secret| Secret { namespace: namespace.name.clone(), ..secret };
    Ok(AnswerJson(secrets.into_iter().map(named).collect()))
}

async fn create(
    State(app): State<Arc<App>>,
    Queried(query): Queried<NamespaceQuery>,
    Json(secret): Json<Secret>,
) -> Result<StatusCode> {
    change(&app, Operation::CreateSecret, query, secret).await?;
    Ok(StatusCode::CREATED)
}

async fn update(
    State(app): State<Arc<App>>,
    Queried(query): Queried<NamespaceQuery>,
    Json(secret): Json<Secret>,
) -> Result<StatusCode> {
    change(&app, Operation::UpdateSecret, query, secret).await?;
    Ok(StatusCode::ACCEPTED)
}

/// 200 and not 204, which `faas-cli` takes for a failure.
async fn delete(
    State(app): State<Arc<App>>,
    Queried(query): Queried<NamespaceQuery>,
    Json(secret): Json<Secret>,
) -> Result<StatusCode> {
    change(&app, Operation::DeleteSecret, query, secret).await?;
    Ok(StatusCode::OK)
}

async fn change(app: &App, operation: Operation, query: NamespaceQuery, mut secret: Secret) -> Result<()> {
    query.fill(&mut secret.namespace)?;
    app.control(operation, &secret).await
}
