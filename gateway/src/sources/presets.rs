//! `/system/presets`: the providers that skep knows, in the form of a source's own keys.

use axum::Json as AnswerJson;
use serde::Serialize;
use skep_sources::{Preset, Presets};

use crate::{Error, Result, input::Segment};

/// Names that begin with as many same letters may be mistaken for each other.
const ALIKE: usize = 2;

/// A provider.
#[derive(Serialize)]
pub(super) struct PresetView {
    name: &'static str,
    #[serde(flatten)]
    preset: &'static Preset,
}

pub(super) async fn list() -> AnswerJson<Vec<PresetView>> {
    AnswerJson(Presets::embedded().iter().map(|(name, preset)| PresetView { name, preset }).collect())
}

pub(super) async fn read(Segment(asked): Segment) -> Result<AnswerJson<PresetView>> {
    let found = Presets::embedded().iter().find(|(name, _)| *name == asked);
    found.map(|(name, preset)| AnswerJson(PresetView { name, preset })).ok_or_else(|| unknown(&asked))
}

/// What is not known, and the presets that begin like it.
fn unknown(asked: &str) -> Error {
    let asked: String = asked.chars().take(64).collect();
    let beginning: String = asked.chars().take(ALIKE).flat_map(char::to_lowercase).collect();
    let alike = Presets::embedded().iter().map(|(name, _)| name);
    let alike: Vec<_> = alike.filter(|name| !beginning.is_empty() && name.starts_with(&beginning)).collect();
    let alike = if alike.is_empty() { String::new() } else { format!(", as {}", alike.join(", ")) };
    Error::UnknownPreset(asked, alike)
}
