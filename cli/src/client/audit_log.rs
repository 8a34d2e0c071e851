//! `skep audit-log`: who changed what.

use std::time::Duration;

use skep_protocol::AuditLogEntry;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;

use super::{api::Api, args::AuditLogArgs, print_json, table};
use crate::{
    failure::{Failure, Result},
    output,
};

/// The most entries in one answer.
const MAX_OF_A_PAGE: usize = 1000;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Entries may be stored in another order than that of their times.
const LOOK_BACK: Duration = Duration::from_secs(10);
const HEADINGS: [&str; 7] = ["TIME", "ACTOR", "ROLE", "ADDRESS", "ACTION", "OBJECT", "RESULT"];
/// The columns of entries that come one by one.
const WIDTHS: [usize; 6] = [20, 16, 6, 15, 16, 20];

type Query = Vec<(&'static str, String)>;

pub(crate) async fn run(args: AuditLogArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let AuditLogArgs { actor, action, object, .. } = args;
    let filter = query([("actor", actor), ("action", action), ("object", object)]);
    let times = query([("since", args.since.clone()), ("until", args.until)]);
    let (mut entries, is_cut) = fetch(&api, &[filter.clone(), times].concat(), args.limit as usize).await?;
    if args.follow {
        entries.reverse();
        return follow(&api, &filter, entries, args.since).await;
    }
    if api.as_json {
        return print_json(&entries);
    }
    if entries.is_empty() {
        output::line("No entries.");
        return Ok(());
    }
    table::print(HEADINGS, entries.into_iter().map(row));
    if is_cut {
        output::line("There may be more: raise --limit, or narrow the list down");
    }
    Ok(())
}

fn query<const N: usize>(given: [(&'static str, Option<String>); N]) -> Query {
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// Entries, the last one first, and whether there may be more.
async fn fetch(api: &Api, filter: &Query, limit: usize) -> Result<(Vec<AuditLogEntry>, bool)> {
    let (mut entries, mut next) = (Vec::new(), None::<String>);
    loop {
        let mut query = filter.clone();
        query.push(("limit", (limit - entries.len()).min(MAX_OF_A_PAGE).to_string()));
        query.extend(next.map(|next| ("after", next)));
        let response = api.send(api.get(&["audit-log"]).query(&query)).await?;
        next = response.headers().get("x-skep-next").and_then(|next| next.to_str().ok()).map(str::to_owned);
        entries.extend(api.read::<Vec<AuditLogEntry>>(response).await?);
        if next.is_none() || entries.len() >= limit {
            return Ok((entries, next.is_some()));
        }
    }
}

/// Prints entries as they come, until the command is ended. Before the first one it looks from the time that was given on.
async fn follow(api: &Api, filter: &Query, mut entries: Vec<AuditLogEntry>, mut since: Option<String>) -> Result<()> {
    if !api.as_json {
        output::line(columns(HEADINGS.map(str::to_owned)));
    }
    let mut last = 0;
    loop {
        for entry in entries.drain(..) {
            last = last.max(entry.sequence.unwrap_or_default());
            since = Some((entry.at - LOOK_BACK).format(&Rfc3339).map_err(Failure::internal)?);
            if api.as_json {
                output::line(serde_json::to_string(&entry).map_err(Failure::internal)?);
            } else {
                output::line(columns(row(entry)));
            }
        }
        sleep(LOOK_INTERVAL).await;
        let from = query([("since", since.clone())]);
        let (mut found, _) = fetch(api, &[filter.clone(), from].concat(), usize::MAX).await?;
        found.retain(|entry| entry.sequence.unwrap_or_default() > last);
        found.reverse();
        entries = found;
    }
}

fn row(entry: AuditLogEntry) -> [String; 7] {
    let details = entry.details.map(|details| format!("({details})"));
    let object = [entry.object, details].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let count = entry.count.map(|count| format!("×{count}"));
    // A change that no request asked for has no status.
    let done = (entry.status.is_none() && entry.error.is_none()).then(|| "done".to_owned());
    let result = [entry.status.map(|status| status.to_string()), entry.error, done, count];
    let result = result.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let (role, address) = (table::or_empty(entry.role), table::or_empty(entry.address));
    [table::at(entry.at), entry.actor, role, address, entry.action, object, result]
}

fn columns(cells: [String; 7]) -> String {
    let widths = WIDTHS.into_iter().chain([0]);
    let cells = cells.into_iter().zip(widths).map(|(cell, width)| format!("{:width$}", table::one_line(&cell)));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use skep_protocol::AuditAction;
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn a_row_says_all_of_an_entry() {
        let entry = AuditLogEntry::new(OffsetDateTime::UNIX_EPOCH, "token ci", AuditAction::Deploy).about("upper.dev");
        let entry = AuditLogEntry { status: Some(403), error: Some("forbidden".to_owned()), count: Some(7), ..entry };
        let row = row(entry);
        assert_eq!((row[5].as_str(), row[6].as_str()), ("upper.dev", "403 forbidden ×7"));
        let line = columns(row);
        assert!(line.starts_with("1970-01-01T00:00:00Z  token ci  "), "{line}");
        assert!(line.ends_with("403 forbidden ×7"), "{line}");
    }
}
