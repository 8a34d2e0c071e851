//! `/system/sources/NAME/held` and `…/release`: what could not be verified, and letting it in when it can.

use std::sync::Arc;

use axum::{Extension, Json, extract::State};
use serde::{Deserialize, Serialize};
use skep_bus::{HeldId, HeldKind, HeldRequest, Submitted};
use skep_protocol::{EventId, HeldInfo, Proof, SourceName, Verified};

use super::{accept, events, hook::Hook, request::Arrived};
use crate::{
    Error, Result,
    app::App,
    audit_log::Done,
    input::{self, Queried, Segment},
};

/// Requests that are listed, and looked at in one go, of each kind.
const MAX_LISTED: usize = 500;

/// Requests that are looked into, the newest first.
const MAX_EXPLAINED: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    /// Whether to say what makes them fit.
    why: bool,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Segment(source): Segment,
    Queried(wanted): Queried<Wanted>,
) -> Result<Json<Vec<HeldInfo>>> {
    let name = events::name(&source)?;
    let mut listed = Vec::new();
    for kind in HeldKind::ALL {
        let held = app.require_bus().await?.events.held(&name, kind, 0, MAX_LISTED).await?;
        listed.extend(held.into_iter().map(|(id, request)| (id, info(id, request))));
    }
    if listed.is_empty() {
        events::require(&app, &name).await?;
    }
    listed.sort_by_key(|(_, info)| std::cmp::Reverse(info.received_at));
    let most = if wanted.why { MAX_EXPLAINED } else { usize::MAX };
    listed.truncate(wanted.limit.unwrap_or(most).min(most));
    if wanted.why {
        let hook = app.hooks.source(&source)?;
        for (id, info) in &mut listed {
            info.why = explained(&app, &hook, &name, *id).await?;
        }
    }
    Ok(Json(listed.into_iter().map(|(_, info)| info).collect()))
}

/// What makes a request fit. The work is heavy, so it holds up no others.
async fn explained(app: &App, hook: &Arc<Hook>, source: &SourceName, id: HeldId) -> Result<Vec<String>> {
    let Some(request) = app.require_bus().await?.events.held_request(source, id).await? else { return Ok(Vec::new()) };
    if !request.is_whole {
        return Ok(vec!["Only the beginning of its body is kept, so nothing can be tried.".to_owned()]);
    }
    let (hook, arrived) = (Arc::clone(hook), arrived(request));
    tokio::task::spawn_blocking(move || hook.why(&arrived)).await.map_err(Error::Ended)?
}

fn arrived(request: HeldRequest) -> Arrived {
    Arrived {
        method: request.method,
        path: request.path,
        query: request.query,
        headers: request.headers,
        body: request.body,
        received_at: request.received_at,
        remote: request.remote,
        trace: None,
    }
}

fn info(id: HeldId, request: HeldRequest) -> HeldInfo {
    HeldInfo {
        source: request.source,
        id: id.to_string(),
        received_at: request.received_at,
        reason: request.reason,
        method: request.method.to_string(),
        path: request.path,
        remote: request.remote,
        bytes: request.length,
        whole: request.is_whole,
        sha256: request.sha256,
        why: Vec::new(),
    }
}

/// Which requests are to be let in.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    ids: Vec<String>,
    /// All that are held, at most [`MAX_LISTED`] in one go; copies of refused ones are named one by one.
    all: bool,
    /// Of all, only those behind this one.
    after: Option<String>,
    /// Even those that still cannot be verified.
    force: bool,
}

/// What became of them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcomes {
    released: Vec<Released>,
    refused: Vec<Refused>,
    /// More are held behind this one, when all were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Released {
    id: String,
    events: Vec<EventId>,
    /// It was stored before.
    duplicate: bool,
}

#[derive(Debug, Serialize)]
struct Refused {
    id: String,
    reason: String,
}

pub(super) async fn release(
    State(app): State<Arc<App>>,
    Segment(source): Segment,
    input::Json(asked): input::Json<Asked>,
) -> Result<(Extension<Done>, Json<Outcomes>)> {
    let name = events::name(&source)?;
    let hook = app.hooks.source(&source)?;
    let read = |id: &String| id.parse::<HeldId>().map_err(Error::InvalidRequest);
    let mut done = Outcomes::default();
    let ids = if asked.all {
        let after = asked.after.as_ref().map(read).transpose()?.map_or(0, |id| id.sequence);
        let held = app.require_bus().await?.events.held(&name, HeldKind::Held, after, MAX_LISTED).await?;
        done.next = held.get(MAX_LISTED - 1).map(|(id, _)| id.to_string());
        held.into_iter().map(|(id, _)| id).collect()
    } else if asked.ids.is_empty() {
        return Err(Error::InvalidRequest("say which: ids, as skep sources held lists them, or all".to_owned()));
    } else {
        asked.ids.iter().map(read).collect::<Result<Vec<_>>>()?
    };
    for id in ids {
        match let_in(&app, &hook, &name, id, asked.force).await? {
            Ok(released) => done.released.push(released),
            Err(reason) => done.refused.push(Refused { id: id.to_string(), reason }),
        }
    }
    Ok((Extension(Done(done.released.len())), Json(done)))
}

/// Checks a held request again, with the secrets of today and at the time at which it came; the inner error is of this one alone.
async fn let_in(
    app: &App,
    hook: &Hook,
    source: &SourceName,
    id: HeldId,
    force: bool,
) -> Result<std::result::Result<Released, String>> {
    let Some(request) = app.require_bus().await?.events.held_request(source, id).await? else {
        return Ok(Err("it is no longer kept".to_owned()));
    };
    if !request.is_whole {
        return Ok(Err(format!("only the beginning of its {} bytes is kept", request.length)));
    }
    let arrived = arrived(request);
    let verdict = hook.verify_again(&arrived)?;
    let by = match (&verdict, force) {
        (skep_sources::Verdict::Refused(_), true) => Proof::Forced,
        (skep_sources::Verdict::Refused(reason), false) => return Ok(Err(reason.to_string())),
        _ => Proof::Released,
    };
    let verified = Verified { by, key: verdict.key().map(str::to_owned) };
    let mut decided = accept::decide(app, hook, None, &arrived, &verified)?;
    let stored = accept::store(app, hook, &mut decided).await?;
    // It is stored as an event now; asked for again, that is found to be there.
    app.bus.events.remove_held(id).await?;
    let duplicate = stored.iter().all(|submitted| *submitted == Submitted::Duplicate);
    Ok(Ok(Released { id: id.to_string(), events: decided.into_iter().map(|event| event.id).collect(), duplicate }))
}
