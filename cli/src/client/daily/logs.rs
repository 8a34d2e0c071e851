//! `skep logs`: what functions write, of one or several of them.

use std::time::Duration;

use futures_util::future::try_join_all;
use skep_protocol::{CallDetails, LogLine, parse_duration};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::sleep;

use super::{args::LogsArgs, colours::Colours};
use crate::{
    client::{api::Api, lines::Lines},
    failure::{Failure, Result},
    output,
};

/// The gateway ends no stream of a log; one that breaks off is taken up again.
const MAX_STREAM: Duration = Duration::from_secs(30 * 24 * 3600);
const AGAIN_DELAY: Duration = Duration::from_secs(1);
const MAX_LINE: usize = 1024 * 1024;

pub(super) async fn run(mut args: LogsArgs) -> Result<()> {
    let since = args.since.as_deref().map(since).transpose()?;
    let printer = Printer {
        grep: args.grep,
        call: args.call.clone(),
        stream: args.stream,
        timestamps: args.timestamps,
        as_json: args.client.json,
        colours: Colours::of_stdout(),
    };
    let api = Api::new(args.client)?;
    if let (true, Some(id)) = (args.names.is_empty(), &args.call) {
        let details: CallDetails = api.json(api.get(&["calls", id])).await?;
        args.names.push(details.status.function);
    }
    let query = Query { since, tail: args.tail, instance: args.instance };
    if args.follow {
        let each = args.names.iter().map(|name| follow(&api, name, query.clone(), &printer));
        return try_join_all(each).await.map(|_| ());
    }
    let mut lines = Vec::new();
    for name in &args.names {
        let mut stream = query.open(&api, name, false).await?;
        while let Some(line) = next(&mut stream, &api).await? {
            lines.push(line);
        }
    }
    // The lines of one function keep their order.
    lines.sort_by_key(|line| line.timestamp);
    lines.iter().for_each(|line| printer.print(line));
    Ok(())
}

/// Which lines of a function are asked for.
#[derive(Clone)]
struct Query {
    since: Option<OffsetDateTime>,
    tail: Option<u32>,
    instance: Option<String>,
}

impl Query {
    async fn open(&self, api: &Api, name: &str, follow: bool) -> Result<Lines> {
        let mut query = vec![("name", name.to_owned()), ("follow", follow.to_string())];
        if let Some(since) = self.since {
            query.push(("since", since.format(&Rfc3339).map_err(Failure::internal)?));
        }
        query.extend(self.tail.map(|tail| ("tail", tail.to_string())));
        query.extend(self.instance.clone().map(|instance| ("instance", instance)));
        let response = api.send(api.get(&["logs"]).query(&query).timeout(MAX_STREAM)).await?;
        Ok(Lines::of(response, MAX_LINE))
    }
}

/// Prints lines as they come, until the function is gone or cannot be asked for.
async fn follow(api: &Api, name: &str, mut query: Query, printer: &Printer) -> Result<()> {
    let mut stream = query.open(api, name, true).await?;
    let mut last = query.since.unwrap_or_else(OffsetDateTime::now_utc);
    loop {
        // A stream that breaks off ends like one that the gateway ends.
        while let Ok(Some(line)) = next(&mut stream, api).await {
            printer.print(&line);
            last = last.max(line.timestamp);
        }
        query.tail = None;
        query.since = Some(last + time::Duration::nanoseconds(1));
        sleep(AGAIN_DELAY).await;
        stream = query.open(api, name, true).await?;
    }
}

/// Shows the end of a function's log, if there is one.
pub(super) async fn show_end(api: &Api, name: &str, lines: u32) {
    let query = Query { since: None, tail: Some(lines), instance: None };
    let Ok(mut stream) = query.open(api, name, false).await else { return };
    let printer = Printer {
        grep: None,
        call: None,
        stream: None,
        timestamps: false,
        as_json: false,
        colours: Colours::of_stdout(),
    };
    while let Ok(Some(line)) = next(&mut stream, api).await {
        printer.print(&line);
    }
}

