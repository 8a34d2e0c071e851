//! `/system/function/{name}/versions`, `/system/function/{name}/rollback`, and its canary.

use std::sync::Arc;

use axum::{
    Extension, Json as AnswerJson,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use skep_protocol::{
    Author, CanaryReport, FunctionName, KeptVersion, ListedVersion, Note,
    control::{ListVersions, Promote, Promoted, ReadCanary, ReadVersion, RollBack, RolledBack},
};

use crate::{
    Error, Result, Routes,
    app::App,
    audit_log::Details,
    auth::Caller,
    input::{NamespaceQuery, OptionalJson, Queried, Segment},
};

pub(crate) fn routes() -> Routes {
    vec![
        ("/system/function/{name}/versions", get(list)),
        ("/system/function/{name}/versions/{version}", get(read)),
        ("/system/function/{name}/rollback", post(roll_back)),
        ("/system/function/{name}/canary", get(canary)),
        ("/system/function/{name}/promote", post(promote)),
    ]
}

/// The version to go back to, and why.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    version: Option<u64>,
    note: Option<String>,
}

/// What a rollback has made.
#[derive(Serialize)]
struct Made {
    version: u64,
    restores: u64,
}

async fn list(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Queried(namespace): Queried<NamespaceQuery>,
) -> Result<AnswerJson<Vec<ListedVersion>>> {
    let function = deployed(&app, &name, &namespace)?;
    Ok(AnswerJson(app.control(&ListVersions { function }).await?))
}

async fn read(
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, String)>,
    Queried(namespace): Queried<NamespaceQuery>,
) -> Result<AnswerJson<KeptVersion>> {
    let function = deployed(&app, &name, &namespace)?;
    let invalid = |_| Error::InvalidRequest(format!("version {version:?} is not a number"));
    let version = version.parse().map_err(invalid)?;
    Ok(AnswerJson(app.control(&ReadVersion { function, version }).await?))
}

async fn roll_back(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Segment(name): Segment,
    Queried(namespace): Queried<NamespaceQuery>,
    OptionalJson(asked): OptionalJson<Asked>,
) -> Result<Response> {
    let function = deployed(&app, &name, &namespace)?;
    let author = author(&caller, asked.note.as_deref())?;
    let request = RollBack { function: function.clone(), version: asked.version, author };
    let RolledBack { change, version, restores } = app.control(&request).await?;
    app.wait_until_seen(change).await;
    let details = Details(format!("version {version}, as version {restores}"));
    let location = [(header::LOCATION, location(&function, version))];
    Ok((StatusCode::ACCEPTED, location, Extension(details), AnswerJson(Made { version, restores })).into_response())
}

async fn canary(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Queried(namespace): Queried<NamespaceQuery>,
) -> Result<AnswerJson<CanaryReport>> {
    let function = deployed(&app, &name, &namespace)?;
    let found = app.control(&ReadCanary { function: function.clone() }).await?;
    found.map(AnswerJson).ok_or(Error::NoCanary(function))
}

/// The version that takes all calls.
#[derive(Serialize)]
struct Current {
    version: u64,
}

async fn promote(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Queried(namespace): Queried<NamespaceQuery>,
) -> Result<Response> {
    let function = deployed(&app, &name, &namespace)?;
    let Promoted { change, version } = app.control(&Promote { function: function.clone() }).await?;
    app.wait_until_seen(change).await;
    let details = Details(format!("version {version}"));
    let location = [(header::LOCATION, location(&function, version))];
    Ok((StatusCode::ACCEPTED, location, Extension(details), AnswerJson(Current { version })).into_response())
}

/// Who makes a version, and what they say about it.
pub(crate) fn author(caller: &Caller, note: Option<&str>) -> Result<Author> {
    let note = note.map(Note::new).transpose().map_err(|error| Error::InvalidRequest(error.to_string()))?;
    Ok(Author::new(caller.name(), note))
}

/// Where a version can be read.
pub(crate) fn location(function: &FunctionName, version: u64) -> String {
    format!("/system/function/{function}/versions/{version}")
}

/// The name of a function that is there.
fn deployed(app: &App, name: &str, namespace: &NamespaceQuery) -> Result<FunctionName> {
    let name = app.named(name, &namespace.namespace)?;
    app.function(&name).map(|function| function.name.clone())
}
