//! `skep describe`: what a function is, and what is done with a queued call of it that does not go well.
//!
//! What follows from an attempt is asked of the function that decides it in the queue-worker.

use std::time::Duration;

use serde::Serialize;
use skep_protocol::{
    CanaryReport, FunctionDeployment, FunctionPolicy, FunctionStatus, FunctionVersion, PolicyDefaults, RetryPolicy,
    ScalingStatus, SettingError, format_duration,
};
use skep_queue_worker::decision::{Circumstances, Decision, Ended, decide};

use super::{api::Api, args::DescribeArgs, daily::canary, print_json, table};
use crate::{
    failure::{Failure, Result},
    output,
};

/// Waits of more attempts are like the last one.
const WAITS_SHOWN: u64 = 8;

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    function: FunctionStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    canary: Option<CanaryReport>,
    policy: Policy,
    decisions: Vec<Row>,
    waits: Vec<Wait>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    attempts: u64,
    codes: String,
    min_wait: String,
    max_wait: String,
    backoff: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<String>,
}

/// What follows from one kind of end of an attempt.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    what: String,
    before_the_last: &'static str,
    at_the_last: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wait {
    after_attempt: u64,
    least: String,
    most: String,
}

pub(crate) async fn run(args: DescribeArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let function: FunctionStatus = api.json(api.get(&["function", &args.function])).await?;
    let policy = policy_of(&function).map_err(|error| Failure::setting(error.to_string()))?;
    let retry = &policy.retry;
    let canary = match &function.canary {
        Some(_) => canary::report(&api, &args.function).await?,
        None => None,
    };
    let description =
        Description { policy: Policy::of(retry), decisions: decisions(retry), waits: waits(retry), canary, function };
    if api.as_json {
        return print_json(&description);
    }
    print(&description, &policy);
    Ok(())
}

/// What the function's own settings say, with the defaults of skep where they say nothing.
fn policy_of(function: &FunctionStatus) -> std::result::Result<FunctionPolicy, SettingError> {
    let deployment = FunctionDeployment {
        env_vars: function.env_vars.clone(),
        labels: function.labels.clone(),
        annotations: function.annotations.clone(),
        ..FunctionDeployment::default()
    };
    FunctionPolicy::parse(&deployment, &PolicyDefaults::default())
}

fn print(description: &Description, settings: &FunctionPolicy) {
    let Description { function, canary, policy, decisions, waits } = description;
    let timeout = settings.own_timeout.map(format_duration);
    table::print_facts([
        ("function", function.name.clone()),
        ("namespace", function.namespace.clone()),
        ("image", function.image.clone()),
        ("command", function.env_process.clone()),
        ("version", function.version.as_ref().map(version).unwrap_or_default()),
        ("replicas", format!("{} of {} ready", function.available_replicas, function.replicas)),
        ("waiting", waiting(function)),
        ("problem", function.problem.clone().unwrap_or_default()),
        ("scales", format!("{} to {}, type {}", settings.scaling.min, settings.scaling.max, settings.scaling.kind)),
        ("because", function.scaling.as_ref().map(scaling).unwrap_or_default()),
        ("timeout", timeout.unwrap_or_else(|| "the platform's (--upstream-timeout)".to_owned())),
        ("at once", at_once(settings)),
        ("secrets", function.secrets.join(", ")),
        ("called", called(function.invocation_count)),
        ("since", table::at(function.created_at)),
    ]);
    if let Some(canary) = canary {
        output::line("\nCanary");
        canary::lines(canary).into_iter().for_each(output::line);
    }
    output::line("\nQueued calls that fail");
    let Policy { attempts, codes, min_wait, max_wait, backoff, max_age } = policy;
    table::print_facts([
        ("attempts", attempts.to_string()),
        ("codes", if codes.is_empty() { "none".to_owned() } else { codes.clone() }),
        ("waits", format!("{min_wait} to {max_wait}, {backoff}")),
        ("longest age", max_age.clone().unwrap_or_else(|| "none".to_owned())),
    ]);
    output::line("");
    let rows = decisions.iter().map(|row| [row.what.clone(), row.before_the_last.into(), row.at_the_last.into()]);
    table::print(["AN ATTEMPT", "BEFORE THE LAST", "THE LAST"], rows);
    if !waits.is_empty() {
        output::line("");
        let rows = waits.iter().map(|wait| [wait.after_attempt.to_string(), wait.least.clone(), wait.most.clone()]);
        let more = (*attempts > WAITS_SHOWN + 1).then(|| ["…".to_owned(), String::new(), String::new()]);
        let rows = rows.chain(more);
        table::print(["AFTER ATTEMPT", "WAITS AT LEAST", "AT MOST"], rows);
    }
    output::line("\nSettings that have no annotation are the defaults; queue-workers may have other ones.");
}

fn called(times: f64) -> String {
    let times = times.to_string();
    format!("{times} {}, as counted by this gateway", if times == "1" { "time" } else { "times" })
}

/// Which version it is, and why, in words.
fn version(version: &FunctionVersion) -> String {
    let note = version.note.as_ref().map(|note| format!(": {}", note.as_str())).unwrap_or_default();
    format!("{}, {} by {}{note}", version.number, table::at(version.at), version.actor)
}

