//! What can be asked of a schedule.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use skep_protocol::control::Fired;

use super::schedule_args::{BackfillArgs, FireArgs, NextArgs};
use crate::{
    client::{api::Api, print_json, table},
    failure::Result,
    output,
};

#[derive(Serialize, Deserialize)]
struct Next {
    next: Vec<String>,
}

pub(super) async fn next(args: NextArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let request = api.get(&["sources", &args.name, "next"]).query(&[("n", args.number)]);
    let next: Next = api.json(request).await?;
    if api.as_json {
        return print_json(&next);
    }
    if next.next.is_empty() {
        output::line("It has no more times.");
    }
    for time in &next.next {
        output::line(output::harmless(time));
    }
    Ok(())
}

pub(super) async fn fire(args: FireArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let overlap: Vec<_> = args.overlap.overlap.iter().map(|overlap| ("overlap", overlap)).collect();
    let request = api.request(Method::POST, &["sources", &args.name, "fire"]).query(&overlap);
    let fired = api.json(request).await?;
    show(&api, &fired)
}

pub(super) async fn backfill(args: BackfillArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let asked = json!({ "from": args.from, "to": args.to, "overlap": args.overlap.overlap, "id": args.id });
    let request = api.request(Method::POST, &["sources", &args.name, "backfill"]).json(&asked);
    let fired = api.json(request).await?;
    show(&api, &fired)
}

fn show(api: &Api, fired: &Fired) -> Result<()> {
    if api.as_json {
        return print_json(fired);
    }
    if fired.occurrences.is_empty() {
        output::line("The schedule has no times there.");
        return Ok(());
    }
    let rows = fired.occurrences.iter().flat_map(|occurrence| {
        occurrence.calls.iter().map(|call| {
            let (route, function) = (call.route.to_string(), call.function.to_string());
            [occurrence.planned_at.clone(), route, function, call.call_id.to_string()]
        })
    });
    table::print(["TIME", "ROUTE", "FUNCTION", "CALL"], rows);
    Ok(())
}
