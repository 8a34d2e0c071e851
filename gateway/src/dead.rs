//! `/system/dead`: calls and callbacks that were given up. They can be shown, redriven, or removed.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    middleware::map_response,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, uri::PathAndQuery};
use serde::Deserialize;
use skep_bus::{DeadLetter, DeadLetterFilter, Edit, Redriven};
use skep_protocol::{
    CallId, DeadChanges, DeadDone, DeadKind, DeadLetterContent, DeadLetterInfo, DeadRefused, DeadRequest, FunctionName,
    headers, without_credentials,
};
use tokio::time::{Instant, sleep_until};

use crate::{
    Error, Result, Routes,
    app::App,
    audit_log::Done,
    auth::{Caller, Need},
    input::{self, Queried, Segment},
    pages, spans,
};

/// In the place of a value that is not shown.
const HIDDEN: &str = "(hidden)";
const USUALLY_LISTED: usize = 100;
const MAX_LISTED: usize = 1000;
/// A redrive of many dead letters at a rate takes no longer.
const MAX_REDRIVE: Duration = Duration::from_secs(60);

pub(crate) fn routes() -> Routes {
    let routes = [
        ("/system/dead", get(list).delete(purge)),
        ("/system/dead-redrive", post(redrive_many)),
        ("/system/dead/{id}", get(show).delete(remove)),
        ("/system/dead/{id}/redrive", post(redrive)),
    ];
    routes.into_iter().map(|(path, methods)| (path, methods.layer(map_response(pages::lock)))).collect()
}

/// Which dead letters are meant.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    function: Option<String>,
    #[serde(default)]
    kind: Option<DeadKind>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    after: u64,
    #[serde(default)]
    limit: Option<usize>,
    /// Dead letters per second of a redrive.
    #[serde(default)]
    rate: Option<f64>,
}

impl Wanted {
    fn filter(&self, app: &App) -> Result<DeadLetterFilter> {
        let function = self.function.as_deref().map(|name| app.named(name, "")).transpose()?;
        Ok(DeadLetterFilter { function, kind: self.kind, reason: self.reason.clone(), after: self.after })
    }

    fn limit(&self) -> usize {
        self.limit.unwrap_or(USUALLY_LISTED).min(MAX_LISTED)
    }

    /// The pause between two dead letters.
    fn pause(&self) -> Result<Duration> {
        let Some(rate) = self.rate else { return Ok(Duration::ZERO) };
        let pause = Duration::try_from_secs_f64(1.0 / rate).ok().filter(|_| rate > 0.0);
        let pause =
            pause.ok_or_else(|| Error::InvalidRequest("rate: dead letters per second, more than 0".to_owned()))?;
        let most = u32::try_from(self.limit()).unwrap_or(u32::MAX);
        if pause.saturating_mul(most) > MAX_REDRIVE {
            let reason = format!("limit {most} at this rate takes longer than a minute: ask for fewer at a time");
            return Err(Error::InvalidRequest(reason));
        }
        Ok(pause)
    }
}

async fn list(State(app): State<Arc<App>>, Queried(wanted): Queried<Wanted>) -> Result<Json<Vec<DeadLetterInfo>>> {
    let letters = app.require_bus().await?.dead_letters.list(&wanted.filter(&app)?, wanted.limit()).await?;
    Ok(Json(letters))
}

/// Which dead letter is shown, and how much of it.
#[derive(Deserialize)]
struct Shown {
    #[serde(default = "Kind::usual")]
    kind: DeadKind,
    /// Credentials, too.
    #[serde(default)]
    reveal: bool,
}

impl Shown {
    fn header(&self, name: &HeaderName, value: &HeaderValue) -> (String, String) {
        let value = match name {
            _ if self.reveal => lossy(value.as_bytes()),
            name if headers::is_secret(name) => HIDDEN.to_owned(),
            // An older version has stored it as it came.
            name if *name == headers::CALLBACK_URL => shown_url(value),
            _ => lossy(value.as_bytes()),
        };
        (name.to_string(), value)
    }
}

