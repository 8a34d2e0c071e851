//! What can be asked of a schedule: its next times, a call now, and the calls of times in the past.

use std::sync::Arc;

use axum::{Json as AnswerJson, extract::State};
use serde::{Deserialize, Serialize};
use skep_protocol::{
    EventId, Overlap, SourceName,
    control::{BackfillSource, FireSource, Fired},
    parse_past,
};

use super::{named, require};
use crate::{
    Error, Result,
    app::App,
    hooks,
    input::{Json, Queried, Segment},
};

const USUAL_TIMES: usize = 10;
const MAX_TIMES: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NextAsked {
    n: Option<usize>,
}

#[derive(Serialize)]
pub(super) struct Next {
    /// Times with the offset of the schedule's time zone; of a paused schedule, when it would run.
    next: Vec<String>,
}

pub(super) async fn next(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Queried(asked): Queried<NextAsked>,
) -> Result<AnswerJson<Next>> {
    let name = named(&name)?;
    let source = require(&app, &name).await?;
    let receiver = hooks::compile(&source, &app).map_err(Error::InvalidRequest)?;
    let schedule = receiver.schedule().ok_or_else(|| no_schedule(&name))?;
    let most = asked.n.unwrap_or(USUAL_TIMES).clamp(1, MAX_TIMES);
    Ok(AnswerJson(Next { next: schedule.next_times(skep_bus::now(), most) }))
}

fn no_schedule(name: &SourceName) -> Error {
    Error::InvalidRequest(format!("source {name} is no schedule"))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FireAsked {
    overlap: Option<String>,
}

pub(super) async fn fire(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Queried(asked): Queried<FireAsked>,
) -> Result<AnswerJson<Fired>> {
    let asked = FireSource { name: named(&name)?, overlap: overlap(asked.overlap.as_deref())? };
    Ok(AnswerJson(app.control(&asked).await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BackfillAsked {
    from: Option<String>,
    to: Option<String>,
    overlap: Option<String>,
    /// The id of a backfill that was broken off: what it has made already is not made again.
    id: Option<String>,
}

pub(super) async fn backfill(
    State(app): State<Arc<App>>,
    Segment(name): Segment,
    Json(asked): Json<BackfillAsked>,
) -> Result<AnswerJson<Fired>> {
    let now = skep_bus::now();
    let time = |key: &str, text: Option<&str>| {
        let text = text.ok_or_else(|| Error::InvalidRequest(format!("{key} is missing: a time in the past")))?;
        parse_past(text, now).map_err(|reason| Error::InvalidRequest(format!("{key}: {reason}")))
    };
    let (from, to) = (time("from", asked.from.as_deref())?, time("to", asked.to.as_deref().or(Some("0")))?);
    if from > to {
        return Err(Error::InvalidRequest("from: must not be later than to".to_owned()));
    }
    let overlap = overlap(asked.overlap.as_deref())?;
    // Half of a new id is enough to tell backfills of one schedule apart.
    let id = asked.id.unwrap_or_else(|| EventId::generate().to_string().chars().skip(19).collect());
    let asked = BackfillSource { name: named(&name)?, from, to, overlap, id };
    Ok(AnswerJson(app.control(&asked).await?))
}

fn overlap(text: Option<&str>) -> Result<Option<Overlap>> {
    let read = text.map(str::parse).transpose();
    read.map_err(|reason: String| Error::InvalidRequest(format!("overlap: {reason}")))
}
