//! `/system/secrets`: names only; a value goes in and never comes out.

use std::sync::Arc;

use axum::{Json as AnswerJson, extract::State, routing::get};
use http::StatusCode;
use skep_protocol::{
    Secret,
    control::{ControlRequest, CreateSecret, DeleteSecret, ListSecrets, UpdateSecret},
};

use crate::{
    Result, Routes,
    app::App,
    input::{Json, NamespaceQuery, Queried},
};

pub(crate) fn routes() -> Routes {
    vec![("/system/secrets", get(list).post(create).put(update).delete(delete))]
}

async fn list(State(app): State<Arc<App>>, Queried(query): Queried<NamespaceQuery>) -> Result<AnswerJson<Vec<Secret>>> {
    let asked = ListSecrets { namespace: query.namespace };
    let secrets = app.control(&asked).await?;
    // Clients look for the namespace as they named it.
    let named = |secret| Secret { namespace: asked.namespace.clone(), ..secret };
    Ok(AnswerJson(secrets.into_iter().map(named).collect()))
}

async fn create(
    State(app): State<Arc<App>>,
    Queried(query): Queried<NamespaceQuery>,
    Json(secret): Json<Secret>,
) -> Result<StatusCode> {
    change(&app, CreateSecret, query, secret).await?;
    Ok(StatusCode::CREATED)
}

async fn update(
    State(app): State<Arc<App>>,
    Queried(query): Queried<NamespaceQuery>,
    Json(secret): Json<Secret>,
) -> Result<StatusCode> {
    change(&app, UpdateSecret, query, secret).await?;
    Ok(StatusCode::ACCEPTED)
}

/// 200 and not 204, which `faas-cli` takes for a failure.
async fn delete(
    State(app): State<Arc<App>>,
    Queried(query): Queried<NamespaceQuery>,
    Json(secret): Json<Secret>,
) -> Result<StatusCode> {
    change(&app, DeleteSecret, query, secret).await?;
    Ok(StatusCode::OK)
}

async fn change<R: ControlRequest<Reply = ()>>(
    app: &App,
    request: fn(Secret) -> R,
    query: NamespaceQuery,
    mut secret: Secret,
) -> Result<()> {
    query.fill(&mut secret.namespace)?;
    app.control(&request(secret)).await
}