fn shown_url(value: &HeaderValue) -> String {
    let url = value.to_str().ok().and_then(|url| url.parse().ok());
    url.map_or_else(|| HIDDEN.to_owned(), |url| without_credentials(url).into())
}

/// Which of a call's two dead letters is meant.
#[derive(Deserialize)]
pub(crate) struct Kind {
    #[serde(default = "Kind::usual")]
    pub(crate) kind: DeadKind,
}

impl Kind {
    fn usual() -> DeadKind {
        DeadKind::Call
    }
}

async fn show(
    State(app): State<Arc<App>>,
    Segment(id): Segment,
    Queried(shown): Queried<Shown>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<DeadLetterContent>> {
    if shown.reveal {
        caller.require(Need::Admin)?;
    }
    let letter = find(&app, &id, shown.kind).await?;
    let request = match shown.kind {
        DeadKind::Call => app.bus.dead_letters.request_of(&letter).ok(),
        DeadKind::Callback => None,
    };
    let request = request.map(|call| DeadRequest {
        path: call.path,
        query: call.query,
        headers: call.headers.iter().map(|(name, value)| shown.header(name, value)).collect(),
        callback_url: call.callback.map(|url| without_credentials(url).to_string()),
        history: call.history,
    });
    Ok(Json(DeadLetterContent {
        request,
        body: STANDARD.encode(&letter.body),
        large_body: letter.stored_body().map(|body| body.length),
        text: std::str::from_utf8(&letter.body).ok().filter(|_| letter.stored_body().is_none()).map(str::to_owned),
        last_answer: letter.last_answer().map(|answer| lossy(&answer)),
        info: letter.info,
    }))
}

async fn remove(
    State(app): State<Arc<App>>,
    Segment(id): Segment,
    Queried(Kind { kind }): Queried<Kind>,
) -> Result<StatusCode> {
    let letter = find(&app, &id, kind).await?;
    app.bus.dead_letters.delete(&letter).await?;
    Ok(StatusCode::OK)
}

/// What was done with dead letters; the audit log has their number.
type Counted = (Extension<Done>, Json<DeadDone>);

fn counted(done: DeadDone) -> Counted {
    (Extension(Done(done.done)), Json(done))
}

/// Removes the oldest dead letters that are meant, at most `limit`.
async fn purge(State(app): State<Arc<App>>, Queried(wanted): Queried<Wanted>) -> Result<Counted> {
    let letters = app.require_bus().await?.dead_letters.list(&wanted.filter(&app)?, wanted.limit()).await?;
    for letter in &letters {
        app.bus.dead_letters.remove(letter.sequence).await?;
    }
    Ok(counted(DeadDone { done: letters.len(), refused: Vec::new() }))
}

/// Whether a request can have this path and query as they are.
fn is_target(path: &str, query: Option<&str>) -> bool {
    let text = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    PathAndQuery::try_from(text)
        .is_ok_and(|parsed| path.starts_with('/') && parsed.path() == path && parsed.query() == query)
}

fn edit(changes: DeadChanges) -> Result<Edit> {
    let invalid = |reason: String| Error::InvalidRequest(reason);
    if changes.path.as_deref().is_some_and(|path| !path.is_empty() && !is_target(path, None)) {
        return Err(invalid("path: it begins with / and has only characters of a URL, or is empty".to_owned()));
    }
    if changes.query.as_deref().is_some_and(|query| !is_target("/", Some(query))) {
        return Err(invalid("query: it has characters that a URL cannot have; escape them with %".to_owned()));
    }
    let body = match (changes.text, changes.body) {
        (Some(text), _) => Some(Bytes::from(text)),
        (None, Some(body)) => Some(STANDARD.decode(body).map_err(|error| invalid(format!("body: {error}")))?.into()),
        (None, None) => None,
    };
    let header = |(name, value): (String, Option<String>)| {
        let value = value.map(HeaderValue::try_from).transpose();
        let value = value.map_err(|error| invalid(format!("header {name}: {error}")))?;
        let name = HeaderName::try_from(&name).map_err(|error| invalid(format!("header {name:?}: {error}")))?;
        Ok((name, value))
    };
    let headers = changes.headers.into_iter().map(header).collect::<Result<_>>()?;
    Ok(Edit { body, path: changes.path, query: changes.query, headers })
}

/// Redrives one dead letter under its own id, changed or as it was.
async fn redrive(
    State(app): State<Arc<App>>,
    Segment(id): Segment,
    Queried(Kind { kind }): Queried<Kind>,
    Extension(caller): Extension<Caller>,
    input::OptionalJson(changes): input::OptionalJson<DeadChanges>,
) -> Result<StatusCode> {
    let letter = find(&app, &id, kind).await?;
    send_again(&app, &caller, &letter, edit(changes)?).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Redrives the oldest selected dead letters, at most `limit`, at a rate.
async fn redrive_many(
    State(app): State<Arc<App>>,
    Queried(wanted): Queried<Wanted>,
    Extension(caller): Extension<Caller>,
) -> Result<Counted> {
    let pause = wanted.pause()?;
    let mut next = Instant::now();
    let mut done = DeadDone::default();
    for info in app.require_bus().await?.dead_letters.list(&wanted.filter(&app)?, wanted.limit()).await? {
        sleep_until(next).await;
        next += pause;
        let Some(letter) = app.bus.dead_letters.get(&info.call_id, info.kind).await? else { continue };
        match send_again(&app, &caller, &letter, Edit::default()).await {
            Ok(()) => done.done += 1,
            Err(error) if is_about_the_dead_letter(&error) => {
                done.refused.push(DeadRefused { call_id: info.call_id, reason: error.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(counted(done))
}

/// Whether an error is about this dead letter, and not about all.
fn is_about_the_dead_letter(error: &Error) -> bool {
    match error {
        Error::NotRedriven { .. } | Error::UnknownFunction(_) | Error::Name(_) => true,
        Error::Bus(error) => !error.may_pass(),
        _ => false,
    }
}

async fn send_again(app: &App, caller: &Caller, letter: &DeadLetter, edit: Edit) -> Result<()> {
    let sampled = match letter.info.kind {
        // Without its function it would only die again.
        DeadKind::Call => app.function(&app.named(&letter.info.function, "")?)?.policy.traced,
        DeadKind::Callback => None,
    };
    let may_call =
        |function: &FunctionName| app.auth.may_call(caller, function, app.bus.connection.default_namespace());
    let span = spans::publish_again(&app.tracer, letter.trace(), sampled);
    if let Some(span) = &span {
        let id = letter.info.call_id.to_string();
        span.describe(move |description| {
            description.name = "redrive".into();
            description.attributes.push(("skep.call.id", id.into()));
        });
    }
    let trace = span.as_ref().map(|span| span.context().clone());
    let redriven = app.bus.dead_letters.redrive(letter, edit, trace, may_call).await?;
    answer_to_redrive(redriven, &letter.info.call_id)
}

fn answer_to_redrive(redriven: Redriven, id: &CallId) -> Result<()> {
    let not_redriven = |reason| Error::NotRedriven { id: id.clone(), reason };
    match redriven {
        Redriven::Sent | Redriven::UnderWay => Ok(()),
        Redriven::Otherwise => Err(not_redriven(
            "an earlier redrive has sent it on its way with another request; wait for its end, or take it back"
                .to_owned(),
        )),
        Redriven::Ended(state) => Err(not_redriven(format!("the call has ended: {}", state.as_str()))),
        Redriven::Impossible(reason) => Err(not_redriven(reason)),
    }
}

async fn find(app: &App, id: &str, kind: DeadKind) -> Result<DeadLetter> {
    let id: CallId = id.parse()?;
    app.require_bus().await?.dead_letters.get(&id, kind).await?.ok_or(Error::UnknownDeadLetter(id))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
