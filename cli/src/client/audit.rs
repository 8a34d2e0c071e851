//! `skep audit`: counts all calls, and names those that do not add up.

use std::{
    io::{IsTerminal, Write, stderr},
    time::Duration,
};

use anyhow::anyhow;
use skep_protocol::{AuditKind, AuditLine, AuditProgress, AuditReport, SourceLedger};

use super::{api::Api, args::AuditArgs, lines::Lines, print_json, table};
use crate::{
    failure::{Failure, Result},
    output,
};

/// Many calls take long.
const MAX_AUDIT: Duration = Duration::from_secs(3600);
const MAX_LINE: usize = 64 * 1024 * 1024;

pub(crate) async fn run(args: AuditArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let report = report(&api).await?;
    if api.as_json {
        print_json(&report)?;
    } else {
        print(&report);
    }
    match report.findings.len() as u64 + report.more_findings {
        0 => Ok(()),
        1 => Err(Failure::internal(anyhow!("one call does not add up"))),
        count => Err(Failure::internal(anyhow!("{count} calls do not add up"))),
    }
}

async fn report(api: &Api) -> Result<AuditReport> {
    let response = api.send(api.get(&["audit"]).timeout(MAX_AUDIT)).await?;
    let mut lines = Lines::of(response, MAX_LINE);
    let mut is_shown = false;
    let ended = loop {
        let Some(line) = lines.next(api).await? else { break Err(anyhow!("the gateway has broken the audit off")) };
        match serde_json::from_slice(&line).map_err(|error| api.stranger(&error.to_string()))? {
            AuditLine::Progress(progress) => is_shown |= show(progress),
            AuditLine::Report(report) => break Ok(report),
            AuditLine::Error(error) => break Err(anyhow!("the audit was broken off: {}", output::harmless(&error))),
        }
    };
    if is_shown {
        // What follows begins on a line of its own.
        let _ = writeln!(stderr());
    }
    ended.map_err(Failure::internal)
}

/// Somebody at a terminal sees that it goes on.
fn show(progress: AuditProgress) -> bool {
    let is_watched = stderr().is_terminal() && progress.looked > 0;
    if is_watched {
        let AuditProgress { looked, of } = progress;
        let _ = write!(stderr(), "\rlooked at {looked} of about {of} messages");
    }
    is_watched
}

fn print_sources(report: &AuditReport) {
    if report.sources.is_empty() {
        return;
    }
    output::line("");
    let rows = report.sources.iter().map(|ledger| {
        let SourceLedger { source, events, routed, ignored, paused, waiting, calls, missing } = ledger;
        let counts = [events, routed, ignored, paused, waiting, calls, missing].map(u64::to_string);
        let [events, routed, ignored, paused, waiting, calls, missing] = counts;
        [source.to_string(), events, routed, ignored, paused, waiting, calls, missing]
    });
    table::print(["SOURCE", "EVENTS", "ROUTED", "IGNORED", "PAUSED", "WAITING", "CALLS", "MISSING"], rows);
}

fn print(report: &AuditReport) {
    if report.functions.is_empty() {
        output::line("No calls.");
    } else {
        let rows = report.functions.iter().map(|ledger| {
            let [accepted, succeeded, failed, dead, cancelled, expired, in_flight, missing] =
                ledger.counts().map(|(_, count)| count.to_string());
            [ledger.function.clone(), accepted, succeeded, failed, dead, cancelled, expired, in_flight, missing]
        });
        table::print(
            ["FUNCTION", "ACCEPTED", "SUCCEEDED", "FAILED", "DEAD", "CANCELLED", "EXPIRED", "IN FLIGHT", "MISSING"],
            rows,
        );
    }
    print_sources(report);
    if report.adds_up() {
        return output::line("\nAll adds up.");
    }
    output::line("\nWhat does not add up");
    let rows = report.findings.iter().map(|finding| {
        let (at, what) = (table::at(finding.at), finding.what());
        [finding.call_id.to_string(), finding.function.clone(), at, what]
    });
    table::print(["CALL", "FUNCTION", "AT", "WHAT IS WRONG"], rows);
    if report.more_findings > 0 {
        output::line(format_args!("and {} more", report.more_findings));
    }
    output::line("\nWhat to do");
    let mut kinds: Vec<AuditKind> = Vec::new();
    for kind in report.findings.iter().map(|finding| finding.kind) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
            output::line(format_args!("{}: {}", kind.what(), kind.advice()));
        }
    }
}
