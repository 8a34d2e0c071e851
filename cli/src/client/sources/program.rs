//! The programs of sources: how one is doing, and its log.

use skep_protocol::{LogLine, SourceProgram};

use super::args::SourceLogsArgs;
use crate::{
    client::{api::Api, print_json, table},
    failure::Result,
    output,
};

pub(super) async fn logs(args: SourceLogsArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let tail = [("tail", args.tail)];
    let lines: Vec<LogLine> = api.json(api.get(&["sources", &args.name, "logs"]).query(&tail)).await?;
    if api.as_json {
        return print_json(&lines);
    }
    for line in &lines {
        output::line(format_args!("{} {}", table::at(line.timestamp), output::harmless(&line.text)));
    }
    Ok(())
}

pub(super) fn print(program: &SourceProgram) {
    output::line("\nProgram");
    table::print_facts([
        ("state", format!("{} since {}", program.state, table::at(program.since))),
        ("pid", program.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        ("restarts", program.restarts.to_string()),
        ("events", program.events.to_string()),
        ("refused", program.refused.to_string()),
        ("last error", program.last_error.clone().unwrap_or_default()),
        ("last refused", program.last_refused.clone().unwrap_or_default()),
    ]);
}
