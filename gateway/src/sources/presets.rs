//! `/system/presets`: the providers that skep knows, in the form of a source's own keys.

use axum::Json as AnswerJson;
use serde::Serialize;
use skep_sources::{Preset, Presets};

use crate::{Error, Result, input::Segment};

/// A provider.
#[derive(Serialize)]
pub(super) struct Told {
    name: &'static str,
    #[serde(flatten)]
    preset: &'static Preset,
}

pub(super) async fn list() -> AnswerJson<Vec<Told>> {
    AnswerJson(Presets::embedded().iter().map(|(name, preset)| Told { name, preset }).collect())
}

pub(super) async fn read(Segment(asked): Segment) -> Result<AnswerJson<Told>> {
    let found = Presets::embedded().iter().find(|(name, _)| *name == asked);
    found.map(|(name, preset)| AnswerJson(Told { name, preset })).ok_or(Error::UnknownPreset(asked))
}
