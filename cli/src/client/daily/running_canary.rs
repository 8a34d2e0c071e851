//! What a deploy does with the canary that runs: one of the canary's settings keeps it, every other one ends it.

use reqwest::StatusCode;
use serde::Serialize;
use skep_protocol::{CanaryMode, FunctionDeployment, FunctionStatus, KeptVersion, Share, has_same_settings};

use crate::{client::api::Api, failure::Result};

/// The canary of a function, and what becomes of it.
#[derive(Serialize)]
pub(super) struct RunningCanary {
    pub(super) version: u64,
    pub(super) then: Then,
    #[serde(skip)]
    share: Share,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Then {
    Ends,
    Stays,
    /// It takes another share of the calls.
    Share,
    Promoted,
}

impl RunningCanary {
    /// The canary beside what is deployed, if there is one.
    pub(super) async fn of(
        api: &Api,
        function: &str,
        status: Option<&FunctionStatus>,
        wanted: &FunctionDeployment,
        mode: Option<CanaryMode>,
    ) -> Result<Option<Self>> {
        let Some(canary) = status.and_then(|status| status.canary.as_ref()) else { return Ok(None) };
        let version = canary.version.number;
        let request = api.get(&["function", function, "versions", &version.to_string()]);
        // It may have ended since it was looked at.
        let Some(response) = api.send_unless(request, StatusCode::NOT_FOUND).await? else { return Ok(None) };
        let kept: KeptVersion = api.read(response).await?;
        let settings = FunctionDeployment { registry_auth: String::new(), ..wanted.clone() };
        let (then, share) = match mode {
            _ if !has_same_settings(&settings, &kept.deployment) => (Then::Ends, canary.share),
            Some(CanaryMode::Off) => (Then::Promoted, canary.share),
            Some(CanaryMode::Share(share)) if share != canary.share => (Then::Share, share),
            Some(CanaryMode::Share(_)) | None => (Then::Stays, canary.share),
        };
        Ok(Some(Self { version, then, share }))
    }

    /// What becomes of it, in words that follow those about the function.
    pub(super) fn words(&self) -> String {
        let Self { version, share, then } = self;
        match then {
            Then::Ends => format!(", and its canary, version {version}, ends"),
            Then::Stays => format!(": its canary, version {version}, has these settings"),
            Then::Share => format!(": its canary, version {version}, takes {share} of the calls"),
            Then::Promoted => format!(": its canary, version {version}, takes all calls"),
        }
    }
}
