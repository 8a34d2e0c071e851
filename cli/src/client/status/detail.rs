//! One function in the live view: its last calls, its dead letters, and the end of its log.

use skep_protocol::{CallStatus, DeadLetterInfo, FunctionStatus};

use crate::{
    client::{
        api::Api,
        daily::{self, canary, last_log_lines},
        table,
    },
    failure::Result,
};

/// How much of each is shown.
const CALLS: usize = 8;
const LETTERS: usize = 4;
const LOG_LINES: u32 = 8;

/// What there is to say of a function. What cannot be asked for is said, too.
pub(super) async fn lines(api: &Api, name: &str) -> Vec<String> {
    let (function, canary, calls, letters, log) = tokio::join!(
        function(api, name),
        canary(api, name),
        calls(api, name),
        dead_letters(api, name),
        last_log_lines(api, name, LOG_LINES)
    );
    let parts = [("", function), ("CANARY", canary), ("QUEUED CALLS", calls), ("DEAD LETTERS", letters), ("LOG", log)];
    let mut lines = Vec::new();
    for (heading, part) in parts {
        let part = part.unwrap_or_else(|failure| vec![failure.to_string()]);
        if part.is_empty() {
            continue;
        }
        lines.push(String::new());
        lines.extend(Some(heading.to_owned()).filter(|heading| !heading.is_empty()));
        lines.extend(part);
    }
    lines
}

async fn function(api: &Api, name: &str) -> Result<Vec<String>> {
    let function: FunctionStatus = daily::function(api, name).await?;
    let runs = if function.env_process.is_empty() { function.image } else { function.env_process };
    let mut lines = vec![format!("runs {runs}")];
    lines.extend((!function.instances.is_empty()).then(|| format!("replicas {}", function.instances.join(", "))));
    lines.extend(function.problem.map(|problem| format!("problem {problem}")));
    Ok(lines)
}

async fn canary(api: &Api, name: &str) -> Result<Vec<String>> {
    Ok(canary::report(api, name).await?.map(|report| canary::lines(&report)).unwrap_or_default())
}

async fn calls(api: &Api, name: &str) -> Result<Vec<String>> {
    let query = [("function", name), ("limit", &CALLS.to_string())];
    let calls: Vec<CallStatus> = api.json(api.get(&["calls"]).query(&query)).await?;
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let rows = calls.into_iter().map(|call| {
        let status = table::or_empty(call.status);
        let state = call.state.as_str().to_owned();
        [call.call_id.to_string(), state, status, call.attempts.to_string(), table::at(call.accepted_at)]
    });
    Ok(table::lines(["CALL", "STATE", "STATUS", "ATTEMPTS", "ACCEPTED"], rows))
}

async fn dead_letters(api: &Api, name: &str) -> Result<Vec<String>> {
    let query = [("function", name), ("limit", &LETTERS.to_string())];
    let letters: Vec<DeadLetterInfo> = api.json(api.get(&["dead"]).query(&query)).await?;
    Ok(letters
        .into_iter()
        .map(|letter| format!("{}  {}  {}", letter.call_id, table::at(letter.dead_at), letter.reason))
        .collect())
}
