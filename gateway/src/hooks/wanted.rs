//! Which events of a source are meant: by time, type, outcome and route.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde::Deserialize;
use skep_bus::EventFilter;
use skep_protocol::{CallId, CallState, EventInfo, EventOutcome, parse_past};

use crate::{Error, Result, app::App};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) outcome: Option<Outcome>,
    pub(super) route: Option<String>,
}

/// What became of an event; that a call has failed is known only afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    Routed,
    Ignored,
    Paused,
    /// A call of it has failed, or is a dead letter.
    Failed,
}

impl Wanted {
    /// Decides what the event alone shows; [`Self::wants_failed`] is left.
    pub(super) fn filter(&self) -> Result<EventFilter> {
        let now = skep_bus::now();
        let time = |key: &str, text: &Option<String>| {
            let read = |text: &String| parse_past(text, now);
            text.as_ref().map(read).transpose().map_err(|reason| Error::InvalidRequest(format!("{key}: {reason}")))
        };
        let (since, until) = (time("since", &self.since)?, time("until", &self.until)?);
        let outcome = self.outcome.and_then(|outcome| match outcome {
            Outcome::Routed => Some(EventOutcome::Routed),
            Outcome::Ignored => Some(EventOutcome::Ignored),
            Outcome::Paused => Some(EventOutcome::Paused),
            // A replay may have made the call of any event.
            Outcome::Failed => None,
        });
        Ok(EventFilter { since, until, kind: self.kind.clone(), outcome, route: self.route.clone() })
    }

    pub(super) fn wants_failed(&self) -> bool {
        self.outcome == Some(Outcome::Failed)
    }

    /// Whether they are any but all.
    pub(super) fn says_something(&self) -> bool {
        self.since.is_some() || self.until.is_some() || self.kind.is_some() || self.outcome.is_some()
    }
}

/// Whether a call has failed, or is a dead letter.
pub(super) async fn has_failed(app: &App, call: &CallId) -> Result<bool> {
    let status = app.bus.calls.status(call).await?;
    Ok(status.is_some_and(|status| matches!(status.state, CallState::Failed | CallState::Dead)))
}

/// Those of which a call has failed. What counts of each route is its latest call, be it of a replay or not.
pub(super) async fn failed_of(app: &App, events: Vec<EventInfo>) -> Result<Vec<EventInfo>> {
    let looks = events.into_iter().map(|event| async move {
        let replays = app.bus.events.replays(&event.source, &event.id, event.received_at).await?;
        let calls = event.calls.iter().chain(replays.iter().map(|replay| &replay.call));
        let latest: BTreeMap<_, _> = calls.map(|call| (&call.route, &call.call_id)).collect();
        let looks = latest.into_values().map(|call| has_failed(app, call));
        let failed = try_join_all(looks).await?.into_iter().any(|failed| failed);
        Ok::<_, Error>(failed.then_some(event))
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}
