//! `skep sources held` and `release`: requests that could not be verified.

use anyhow::anyhow;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use skep_protocol::{EventId, HeldInfo};

use super::event_args::{HeldArgs, ReleaseArgs};
use crate::{
    client::{api::Api, print_json, table},
    failure::{Failure, Result},
    output,
};

pub(super) async fn list(args: HeldArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let mut query = vec![("why", args.why.to_string())];
    query.extend(args.limit.map(|limit| ("limit", limit.to_string())));
    let held: Vec<HeldInfo> = api.json(api.get(&["sources", &args.name, "held"]).query(&query)).await?;
    if api.as_json {
        return print_json(&held);
    }
    if held.is_empty() {
        output::line("Nothing is held, and nothing was refused.");
        return Ok(());
    }
    if args.why {
        for held in held {
            output::line(format_args!("{}, {}: {}", held.id, table::at(held.received_at), held.reason));
            held.why.iter().for_each(|why| output::line(format_args!("  {}", output::harmless(why))));
        }
        return Ok(());
    }
    let rows = held.into_iter().map(|held| {
        let bytes = if held.whole { held.bytes.to_string() } else { format!("{}, cut", held.bytes) };
        [table::at(held.received_at), held.id, table::or_empty(held.remote), bytes, held.reason]
    });
    table::print(["TIME", "ID", "FROM", "BYTES", "REASON"], rows);
    Ok(())
}

#[derive(Default, Serialize, Deserialize)]
struct Outcomes {
    released: Vec<Released>,
    refused: Vec<Refused>,
    #[serde(default, skip_serializing)]
    next: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Released {
    id: String,
    events: Vec<EventId>,
    duplicate: bool,
}

#[derive(Serialize, Deserialize)]
struct Refused {
    id: String,
    reason: String,
}

pub(super) async fn release(args: ReleaseArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let mut done = Outcomes::default();
    loop {
        let asked = json!({ "ids": args.ids, "all": args.all, "after": done.next, "force": args.force });
        let request = api.request(Method::POST, &["sources", &args.name, "release"]).json(&asked);
        let Outcomes { released, refused, next } = api.json(request).await?;
        done.released.extend(released);
        done.refused.extend(refused);
        done.next = next;
        if done.next.is_none() {
            break;
        }
    }
    if api.as_json {
        print_json(&done)?;
    } else if done.released.is_empty() && done.refused.is_empty() {
        output::line("Nothing is held.");
    } else {
        for Released { id, events, duplicate } in &done.released {
            let events: Vec<_> = events.iter().map(EventId::as_str).collect();
            let known = if *duplicate { ", which was there before" } else { "" };
            output::line(format_args!("{id} is event {}{known}", events.join(", ")));
        }
        for Refused { id, reason } in &done.refused {
            output::line(format_args!("{id} is not let in: {}", output::harmless(reason)));
        }
    }
    match done.refused.len() {
        0 => Ok(()),
        1 => Err(Failure::internal(anyhow!("1 request is not let in"))),
        count => Err(Failure::internal(anyhow!("{count} requests are not let in"))),
    }
}
