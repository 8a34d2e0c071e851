//! `skep sources events`, `event` and `replay`: what a source has accepted, and what became of it.

use std::io::Write;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use skep_protocol::{CallOfEvent, EventInfo, EventOutcome, EventReplay, Replayed};

use super::event_args::{EventArgs, EventFilterArgs, EventsArgs, ReplayArgs};
use crate::{
    client::{api::Api, print_json, table},
    failure::{Failure, Result},
    output,
};

/// Events of a paused source that are counted.
const MAX_COUNTED: usize = 1000;

#[derive(Serialize, Deserialize)]
struct Events {
    events: Vec<EventInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

impl EventFilterArgs {
    fn given(self) -> impl Iterator<Item = (&'static str, String)> {
        let given = [("since", self.since), ("until", self.until), ("type", self.kind), ("outcome", self.outcome)];
        given.into_iter().filter_map(|(key, value)| Some((key, value?)))
    }
}

pub(super) async fn list(args: EventsArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let mut query: Vec<_> = args.filter.given().collect();
    query.push(("limit", args.limit.to_string()));
    query.extend(args.before.map(|before| ("before", before.to_string())));
    let listed: Events = api.json(api.get(&["sources", &args.name, "events"]).query(&query)).await?;
    if api.as_json {
        return print_json(&listed);
    }
    if listed.events.is_empty() {
        output::line("No events.");
    } else {
        let rows = listed.events.iter().map(|event| {
            let (kind, verified) = (event.kind.clone(), event.verified.clone());
            let at = table::at(event.received_at);
            [at, event.id.to_string(), kind, verified, outcome(event.outcome).to_owned(), routes(event)]
        });
        table::print(["TIME", "ID", "TYPE", "VERIFIED", "OUTCOME", "ROUTES"], rows);
    }
    if let Some(next) = listed.next {
        output::line(format_args!("There may be more: --before {next}"));
    }
    Ok(())
}

/// The routes that an event took, or why it took none.
fn routes(event: &EventInfo) -> String {
    if event.outcome == EventOutcome::Ignored {
        let reasons: Vec<_> =
            event.ignored.iter().map(|ignored| format!("{}: {}", ignored.route, ignored.reason)).collect();
        return reasons.join("; ");
    }
    event.calls.iter().map(|call| call.route.to_string()).collect::<Vec<_>>().join(", ")
}

fn outcome(outcome: EventOutcome) -> &'static str {
    match outcome {
        EventOutcome::Routed => "routed",
        EventOutcome::Ignored => "ignored",
        EventOutcome::Paused => "paused",
    }
}

pub(super) async fn show(args: EventArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let path = ["sources", &args.name, "events", &args.id];
    if args.body {
        let response = api.send(api.get(&[&path[..], &["body"]].concat())).await?;
        let body = response.bytes().await.map_err(|error| api.unreachable(&error))?;
        return std::io::stdout().write_all(&body).map_err(Failure::internal);
    }
    let event: EventInfo = api.json(api.get(&path)).await?;
    if api.as_json {
        return print_json(&event);
    }
    table::print_facts([
        ("event", event.id.to_string()),
        ("source", event.source.to_string()),
        ("type", event.kind.clone()),
        ("received", table::at(event.received_at)),
        ("verified", event.verified.clone()),
        ("outcome", outcome(event.outcome).to_owned()),
        ("from", table::or_empty(event.remote)),
        ("method", event.method.clone()),
        ("path", event.path.clone()),
        ("bytes", table::or_empty(event.bytes)),
    ]);
    if event.outcome == EventOutcome::Paused && event.replays.is_empty() {
        let (name, id) = (&event.source, &event.id);
        output::line(format_args!("\nIt came while the source was paused: skep sources replay {name} --id {id}"));
    }
    if !event.calls.is_empty() {
        output::line("");
        table::print(
            ["ROUTE", "FUNCTION", "CALL", "STATE"],
            event.calls.iter().map(|call| row(call, "not queued yet")),
        );
    }
    print_replays(event.replays);
    if !event.ignored.is_empty() {
        output::line("");
        let rows = event.ignored.iter().map(|ignored| [ignored.route.to_string(), ignored.reason.clone()]);
        table::print(["NOT TAKEN BY", "WHY"], rows);
    }
    output::line("\nHeaders");
    table::print_facts(event.headers);
    Ok(())
}

