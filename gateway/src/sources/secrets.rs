//! `/system/sources/NAME/secrets`: a value goes in and never comes out.

use std::{sync::Arc, time::Duration};

use axum::{Json as AnswerJson, extract::State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use skep_protocol::{
    SecretText, SourceSecretStatus,
    control::{AddSourceSecret, AddedSourceSecret, RemoveSourceSecret, WhichSecret},
    parse_duration,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{named, require, status};
use crate::{
    Error, Result,
    app::App,
    input::{Json, Segment},
};

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Segment(source): Segment,
) -> Result<AnswerJson<Vec<SourceSecretStatus>>> {
    let source = require(&app, &named(&source)?).await?;
    Ok(AnswerJson(status::secrets(&source, &app).await?))
}

/// A new secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    value: SecretText,
    #[serde(default)]
    name: Option<String>,
    /// A time, or how long from now.
    #[serde(default)]
    expires: Option<String>,
    /// How long from now the others expire.
    #[serde(default)]
    retire_others: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Added {
    number: u64,
}

pub(super) async fn add(
    State(app): State<Arc<App>>,
    Segment(source): Segment,
    Json(new): Json<New>,
) -> Result<(StatusCode, AnswerJson<Added>)> {
    let New { value, name, expires, retire_others } = new;
    let duration = |key: &str, text: &str| -> Result<Duration> {
        parse_duration(text).map_err(|error| Error::InvalidRequest(format!("{key}: {error}")))
    };
    let expires_at = expires.map(|text| match OffsetDateTime::parse(&text, &Rfc3339) {
        Ok(time) => Ok(time),
        Err(_) => duration("expires", &text).map(|after| skep_bus::now().saturating_add(long(after))),
    });
    let retire_others = retire_others.map(|text| duration("retire_others", &text)).transpose()?;
    let (source, expires_at) = (named(&source)?, expires_at.transpose()?);
    let request = AddSourceSecret { source, value, name, expires_at, retire_others, learned: false };
    let AddedSourceSecret { number, .. } = app.control(&request).await?;
    Ok((StatusCode::CREATED, AnswerJson(Added { number })))
}

/// Which secrets are to go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    #[serde(default)]
    number: Option<u64>,
    #[serde(default)]
    name: Option<String>,
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Segment(source): Segment,
    Json(which): Json<Which>,
) -> Result<StatusCode> {
    let which = match (which.number, which.name) {
        (Some(number), None) => WhichSecret::Number(number),
        (None, Some(name)) => WhichSecret::Name(name),
        _ => return Err(Error::InvalidRequest("say which secret: {\"number\": 2} or {\"name\": …}".to_owned())),
    };
    app.control(&RemoveSourceSecret { source: named(&source)?, which }).await?;
    Ok(StatusCode::OK)
}

fn long(duration: Duration) -> time::Duration {
    duration.try_into().unwrap_or(time::Duration::MAX)
}