/// Why it has as many replicas as it has.
fn scaling(scaling: &ScalingStatus) -> String {
    let load = scaling.load.map(|load| format!("; {load:.1} calls run at once on average")).unwrap_or_default();
    let due = scaling.due.filter(|due| *due > 0).map(|due| format!("; due soon: {due}")).unwrap_or_default();
    let since = scaling.since.map(|since| format!("; since {}", table::at(since))).unwrap_or_default();
    let held = scaling.held_until.map(|until| format!("; held until {}", table::at(until))).unwrap_or_default();
    format!("{}{load}{due}{since}{held}", scaling.reason)
}

/// What is queued, if the gateway could see it.
fn waiting(function: &FunctionStatus) -> String {
    match (function.queue_depth, function.queue_age_seconds) {
        (Some(0), _) => "no call".to_owned(),
        (Some(depth), Some(age)) => format!("{depth} queued calls, the first for {age:.0} s"),
        (Some(_) | None, _) => String::new(),
    }
}

fn at_once(settings: &FunctionPolicy) -> String {
    match settings.max_inflight {
        Some(limit) => format!("{limit} calls on a replica"),
        None => "no limit of its own".to_owned(),
    }
}

impl Policy {
    fn of(policy: &RetryPolicy) -> Self {
        Self {
            attempts: policy.attempts,
            codes: policy.codes.to_string(),
            min_wait: format_duration(policy.min_wait),
            max_wait: format_duration(policy.max_wait),
            backoff: policy.backoff.as_str(),
            max_age: policy.max_age.map(format_duration),
        }
    }
}

/// Every kind of end, with what the queue-worker decides.
fn decisions(policy: &RetryPolicy) -> Vec<Row> {
    let answered = |status| Ended::Answered { status, retry_after: None };
    let is_told_apart = |status: &u16| [500, 504].contains(status);
    let (codes, others): (Vec<u16>, Vec<u16>) =
        (400..=599).filter(|status| !is_told_apart(status)).partition(|&status| policy.codes.contain(status));
    let mut ends = vec![("the function answers below 400".to_owned(), answered(200))];
    if let Some(&code) = codes.first() {
        let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
        ends.push((format!("it answers {}", codes.join(", ")), answered(code)));
    }
    ends.push(("it answers 500, or its program exits with other than 0".to_owned(), answered(500)));
    ends.push(("it answers 504, or it runs longer than its timeout".to_owned(), answered(504)));
    ends.extend(others.first().map(|&status| ("it answers with another status".to_owned(), answered(status))));
    ends.push(("no connection, broken off, or the watchdog could not run it".to_owned(), Ended::Failed { reason: "" }));
    ends.push(("no replica, or the replica is busy".to_owned(), Ended::Busy));
    let row = |(what, ended): (String, Ended<'_>)| {
        let at = |attempt| {
            let circumstances = Circumstances { attempt, busy: 0, age: Duration::ZERO, random: 0.0 };
            in_words(&decide(ended, circumstances, policy), ended)
        };
        Row { what, before_the_last: if policy.attempts > 1 { at(1) } else { "" }, at_the_last: at(policy.attempts) }
    };
    ends.into_iter().map(row).collect()
}

fn in_words(decision: &Decision, ended: Ended<'_>) -> &'static str {
    match (decision, ended) {
        (Decision::Done, Ended::Answered { status, .. }) if status < 400 => "done: succeeded",
        (Decision::Done, _) => "done: failed",
        (Decision::RetryAfter(_), _) => "again after the wait",
        (Decision::WaitFor(_), _) => "again soon; it does not count",
        (Decision::Dead(_), _) => "dead letter",
    }
}

/// How long is waited after each attempt, at least and at most.
fn waits(policy: &RetryPolicy) -> Vec<Wait> {
    let wait = |attempt, random| format_duration(policy.wait(attempt, random));
    let attempts = 1..policy.attempts.min(WAITS_SHOWN + 1);
    attempts
        .map(|attempt| Wait { after_attempt: attempt, least: wait(attempt, 0.0), most: wait(attempt, 1.0) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(policy: &RetryPolicy, what: &str) -> [&'static str; 2] {
        let rows = decisions(policy);
        let row = rows.iter().find(|row| row.what.contains(what)).unwrap_or_else(|| panic!("no row has {what}"));
        [row.before_the_last, row.at_the_last]
    }

    #[test]
    fn each_kind_of_end_has_its_decision() {
        let policy = RetryPolicy::default();
        assert_eq!(row(&policy, "below 400"), ["done: succeeded"; 2]);
        assert_eq!(row(&policy, "503"), ["again after the wait", "dead letter"]);
        assert_eq!(row(&policy, "exits with other than 0"), ["again after the wait", "dead letter"]);
        assert_eq!(row(&policy, "another status"), ["done: failed"; 2]);
        assert_eq!(row(&policy, "no connection"), ["again after the wait", "dead letter"]);
        assert_eq!(row(&policy, "busy"), ["again soon; it does not count"; 2]);
        let only_503 = RetryPolicy { codes: "503".parse().unwrap(), attempts: 1, ..RetryPolicy::default() };
        assert_eq!(row(&only_503, "exits with other than 0"), ["", "done: failed"]);
    }

    #[test]
    fn waits_are_those_of_the_policy() {
        let most: Vec<String> = waits(&RetryPolicy::default()).into_iter().map(|wait| wait.most).collect();
        assert_eq!(most, ["10s", "20s", "40s", "80s", "120s", "120s", "120s", "120s"]);
        assert!(waits(&RetryPolicy { attempts: 1, ..RetryPolicy::default() }).is_empty());
    }
}
