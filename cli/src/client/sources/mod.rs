//! `skep sources`: where events come from, and which functions they call.

pub(crate) mod args;
mod event_args;
mod events;
mod forward;
mod held;
mod presets;
mod program;
mod samples;
mod schedule;
mod schedule_args;
mod secrets;
mod send;

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use anyhow::anyhow;
use reqwest::Method;
use serde_json::{Map, Value, json};
use skep_protocol::SourceStatus;

use self::args::{SourceArgs, SourceNamesArgs, SourceSpecArgs, SourcesCommand, SourcesListArgs};
use super::{api::Api, print_json, table};
use crate::{
    failure::{Failure, Result},
    output,
};

/// What is longer is no declaration and no secret.
const MAX_FILE: u64 = 1024 * 1024;

pub(crate) async fn run(command: SourcesCommand) -> Result<()> {
    match command {
        SourcesCommand::List(args) => list(args).await,
        SourcesCommand::Show(args) => show(args).await,
        SourcesCommand::Add(args) => put(args, Method::POST).await,
        SourcesCommand::Update(args) => put(args, Method::PUT).await,
        SourcesCommand::Remove(args) => remove(args).await,
        SourcesCommand::Pause(args) => set_paused(args, "pause").await,
        SourcesCommand::Resume(args) => set_paused(args, "resume").await,
        SourcesCommand::Next(args) => schedule::next(args).await,
        SourcesCommand::Fire(args) => schedule::fire(args).await,
        SourcesCommand::Backfill(args) => schedule::backfill(args).await,
        SourcesCommand::Events(args) => events::list(args).await,
        SourcesCommand::Event(args) => events::show(args).await,
        SourcesCommand::Logs(args) => program::logs(args).await,
        SourcesCommand::Held(args) => held::list(args).await,
        SourcesCommand::Release(args) => held::release(args).await,
        SourcesCommand::Replay(args) => events::replay(args).await,
        SourcesCommand::Try(args) => send::try_out(args).await,
        SourcesCommand::Send(args) => send::send(args).await,
        SourcesCommand::Forward(args) => forward::run(args).await,
        SourcesCommand::Keep(args) => samples::keep(args).await,
        SourcesCommand::Samples(args) => samples::run(args).await,
        SourcesCommand::Secret(command) => secrets::run(command).await,
        SourcesCommand::Presets(args) => presets::run(args).await,
    }
}

async fn list(args: SourcesListArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let sources: Vec<SourceStatus> = api.json(api.get(&["sources"])).await?;
    if api.as_json {
        return print_json(&sources);
    }
    if sources.is_empty() {
        output::line("No sources. See skep sources --help, or write them into the section sources of stack.yml.");
        return Ok(());
    }
    let rows = sources.iter().map(|source| {
        let secrets = source.secrets.len().to_string();
        let name = source.name.to_string();
        let (path, last) = (or_empty(source.path.as_ref()), source.last_event_at.map(table::at).unwrap_or_default());
        let next = or_empty(source.next.first());
        let problem = or_empty(source.problem.as_ref());
        [name, source.kind.clone(), preset(source), path, state(source), last, next, secrets, problem]
    });
    table::print(["SOURCE", "KIND", "PRESET", "PATH", "STATE", "LAST EVENT", "NEXT", "SECRETS", "PROBLEM"], rows);
    Ok(())
}

async fn show(args: SourceArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let source: SourceStatus = api.json(api.get(&["sources", &args.name])).await?;
    print(&api, &source)
}

async fn put(args: SourceSpecArgs, method: Method) -> Result<()> {
    let mut declaration = match &args.file {
        Some(file) => read_declaration(file)?,
        None => of_flags(&args),
    };
    let SourceSpecArgs { name, client, .. } = args;
    if let Some(other) = declaration.get("name").filter(|other| other.as_str() != Some(name.as_str())) {
        return Err(Failure::setting(format!("the file is of source {other} and not of {name}")));
    }
    declaration.insert("name".to_owned(), Value::String(name));
    let api = Api::new(client)?;
    let source: SourceStatus = api.json(api.request(method, &["sources"]).json(&declaration)).await?;
    print(&api, &source)
}

