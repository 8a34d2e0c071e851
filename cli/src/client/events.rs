//! `skep calls events`: events of calls as they happen.

use std::time::Duration;

use anyhow::anyhow;
use skep_protocol::{CallEvent, CallNews};

use super::{api::Api, args::CallEventsArgs, calls::more, lines::Lines, table};
use crate::{
    failure::{Failure, Result},
    output,
};

/// The gateway ends a stream after an hour.
const MAX_STREAM: Duration = Duration::from_secs(3700);
const MAX_LINE: usize = 1024 * 1024;

pub(super) async fn run(args: CallEventsArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let request = match &args.id {
        Some(id) => api.get(&["calls", id, "events"]),
        None => {
            let function: Vec<_> = args.function.into_iter().map(|name| ("function", name)).collect();
            api.get(&["events"]).query(&function)
        }
    };
    let mut lines = Lines::of(api.send(request.timeout(MAX_STREAM)).await?, MAX_LINE);
    let mut has_ended = false;
    while let Some(line) = lines.next(&api).await? {
        // What is not data says the same again, or that the stream is there.
        let Some(data) = line.strip_prefix(b"data: ") else { continue };
        has_ended = print(data, api.as_json).is_some_and(|event| event.event.is_end());
    }
    if has_ended && args.id.is_some() {
        return Ok(());
    }
    Err(Failure::internal(anyhow!("the gateway ended the stream: run the command again to continue")))
}

/// Prints a step, of a call that is named only if there may be others; returns the step.
fn print(data: &[u8], as_json: bool) -> Option<CallEvent> {
    let event: CallEvent = serde_json::from_slice(data).ok()?;
    if as_json {
        output::line(String::from_utf8_lossy(data).trim_end());
        return Some(event);
    }
    let whose = serde_json::from_slice::<CallNews>(data).map(|news| format!("{}  {}  ", news.call_id, news.function));
    let step =
        format!("{}  {}{:11}  {}", table::at(event.at), whose.unwrap_or_default(), event.event.as_str(), more(&event));
    output::line(output::harmless(step.trim_end()));
    Some(event)
}
