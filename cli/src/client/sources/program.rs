//! The programs of sources: how one is doing, and its log.

use std::time::Duration;

use skep_protocol::{LogLine, SourceProgram};
use tokio::time::sleep;

use super::args::SourceLogsArgs;
use crate::{
    client::{api::Api, print_json, table},
    failure::{Failure, Result},
    output,
};

/// How often it is looked for further lines.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// All that the controller keeps.
const ALL: usize = 1000;

pub(super) async fn logs(args: SourceLogsArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    if !args.follow {
        let lines = fetch(&api, &args.name, args.tail).await?;
        return if api.as_json { print_json(&lines) } else { print_lines(&lines, &api) };
    }
    let lines = fetch(&api, &args.name, ALL).await?;
    let before = lines.len().saturating_sub(args.tail);
    print_lines(lines.get(before..).unwrap_or_default(), &api)?;
    let mut last = lines.into_iter().next_back();
    loop {
        sleep(LOOK_INTERVAL).await;
        let lines = fetch(&api, &args.name, ALL).await?;
        print_lines(behind(&lines, last.as_ref()), &api)?;
        last = lines.into_iter().next_back().or(last);
    }
}

async fn fetch(api: &Api, source: &str, tail: usize) -> Result<Vec<LogLine>> {
    api.json(api.get(&["sources", source, "logs"]).query(&[("tail", tail)])).await
}

/// The lines that came after the last one. After a restart of the controller that one is gone.
fn behind<'l>(lines: &'l [LogLine], last: Option<&LogLine>) -> &'l [LogLine] {
    let Some(last) = last else { return lines };
    let known = lines.iter().rposition(|line| line.timestamp == last.timestamp && line.text == last.text);
    let first = match known {
        Some(known) => known + 1,
        None => lines.partition_point(|line| line.timestamp <= last.timestamp),
    };
    lines.get(first..).unwrap_or_default()
}

/// As JSON, each is an object on a line.
fn print_lines(lines: &[LogLine], api: &Api) -> Result<()> {
    for line in lines {
        if api.as_json {
            output::line(serde_json::to_string(line).map_err(Failure::internal)?);
        } else {
            output::line(format_args!("{} {}", table::at(line.timestamp), output::harmless(&line.text)));
        }
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

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn lines(each: &[(i64, &str)]) -> Vec<LogLine> {
        let line = |(second, text): &(i64, &str)| LogLine {
            name: "rows".to_owned(),
            namespace: String::new(),
            instance: String::new(),
            timestamp: OffsetDateTime::from_unix_timestamp(*second).unwrap(),
            text: (*text).to_owned(),
            call_id: None,
            trace_id: None,
            stream: None,
        };
        each.iter().map(line).collect()
    }

    #[test]
    fn what_came_after_the_last_line_is_shown_once() {
        let kept = lines(&[(1, "a"), (2, "b"), (2, "c"), (2, "d"), (3, "a")]);
        let texts = |last: &[(i64, &str)]| {
            let last = lines(last);
            behind(&kept, last.first()).iter().map(|line| line.text.clone()).collect::<String>()
        };
        assert_eq!([texts(&[]), texts(&[(2, "c")]), texts(&[(3, "a")])], ["abcda", "da", ""]);
        assert_eq!([texts(&[(0, "gone")]), texts(&[(2, "gone")]), texts(&[(9, "gone")])], ["abcda", "a", ""]);
    }
}
