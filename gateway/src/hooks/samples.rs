//! `/system/sources/NAME/samples`: events that are kept, to be sent or tried again.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use skep_bus::Sample;
use skep_protocol::{EventId, EventInfo};

use super::events;
use crate::{
    Error, Result,
    app::App,
    input::{self, Segment},
};

/// A sample as it is listed.
#[derive(Serialize)]
pub(super) struct Listed {
    label: EventId,
    #[serde(flatten)]
    event: EventInfo,
}

/// Which event is to be kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    event: EventId,
}

pub(super) async fn list(State(app): State<Arc<App>>, Segment(source): Segment) -> Result<Json<Vec<Listed>>> {
    let name = events::name(&source)?;
    let samples = app.require_bus().await?.events.samples(&name).await?;
    if samples.is_empty() {
        events::require(&app, &name).await?;
    }
    let listed = samples.into_iter().map(|Sample { label, event, sequence }| {
        let event = EventInfo::of(&event, sequence, None);
        Listed { label, event }
    });
    Ok(Json(listed.collect()))
}

pub(super) async fn keep(
    State(app): State<Arc<App>>,
    Path((source, label)): Path<(String, String)>,
    input::Json(asked): input::Json<Asked>,
) -> Result<StatusCode> {
    let label = read(&label)?;
    let stored = events::find(&app, &source, asked.event.as_str()).await?;
    app.bus.events.keep_sample(&stored.event, &label).await.map_err(without_room)?;
    Ok(StatusCode::CREATED)
}

/// There is room again when somebody removes a sample, and not by waiting.
fn without_room(error: skep_bus::Error) -> skep_bus::Error {
    let skep_bus::Error::Full(_) = error else { return error };
    let message = "all sources together have as many samples as they may (1,000, and 256 MiB): remove one with \
                   skep sources samples NAME --remove LABEL";
    skep_bus::Error::Refused { status: 409, message: message.to_owned() }
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Path((source, label)): Path<(String, String)>,
) -> Result<StatusCode> {
    let (source, label) = (events::name(&source)?, read(&label)?);
    match app.require_bus().await?.events.remove_sample(&source, &label).await? {
        true => Ok(StatusCode::OK),
        false => Err(Error::UnknownSample(label.to_string())),
    }
}

/// A sample of a source with its body.
pub(super) async fn find(app: &App, source: &str, label: &str) -> Result<Sample> {
    let label = read(label)?;
    let found = app.require_bus().await?.events.sample(&events::name(source)?, &label).await?;
    found.ok_or_else(|| Error::UnknownSample(label.to_string()))
}

fn read(label: &str) -> Result<EventId> {
    label.parse().map_err(|_| {
        Error::InvalidRequest("label of a sample: use 1 to 128 letters, digits, hyphens and underscores".to_owned())
    })
}
