//! `skep calls`: what became of queued calls.

use std::io::Write;

use anyhow::anyhow;
use reqwest::{Method, StatusCode};
use skep_protocol::{CallDetails, CallEvent, CallStatus};

use super::{
    api::Api,
    args::{CallIdsArgs, CallListArgs, CallShowArgs, CallTraceArgs, CallsCommand},
    events, print_json, table,
};
use crate::{
    failure::{Failure, Result},
    output,
};

/// The most calls in one answer.
const MAX_OF_A_PAGE: usize = 1000;

pub(crate) async fn run(command: CallsCommand) -> Result<()> {
    match command {
        CallsCommand::List(args) => list(args).await,
        CallsCommand::Show(args) => show(args).await,
        CallsCommand::Result(args) => result(args).await,
        CallsCommand::Cancel(args) => cancel(args).await,
        CallsCommand::Events(args) => events::run(args).await,
    }
}

async fn list(args: CallListArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let given = [
        ("function", args.function),
        ("state", args.state),
        ("since", args.since),
        ("until", args.until),
        ("minDuration", args.min_duration),
    ];
    let filter: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let limit = args.limit as usize;
    let (mut calls, mut next) = (Vec::<CallStatus>::new(), None::<String>);
    // A page may hold fewer than were asked for.
    loop {
        let mut query = filter.clone();
        query.push(("limit", (limit - calls.len()).min(MAX_OF_A_PAGE).to_string()));
        query.extend(next.map(|next| ("after", next)));
        let response = api.send(api.get(&["calls"]).query(&query)).await?;
        next = response.headers().get("x-skep-next").and_then(|next| next.to_str().ok()).map(str::to_owned);
        calls.extend(api.read::<Vec<CallStatus>>(response).await?);
        if next.is_none() || calls.len() >= limit {
            break;
        }
    }
    if api.as_json {
        return print_json(&calls);
    }
    if calls.is_empty() {
        output::line("No calls.");
        return Ok(());
    }
    let rows = calls.into_iter().map(|call| {
        let reason = call.next_attempt_at.map(|at| format!("due {}", table::at(at))).or(call.reason);
        let accepted = table::at(call.accepted_at);
        let (state, status) = (call.state.as_str().to_owned(), table::or_empty(call.status));
        [
            call.call_id.to_string(),
            call.function,
            state,
            status,
            call.attempts.to_string(),
            accepted,
            table::or_empty(reason),
        ]
    });
    table::print(["CALL", "FUNCTION", "STATE", "STATUS", "ATTEMPTS", "ACCEPTED", "REASON"], rows);
    if next.is_some() {
        output::line("There may be more: raise --limit, or narrow the list down");
    }
    Ok(())
}

async fn show(CallTraceArgs { call: args, link }: CallTraceArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let request = api.get(&["calls", &args.id]).query(&wait(args.wait));
    let details: CallDetails = api.json(request).await?;
    if api.as_json {
        return print_json(&details);
    }
    let CallDetails { status, timeline } = details;
    table::print_facts([
        ("call", status.call_id.to_string()),
        ("function", status.function),
        ("state", status.state.as_str().to_owned()),
        ("status", table::or_empty(status.status)),
        ("attempts", status.attempts.to_string()),
        ("due", table::or_empty(status.next_attempt_at.map(table::at))),
        ("callback", table::or_empty(status.callback_url)),
        ("trace", table::or_empty(status.trace.map(|trace| link.shown(&trace.trace_id.to_string())))),
    ]);
    output::line("");
    let rows = timeline.iter().map(|event| {
        [table::at(event.at), event.event.as_str().to_owned(), table::or_empty(event.attempt), more(event)]
    });
    table::print(["AT", "STEP", "ATTEMPT", ""], rows);
    Ok(())
}

async fn result(args: CallShowArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    print_result(&api, &args.id, args.wait).await
}

/// Prints a function's answer to a call; a call that did not succeed is a failure.
pub(super) async fn print_result(api: &Api, id: &str, until: Option<String>) -> Result<()> {
    let request = api.get(&["calls", id, "result"]).query(&wait(until));
    let response = api.send(request).await?;
    if response.status() == StatusCode::ACCEPTED {
        let status: CallStatus = response.json().await.map_err(|error| api.unreachable(&error))?;
        return Err(Failure::internal(anyhow!("call {id} has not ended: it is {}", status.state.as_str())));
    }
    let function_status = response.headers().get("x-function-status").and_then(|status| status.to_str().ok());
    let function_status: u16 = function_status.and_then(|status| status.parse().ok()).unwrap_or_default();
    let body = response.bytes().await.map_err(|error| api.unreachable(&error))?;
    std::io::stdout().write_all(&body).map_err(Failure::internal)?;
    if function_status < 400 {
        return Ok(());
    }
    Err(Failure::internal(anyhow!("the function answered {function_status}")))
}

async fn cancel(args: CallIdsArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let mut failures = Vec::new();
    for id in &args.ids {
        match api.send(api.request(Method::DELETE, &["calls", id])).await {
            Ok(_) => output::line(format_args!("{id} is cancelled")),
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}

/// What there is to say of a step beside its name.
pub(crate) fn more(event: &CallEvent) -> String {
    let parts = [
        event.replica.as_ref().map(|replica| format!("on {replica}")),
        event.status.map(|status| format!("answered {status}")),
        event.duration_seconds.map(|seconds| format!("after {seconds:.3} s")),
        event.reason.clone(),
        event.until.map(|until| format!("waits until {}", table::at(until))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn wait(wait: Option<String>) -> Vec<(&'static str, String)> {
    wait.into_iter().map(|wait| ("wait", wait)).collect()
}
