//! A provider as data: `presets.yaml`.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use http::HeaderName;
use serde::{Deserialize, Serialize};

use crate::{
    ack::Ack,
    challenge_rule::Challenge,
    reference::Reference,
    scheme::Verify,
    template::Template,
    text::{duration, header_names, size},
};

/// Everything that is known of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    pub verify: Verify,
    /// The first of these that is there is the event's id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub id: Vec<Reference>,
    /// What the id is if none of them is there.
    #[serde(default, rename = "else")]
    pub otherwise: Otherwise,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub event_type: Option<Template>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyRule>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub challenge: Vec<Challenge>,
    #[serde(default)]
    pub ack: Ack,
    /// Headers that hold a secret, which is replaced before anything is stored.
    #[serde(default, with = "header_names", skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<HeaderName>,
    #[serde(default, with = "size", skip_serializing_if = "Option::is_none")]
    pub max_body: Option<u64>,
    /// How long the provider waits for an answer.
    #[serde(default, with = "duration", skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
}

/// What an event's id is if the provider sent none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Otherwise {
    /// A new one for each request.
    #[default]
    Unique,
    /// A hash of the request, for providers whose retries have the same bytes and whose events never have.
    Content,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyRule {
    /// The field of a form whose JSON counts as the body for `json:` and filters.
    pub form: String,
}

/// What a source of a preset must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    Url,
}

/// The presets that are compiled in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Presets(BTreeMap<String, Preset>);

/// A test reads the file; a program cannot have one that is not read.
static EMBEDDED: LazyLock<Presets> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("../presets.yaml")).unwrap_or_default());

impl Presets {
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.0.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Preset)> {
        self.0.iter().map(|(name, preset)| (name.as_str(), preset))
    }
}

impl Preset {
    /// The field of a form whose JSON counts as the body.
    pub fn json_field(&self) -> Option<&str> {
        self.body.as_ref().map(|body| body.form.as_str())
    }
}