fn print_replays(replays: Vec<EventReplay>) {
    if replays.is_empty() {
        return;
    }
    output::line("");
    let rows = replays.into_iter().map(|EventReplay { replay, at, call }| {
        let [route, function, id, state] = row(&call, "no longer known");
        [replay, table::at(at), route, function, id, state]
    });
    table::print(["REPLAY", "TIME", "ROUTE", "FUNCTION", "CALL", "STATE"], rows);
}

/// A call of an event; `unknown` says what it is if there is no state of it.
fn row(call: &CallOfEvent, unknown: &str) -> [String; 4] {
    let state = call.state.map_or(unknown, |state| state.as_str());
    [call.route.to_string(), call.function.to_string(), call.call_id.to_string(), state.to_owned()]
}

pub(super) async fn replay(args: ReplayArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let mut asked: Map<String, Value> =
        args.filter.given().map(|(key, value)| (key.to_owned(), Value::String(value))).collect();
    asked.insert("ids".to_owned(), json!(args.id));
    asked.insert("dryRun".to_owned(), args.dry_run.into());
    asked.insert("asThen".to_owned(), args.as_then.into());
    if let Some(filter) = &args.matching {
        let read: std::result::Result<Value, _> = serde_saphyr::from_str(filter);
        let filter = read.map_err(|error| Failure::setting(format!("--filter: {error}")))?;
        asked.insert("filter".to_owned(), filter);
    }
    for (key, value) in [("route", args.route), ("replay", args.replay), ("rate", args.rate)] {
        asked.extend(value.map(|value| (key.to_owned(), Value::String(value))));
    }
    let mut all = Replayed::default();
    loop {
        let request = api.request(Method::POST, &["sources", &args.name, "replay"]).json(&asked);
        let part: Replayed = match api.json(request).await {
            Ok(part) => part,
            Err(failure) if all.replay.is_empty() => return Err(failure),
            Err(failure) => {
                let reason = format!("it was interrupted; continue with --replay {}: {failure}", all.replay);
                return Err(Failure::internal(anyhow::anyhow!(reason)));
            }
        };
        all.events += part.events;
        all.calls.extend(part.calls);
        all.replay.clone_from(&part.replay);
        let Some(next) = part.next else { break };
        asked.insert("replay".to_owned(), Value::String(part.replay));
        asked.insert("after".to_owned(), next.into());
    }
    if api.as_json {
        return print_json(&all);
    }
    if !all.calls.is_empty() {
        let rows = all.calls.iter().map(|call| {
            [&call.route.to_string(), &call.function.to_string(), call.call_id.as_str()].map(str::to_owned)
        });
        table::print(["ROUTE", "FUNCTION", "CALL"], rows);
    }
    let (events, calls) = (counted(all.events, "event"), counted(all.calls.len() as u64, "call"));
    if args.dry_run {
        output::line(format_args!("{events} would make {calls}; with --replay {} they have these ids", all.replay));
    } else {
        output::line(format_args!("{events} made {calls}, replay {}", all.replay));
    }
    Ok(())
}

pub(super) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Shows how many events came while a source was paused, and how they make their calls.
pub(super) async fn show_paused(api: &Api, name: &str) -> Result<()> {
    // The time does not show which these are: what was held came before, and was let in meanwhile.
    let asked = json!({ "outcome": "paused", "dryRun": true, "limit": MAX_COUNTED });
    let paused: Replayed = api.json(api.request(Method::POST, &["sources", name, "replay"]).json(&asked)).await?;
    if paused.calls.is_empty() {
        return Ok(());
    }
    let more = if paused.next.is_some() { "more than " } else { "" };
    let events = counted(paused.events, "event");
    output::line(format_args!(
        "{more}{events} came while it was paused, and made no call then: \
         skep sources replay {name} --outcome paused"
    ));
    Ok(())
}
