//! `/system/namespaces` and `/system/namespace/{name}`.

use std::sync::Arc;

use axum::{
    Json as AnswerJson,
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use skep_protocol::{
    NamespaceInfo,
    control::{CreateNamespace, DeleteNamespace, UpdateNamespace},
};

use crate::{
    Error, Result, Routes,
    app::App,
    input::{Json, OptionalJson, Segment},
};

pub(crate) fn routes() -> Routes {
    vec![
        ("/system/namespaces", get(list)),
        ("/system/namespace/", post(create)),
        ("/system/namespace/{name}", get(read).post(create_named).put(update).delete(delete)),
    ]
}

async fn list(State(app): State<Arc<App>>) -> Result<AnswerJson<Vec<String>>> {
    let namespaces = app.namespaces().await?;
    Ok(AnswerJson(namespaces.into_iter().map(|namespace| namespace.name).collect()))
}

async fn read(State(app): State<Arc<App>>, Segment(name): Segment) -> Result<AnswerJson<NamespaceInfo>> {
    let found = app.namespaces().await?.into_iter().find(|namespace| namespace.name == name);
    found.map(AnswerJson).ok_or(Error::UnknownNamespace(name))
}

async fn create(State(app): State<Arc<App>>, Json(namespace): Json<NamespaceInfo>) -> Result<StatusCode> {
    app.control(&CreateNamespace(namespace)).await?;
    Ok(StatusCode::CREATED)
}

async fn create_named(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    OptionalJson(namespace): OptionalJson<NamespaceInfo>,
) -> Result<StatusCode> {
    app.control(&CreateNamespace(named(namespace, name)?)).await?;
    Ok(StatusCode::CREATED)
}

async fn update(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Json(namespace): Json<NamespaceInfo>,
) -> Result<StatusCode> {
    app.control(&UpdateNamespace(named(namespace, name)?)).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn delete(State(app): State<Arc<App>>, Segment(name): Segment) -> Result<StatusCode> {
    app.control(&DeleteNamespace { name }).await?;
    Ok(StatusCode::ACCEPTED)
}

/// The path says which namespace it is; the body may say it too.
fn named(namespace: NamespaceInfo, name: String) -> Result<NamespaceInfo> {
    if namespace.name.is_empty() || namespace.name == name {
        return Ok(NamespaceInfo { name, ..namespace });
    }
    Err(Error::InvalidRequest(format!("the path names namespace {name:?} and the body {:?}", namespace.name)))
}