async fn remove(args: SourceNamesArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let mut failures = Vec::new();
    for name in &args.names {
        match api.send(api.request(Method::DELETE, &["sources"]).json(&json!({ "name": name }))).await {
            Ok(_) => output::line(format_args!("{name} is removed")),
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}

async fn set_paused(args: SourceNamesArgs, what: &str) -> Result<()> {
    let api = Api::new(args.client)?;
    let mut failures = Vec::new();
    for name in &args.names {
        failures.extend(pause_or_resume(&api, name, what).await.err());
    }
    Failure::all(failures)
}

async fn pause_or_resume(api: &Api, name: &str, what: &str) -> Result<()> {
    let before: SourceStatus = api.json(api.get(&["sources", name])).await?;
    api.send(api.request(Method::POST, &["sources", name, what])).await?;
    output::line(format_args!("{name} is {what}d"));
    if what == "resume" && before.paused { events::show_paused(api, name).await } else { Ok(()) }
}

fn print(api: &Api, source: &SourceStatus) -> Result<()> {
    if api.as_json {
        return print_json(source);
    }
    table::print_facts([
        ("source", source.name.to_string()),
        ("kind", source.kind.clone()),
        ("url", source.url.clone().or_else(|| Some(api.url_of(source.path.as_ref()?))).unwrap_or_default()),
        ("preset", preset(source)),
        ("state", state(source)),
        ("paused since", source.paused_at.map(table::at).unwrap_or_default()),
        ("problem", or_empty(source.problem.as_ref())),
        ("note", source.warnings.join("; ")),
        ("pending", source.pending.map(|pending| pending.to_string()).unwrap_or_default()),
        ("last event", source.last_event_at.map(table::at).unwrap_or_default()),
        ("next", source.next.join(", ")),
        ("of function", or_empty(source.function.as_ref())),
        ("created", table::at(source.created_at)),
        ("updated", table::at(source.updated_at)),
    ]);
    source.program.iter().for_each(program::print);
    if !source.secrets.is_empty() {
        output::line("\nSecrets");
        secrets::print(&source.secrets);
    }
    let declaration = serde_json::to_string_pretty(&source.spec).map_err(Failure::internal)?;
    output::line(format_args!("\nDeclaration\n{}", output::harmless(&declaration)));
    Ok(())
}

fn preset(source: &SourceStatus) -> String {
    source.spec.get("preset").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn state(source: &SourceStatus) -> String {
    if source.spec.get("disabled") == Some(&Value::Bool(true)) {
        return "disabled".to_owned();
    }
    let words = [(source.paused, "paused"), (source.open, "open"), (source.silent, "silent")];
    let mut words: Vec<_> = words.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word.to_owned()).collect();
    words.extend(source.program.as_ref().map(|program| program.state.to_string()));
    if words.is_empty() { "ready".to_owned() } else { words.join(", ") }
}

fn or_empty(problem: Option<&String>) -> String {
    problem.cloned().unwrap_or_default()
}

/// A declaration of one provider and functions.
fn of_flags(args: &SourceSpecArgs) -> Map<String, Value> {
    let mut declaration = Map::new();
    declaration.extend(args.preset.clone().map(|preset| ("preset".to_owned(), Value::String(preset))));
    declaration.extend(args.url.clone().map(|url| ("url".to_owned(), Value::String(url))));
    let routes = args.to.iter().map(|to| json!({ "to": to })).collect();
    declaration.insert("routes".to_owned(), Value::Array(routes));
    declaration
}

fn read_declaration(file: &Path) -> Result<Map<String, Value>> {
    let bad = |reason: String| Failure::setting(format!("--file {}: {reason}", file.display()));
    let text = read_text(file).map_err(|error| bad(error.to_string()))?;
    match serde_saphyr::from_str(&text).map_err(|error| bad(error.to_string()))? {
        Value::Object(declaration) => Ok(declaration),
        _ => Err(bad("it has no keys of a source, such as preset and routes".to_owned())),
    }
}

/// The text of a file; `-` is STDIN.
fn read_text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => io::stdin().take(MAX_FILE).read_to_string(&mut text)?,
        _ => fs::File::open(file)?.take(MAX_FILE).read_to_string(&mut text)?,
    };
    if read as u64 == MAX_FILE {
        return Err(io::Error::other(anyhow!("it is too long")));
    }
    Ok(text)
}
