//! What the API shows of a source.

use std::{collections::HashMap, time::Duration};

use futures_util::future::try_join_all;
use skep_bus::{EventFilter, Source};
use skep_protocol::{
    DecidedCounts, EventInfo, EventOutcome, Proof, SourceCounts, SourceName, SourceSecretStatus, SourceStatus, Verified,
};
use skep_sources::Receiver;
use time::OffsetDateTime;
use tokio::try_join;

use super::program;
use crate::{Result, app::App, hooks};

/// Sources whose last events are asked for at once.
const AT_ONCE: usize = 8;
/// The next times of a schedule that are shown.
const SHOWN_TIMES: usize = 3;
/// Queue-workers say how it is at least this often.
const SILENT_WORKERS: Duration = Duration::from_secs(60);
/// The newest events of a source, which say what was decided, and when its secrets were used last.
const LOOKED_AT: usize = 1000;

/// All of them, without the last uses of their secrets.
pub(super) async fn of_all(sources: &[Source], app: &App) -> Result<Vec<SourceStatus>> {
    let mut statuses = Vec::new();
    for sources in sources.chunks(AT_ONCE) {
        let found = try_join_all(sources.iter().map(|source| {
            let name = &source.record.name;
            async move { try_join!(app.bus.events.newest(name), app.bus.events.counts(name)) }
        }));
        let statuses_of = sources.iter().zip(found.await?);
        statuses.extend(statuses_of.map(|(source, (newest, counts))| of(source, app, newest, counts)));
    }
    for status in &mut statuses {
        program::add_state(app, status).await;
        add_topic_state(status, app).await?;
    }
    Ok(statuses)
}

/// One source, with what was decided about its newest events, and the last uses of its secrets.
pub(super) async fn of_one(source: &Source, app: &App) -> Result<SourceStatus> {
    let (name, stored) = (&source.record.name, &app.bus.events);
    let (newest, counts, events) =
        try_join!(Box::pin(stored.newest(name)), stored.counts(name), Box::pin(newest_events(name, app)))?;
    let counts = SourceCounts { newest: decided(&events), ..counts };
    let mut status = of(source, app, newest, counts);
    Uses::of(&events).fill_in(&mut status.secrets);
    program::add_state(app, &mut status).await;
    add_topic_state(&mut status, app).await?;
    Ok(status)
}

fn of(source: &Source, app: &App, last_event_at: Option<OffsetDateTime>, counts: SourceCounts) -> SourceStatus {
    let record = &source.record;
    let receiver = hooks::compile(source, app);
    let open = receiver.as_ref().is_ok_and(Receiver::is_open);
    let problem = match &receiver {
        Ok(receiver) if receiver.learns() => problem_of_learning(source, receiver),
        Ok(receiver) if !receiver.needs_secret() => None,
        Ok(_) => problem_of_secrets(source, app),
        Err(reason) => Some(reason.clone()),
    };
    let declared = receiver.as_ref().map(Receiver::source);
    let every = declared.ok().filter(|source| !source.disabled).and_then(|source| source.expect_every);
    let kind = receiver.as_ref().map_or("webhook", |receiver| receiver.kind().name());
    SourceStatus {
        name: record.name.clone(),
        kind: kind.to_owned(),
        path: (kind == "webhook").then(|| format!("/hooks/{}", record.name)),
        paused: record.paused,
        paused_at: record.paused_at,
        open,
        url: receiver.as_ref().ok().and_then(Receiver::url).map(str::to_owned),
        last_event_at,
        silent: hooks::is_silent(every, record.created_at, last_event_at, skep_bus::now()),
        program: None,
        secrets: active(source),
        created_at: record.created_at,
        updated_at: record.updated_at,
        problem,
        next: next(source, receiver.as_ref().ok()),
        function: record.function.as_ref().map(ToString::to_string),
        pending: None,
        warnings: receiver.map(|receiver| receiver.warnings().to_vec()).unwrap_or_default(),
        counts: Some(counts),
        spec: record.spec.clone(),
    }
}

