//! `skep dead`: lists, shows, edits, redrives and deletes dead letters.

use std::fs;

use anyhow::anyhow;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use skep_protocol::{DeadChanges, DeadDone, DeadKind, DeadLetterContent, DeadLetterInfo, DeadRequest};

use super::{
    api::Api,
    args::{
        DeadChoiceArgs, DeadCommand, DeadEditArgs, DeadFilterArgs, DeadListArgs, DeadRedriveArgs, DeadRemoveArgs,
        DeadShowArgs,
    },
    print_json, table,
};
use crate::{
    failure::{Failure, Result},
    output,
};

type Query = Vec<(&'static str, String)>;

pub(crate) async fn run(command: DeadCommand) -> Result<()> {
    match command {
        DeadCommand::List(args) => list(args).await,
        DeadCommand::Show(args) => show(args).await,
        DeadCommand::Redrive(args) => redrive(args).await,
        DeadCommand::Edit(args) => edit(args).await,
        DeadCommand::Remove(args) => remove(args).await,
    }
}

async fn list(args: DeadListArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let mut query = query_of(&args.filter);
    query.extend(args.after.map(|after| ("after", after.to_string())));
    let letters: Vec<DeadLetterInfo> = api.json(api.get(&["dead"]).query(&query)).await?;
    if api.as_json {
        return print_json(&letters);
    }
    if letters.is_empty() {
        output::line("No dead letters.");
        return Ok(());
    }
    let last = letters.last().map(|letter| letter.sequence).filter(|_| letters.len() >= args.filter.limit as usize);
    let rows = letters.into_iter().map(|letter| {
        let DeadLetterInfo { call_id, function, kind, reason, attempts, dead_at, .. } = letter;
        [call_id.to_string(), function, kind_name(kind).to_owned(), attempts.to_string(), table::at(dead_at), reason]
    });
    table::print(["CALL", "FUNCTION", "KIND", "ATTEMPTS", "DEAD SINCE", "REASON"], rows);
    if let Some(last) = last {
        output::line(format_args!("There may be more: --after {last}"));
    }
    Ok(())
}

async fn show(args: DeadShowArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let asked = api.get(&["dead", &args.id]).query(&kind(args.callback)).query(&[("reveal", args.reveal)]);
    let letter: DeadLetterContent = api.json(asked).await?;
    if api.as_json {
        return print_json(&letter);
    }
    let DeadLetterContent { info, request, body, large_body, text, last_answer } = letter;
    let request_of = |part: fn(&DeadRequest) -> String| request.as_ref().map(part).unwrap_or_default();
    table::print_facts([
        ("call", info.call_id.to_string()),
        ("function", info.function),
        ("kind", kind_name(info.kind).to_owned()),
        ("reason", info.reason),
        ("attempts", info.attempts.to_string()),
        ("last status", table::or_empty(info.last_status)),
        ("dead since", table::at(info.dead_at)),
        ("path", request_of(|request| request.path.clone())),
        ("query", request_of(|request| request.query.clone().unwrap_or_default())),
        ("callback", request_of(|request| request.callback_url.clone().unwrap_or_default())),
    ]);
    if let Some(request) = request {
        for end in request.history.iter().rev().skip(1) {
            output::line(format_args!("before    {}  {}", table::at(end.dead_at), output::harmless(&end.reason)));
        }
        output::line("\nHeaders");
        table::print_facts(request.headers);
    }
    let bytes = large_body.unwrap_or_else(|| STANDARD.decode(&body).map_or(0, |bytes| bytes.len() as u64));
    output::line(format_args!("\nBody, {bytes} bytes"));
    let placeholder =
        if large_body.is_some() { "(too large to be shown)" } else { "(no text; --json has it in base64)" };
    output::line(text.map_or_else(|| placeholder.to_owned(), |text| output::harmless(&text)));
    if let Some(answer) = last_answer {
        output::line(format_args!("\nLast answer\n{}", output::harmless(&answer)));
    }
    Ok(())
}

async fn redrive(args: DeadRedriveArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    if args.which.ids.is_empty() {
        let mut query = query_of(&args.which.filter);
        query.extend(args.rate.map(|rate| ("rate", rate.to_string())));
        let done = api.json(api.request(Method::POST, &["dead-redrive"]).query(&query)).await?;
        return report(&api, &done, "on their way");
    }
    each(&api, &args.which, Method::POST, &["redrive"], "is on its way").await
}

async fn edit(args: DeadEditArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let body = args.body_file.map(|file| {
        let body = fs::read(&file);
        body.map_err(|error| Failure::setting(format!("--body-file: {}: {error}", file.display())))
    });
    let removed = args.remove_header.into_iter().map(|name| (name, None));
    let changes = DeadChanges {
        text: args.text,
        body: body.transpose()?.map(|body| STANDARD.encode(body)),
        path: args.path,
        query: args.query,
        headers: args.header.into_iter().map(|(name, value)| (name, Some(value))).chain(removed).collect(),
    };
    api.send(api.request(Method::POST, &["dead", &args.id, "redrive"]).json(&changes)).await?;
    output::line(format_args!("{} is on its way", args.id));
    Ok(())
}

async fn remove(args: DeadRemoveArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    if args.which.ids.is_empty() {
        let query = query_of(&args.which.filter);
        let done = api.json(api.request(Method::DELETE, &["dead"]).query(&query)).await?;
        return report(&api, &done, "removed");
    }
    each(&api, &args.which, Method::DELETE, &[], "is removed").await
}

/// Does the same with each id, and says what became of each; goes on after one that is refused.
async fn each(api: &Api, which: &DeadChoiceArgs, method: Method, then: &[&str], done: &str) -> Result<()> {
    let mut failures = Vec::new();
    for id in &which.ids {
        let path = [&["dead", id.as_str()], then].concat();
        match api.send(api.request(method.clone(), &path).query(&kind(which.callback))).await {
            Ok(_) => output::line(format_args!("{id} {done}")),
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}

fn report(api: &Api, done: &DeadDone, what: &str) -> Result<()> {
    if api.as_json {
        print_json(done)?;
    } else {
        output::line(format_args!("{} {what}", done.done));
        for refused in &done.refused {
            output::line(format_args!("refused: {}: {}", refused.call_id, output::harmless(&refused.reason)));
        }
    }
    if done.refused.is_empty() {
        return Ok(());
    }
    Err(Failure::internal(anyhow!("{} dead letters were refused and stay", done.refused.len())))
}

fn query_of(filter: &DeadFilterArgs) -> Query {
    let DeadFilterArgs { function, reason, kind, limit } = filter;
    let given = [("function", function), ("reason", reason), ("kind", kind)];
    let mut query: Query =
        given.into_iter().filter_map(|(name, value)| value.clone().map(|value| (name, value))).collect();
    query.push(("limit", limit.to_string()));
    query
}

fn kind(callback: bool) -> [(&'static str, &'static str); 1] {
    [("kind", kind_name(if callback { DeadKind::Callback } else { DeadKind::Call }))]
}

fn kind_name(kind: DeadKind) -> &'static str {
    match kind {
        DeadKind::Call => "call",
        DeadKind::Callback => "callback",
    }
}
