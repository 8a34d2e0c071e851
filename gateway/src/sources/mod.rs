//! `/system/sources`: the sources of events, their pauses and secrets, and the presets of providers.

mod presets;
mod program;
mod schedules;
mod secrets;
mod status;

use std::sync::Arc;

use axum::{
    Json as AnswerJson,
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use skep_bus::Source;
use skep_protocol::{
    SourceName, SourceStatus,
    control::{Change, ControlRequest, CreateSource, DeleteSource, PauseSource, UpdateSource},
};

use crate::{
    Error, Result, Routes,
    app::App,
    input::{Json, Segment},
};

pub(crate) fn routes() -> Routes {
    vec![
        ("/system/sources", get(list).post(create).put(update).delete(delete)),
        ("/system/sources/{name}", get(read)),
        ("/system/sources/{name}/logs", get(program::logs)),
        ("/system/sources/{name}/pause", post(pause)),
        ("/system/sources/{name}/resume", post(resume)),
        ("/system/sources/{name}/next", get(schedules::next)),
        ("/system/sources/{name}/fire", post(schedules::fire)),
        ("/system/sources/{name}/backfill", post(schedules::backfill)),
        ("/system/sources/{name}/secrets", get(secrets::list).post(secrets::add).delete(secrets::remove)),
        ("/system/presets", get(presets::list)),
        ("/system/presets/{name}", get(presets::read)),
    ]
}

async fn list(State(app): State<Arc<App>>) -> Result<AnswerJson<Vec<SourceStatus>>> {
    let sources = app.require_bus().await?.sources.list().await?;
    Ok(AnswerJson(status::of_all(&sources, &app).await?))
}

async fn read(State(app): State<Arc<App>>, Segment(name): Segment) -> Result<AnswerJson<SourceStatus>> {
    status_of(&app, &named(&name)?).await
}

async fn create(
    State(app): State<Arc<App>>,
    Json(asked): Json<Asked>,
) -> Result<(StatusCode, AnswerJson<SourceStatus>)> {
    let (name, spec) = (asked.name()?, asked.spec());
    let status = changed(&app, &CreateSource { name: name.clone(), spec }, &name).await?;
    Ok((StatusCode::CREATED, status))
}

async fn update(State(app): State<Arc<App>>, Json(asked): Json<Asked>) -> Result<AnswerJson<SourceStatus>> {
    let (name, spec) = (asked.name()?, asked.spec());
    changed(&app, &UpdateSource { name: name.clone(), spec }, &name).await
}

async fn delete(State(app): State<Arc<App>>, Json(asked): Json<Asked>) -> Result<StatusCode> {
    app.control(&DeleteSource { name: asked.name()? }).await?;
    Ok(StatusCode::OK)
}

async fn pause(State(app): State<Arc<App>>, Segment(name): Segment) -> Result<AnswerJson<SourceStatus>> {
    set_paused(&app, &name, true).await
}

async fn resume(State(app): State<Arc<App>>, Segment(name): Segment) -> Result<AnswerJson<SourceStatus>> {
    set_paused(&app, &name, false).await
}

async fn set_paused(app: &App, name: &str, paused: bool) -> Result<AnswerJson<SourceStatus>> {
    let name = named(name)?;
    changed(app, &PauseSource { name: name.clone(), paused }, &name).await
}

/// A declaration with the source's name beside its other keys.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    name: String,
    #[serde(flatten)]
    spec: Map<String, Value>,
}

impl Asked {
    fn name(&self) -> Result<SourceName> {
        if self.name.is_empty() {
            return Err(Error::InvalidRequest("the name of the source is missing: {\"name\": …}".to_owned()));
        }
        named(&self.name)
    }

    fn spec(self) -> Value {
        Value::Object(self.spec)
    }
}

fn named(name: &str) -> Result<SourceName> {
    name.parse().map_err(|error: skep_protocol::InvalidSourceName| Error::InvalidRequest(error.to_string()))
}

/// Asks the controller for a change, and answers with what became of the source.
async fn changed<R: ControlRequest<Reply = Change>>(
    app: &App,
    request: &R,
    name: &SourceName,
) -> Result<AnswerJson<SourceStatus>> {
    app.control(request).await?;
    status_of(app, name).await
}

async fn status_of(app: &App, name: &SourceName) -> Result<AnswerJson<SourceStatus>> {
    let source = require(app, name).await?;
    Ok(AnswerJson(status::of_one(&source, app).await?))
}

async fn require(app: &App, name: &SourceName) -> Result<Source> {
    let found = app.require_bus().await?.sources.get(name).await?;
    found.ok_or(Error::UnknownSource)
}