/// What queue-workers say of a source of messages.
async fn add_topic_state(status: &mut SourceStatus, app: &App) -> Result<()> {
    let listens = matches!(status.kind.as_str(), "nats" | "mqtt");
    if !listens || status.problem.is_some() || status.spec["disabled"] == true {
        return Ok(());
    }
    let state = app.bus.topics.state(&status.name).await?;
    // What they said before the source was changed may be over.
    let state = state.filter(|state| state.at > status.updated_at);
    let since = state.as_ref().map_or(status.updated_at, |state| state.at);
    if skep_bus::now() - since > SILENT_WORKERS {
        status.problem = Some("no queue-worker listens for it".to_owned());
        return Ok(());
    }
    if let Some(state) = state {
        (status.problem, status.pending) = (state.problem, state.pending);
    }
    Ok(())
}

/// The next times of a schedule that runs.
fn next(source: &Source, receiver: Option<&Receiver>) -> Vec<String> {
    let runs = receiver.filter(|receiver| !receiver.source().disabled && !source.record.paused);
    let schedule = runs.and_then(Receiver::schedule);
    schedule.map(|schedule| schedule.next_times(skep_bus::now(), SHOWN_TIMES)).unwrap_or_default()
}

/// The secrets that count now, without their values.
pub(super) async fn secrets(source: &Source, app: &App) -> Result<Vec<SourceSecretStatus>> {
    let mut secrets = active(source);
    Uses::of(&newest_events(&source.record.name, app).await?).fill_in(&mut secrets);
    Ok(secrets)
}

fn active(source: &Source) -> Vec<SourceSecretStatus> {
    source.secrets.active(skep_bus::now()).map(SourceSecretStatus::from).collect()
}

async fn newest_events(source: &SourceName, app: &App) -> skep_bus::Result<Vec<EventInfo>> {
    Ok(app.bus.events.list(source, &EventFilter::default(), LOOKED_AT, None).await?.events)
}

fn decided(events: &[EventInfo]) -> Option<DecidedCounts> {
    let count = |outcome| events.iter().filter(|event| event.outcome == outcome).count() as u64;
    Some(DecidedCounts {
        since: events.iter().map(|event| event.received_at).min()?,
        routed: count(EventOutcome::Routed),
        ignored: count(EventOutcome::Ignored),
        paused: count(EventOutcome::Paused),
    })
}

/// What the newest events of a source say of its secrets, whichever gateway took them: when each was used last.
#[derive(Default)]
struct Uses(HashMap<String, OffsetDateTime>);

impl Uses {
    fn of(events: &[EventInfo]) -> Self {
        let mut uses = Self::default();
        for event in events {
            // What was let in later came when it came.
            if let Ok(Verified { by: Proof::Signature | Proof::Token, key: Some(key) }) = event.verified.parse() {
                let last = uses.0.entry(key).or_insert(event.received_at);
                *last = event.received_at.max(*last);
            }
        }
        uses
    }

    fn fill_in(&self, secrets: &mut [SourceSecretStatus]) {
        for secret in secrets {
            // A source of this name that was removed had secrets with the same numbers.
            let used = self.0.get(&secret.number.to_string()).copied();
            secret.last_used_at = used.filter(|used| *used >= secret.created_at);
        }
    }
}

/// Why a source whose provider brings the secret has none.
fn problem_of_learning(source: &Source, receiver: &Receiver) -> Option<String> {
    let (name, now) = (&source.record.name, skep_bus::now());
    if source.secrets.active(now).next().is_some() {
        return None;
    }
    Some(if receiver.may_learn(source.record.updated_at, now) {
        "it waits for its provider's first request, which brings the secret: create the webhook there".to_owned()
    } else {
        format!(
            "it has no secret, and the hour in which its provider may bring one is over: remove it and add it again, \
             or skep sources secret add {name}"
        )
    })
}

/// Why this gateway can verify no event of the source, or not all, if so.
fn problem_of_secrets(source: &Source, app: &App) -> Option<String> {
    let name = &source.record.name;
    let mut keys = source.secrets.active(skep_bus::now()).filter(|secret| secret.name.is_none()).peekable();
    if keys.peek().is_none() {
        return Some(format!("it has no secret, so no event can be verified: skep sources secret add {name}"));
    }
    let Some(seal_key) = &app.hooks.seal_key else {
        return Some("this gateway has no seal key, so it knows no secret: start it with --seal-key-file".to_owned());
    };
    let unreadable = keys.filter(|secret| seal_key.open(name, secret).is_err()).count();
    (unreadable > 0).then(|| {
        format!(
            "{unreadable} of its secrets were sealed with another key than this gateway's --seal-key-file: use the \
             controller's, or add them again"
        )
    })
}