/// The end of a function's log, as it is shown.
pub(crate) async fn last_lines(api: &Api, name: &str, lines: u32) -> Result<Vec<String>> {
    let query = Query { since: None, tail: Some(lines), instance: None };
    let mut stream = query.open(api, name, false).await?;
    let printer =
        Printer { grep: None, call: None, stream: None, timestamps: false, as_json: false, colours: Colours::Off };
    let mut shown = Vec::new();
    while let Some(line) = next(&mut stream, api).await? {
        shown.push(printer.shown(&line));
    }
    Ok(shown)
}

async fn next(stream: &mut Lines, api: &Api) -> Result<Option<LogLine>> {
    let Some(line) = stream.next(api).await? else { return Ok(None) };
    serde_json::from_slice(&line).map(Some).map_err(|error| api.stranger(&error.to_string()))
}

/// How lines are shown, and which.
struct Printer {
    grep: Option<String>,
    /// The call whose lines are shown.
    call: Option<String>,
    stream: Option<String>,
    timestamps: bool,
    as_json: bool,
    colours: Colours,
}

impl Printer {
    fn print(&self, line: &LogLine) {
        let is_of_call = self.call.is_none() || self.call == line.call_id;
        let is_of_stream = self.stream.is_none() || self.stream == line.stream;
        if is_of_call && is_of_stream && self.grep.as_deref().is_none_or(|text| line.text.contains(text)) {
            output::line(self.shown(line));
        }
    }

    fn shown(&self, line: &LogLine) -> String {
        if self.as_json {
            return serde_json::to_string(line).unwrap_or_default();
        }
        let instance = instance(line);
        let prefix = self.colours.paint(&output::harmless(&instance), &instance);
        let time = line.timestamp.format(&Rfc3339).unwrap_or_default();
        let time = if self.timestamps { format!("{time} ") } else { String::new() };
        format!("{time}{prefix} | {}", output::harmless(&line.text))
    }
}

/// A replica, named so that its function can be seen.
fn instance(line: &LogLine) -> String {
    if line.instance.starts_with(&line.name) {
        return line.instance.clone();
    }
    format!("{}/{}", line.name, line.instance)
}

/// A time, or how long ago.
fn since(text: &str) -> Result<OffsetDateTime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time);
    }
    let ago = parse_duration(text).ok().and_then(|ago| OffsetDateTime::now_utc().checked_sub(ago.try_into().ok()?));
    ago.ok_or_else(|| {
        let reason = "is neither a time (2026-01-31T08:00:00Z) nor how long ago (15m)";
        Failure::setting(format!("--since {text:?} {reason}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, instance: &str, text: &str) -> LogLine {
        LogLine {
            name: name.to_owned(),
            namespace: String::new(),
            instance: instance.to_owned(),
            timestamp: OffsetDateTime::UNIX_EPOCH,
            call_id: None,
            trace_id: None,
            stream: None,
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_line_says_whose_it_is_and_cannot_speak_to_the_terminal() {
        let mut printer =
            Printer { grep: None, call: None, stream: None, timestamps: false, as_json: false, colours: Colours::Off };
        assert_eq!(printer.shown(&line("cat", "cat-1", "a\u{1b}[2J")), "cat-1 | a\\u{1b}[2J");
        assert_eq!(printer.shown(&line("cat", "k3x9", "a")), "cat/k3x9 | a");
        printer.timestamps = true;
        assert_eq!(printer.shown(&line("cat", "cat-1", "a")), "1970-01-01T00:00:00Z cat-1 | a");
    }

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        assert_eq!(since("1970-01-01T00:00:00Z").unwrap(), OffsetDateTime::UNIX_EPOCH);
        let ago = OffsetDateTime::now_utc() - since("15m").unwrap();
        assert!((890..=910).contains(&ago.whole_seconds()));
        assert!(since("soon").unwrap_err().to_string().contains("--since"));
    }
}
