//! Canaries: how they do, and `skep promote`.

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use skep_protocol::{CanaryReport, TrialFigures};

use super::args::PromoteArgs;
use crate::{
    client::{
        api::Api,
        daily::ready::{self, Awaited},
        print_json, table,
    },
    failure::Result,
    output,
};

/// What the gateway answers to a promotion.
#[derive(Deserialize, Serialize)]
struct Promoted {
    version: u64,
}

pub(super) async fn promote(args: PromoteArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let former = super::super::function(&api, &args.name).await?.instances;
    let request = api.request(Method::POST, &["function", &args.name, "promote"]);
    let promoted: Promoted = api.json(request).await?;
    if !api.as_json {
        output::line(format_args!("version {} of {} takes all calls", promoted.version, args.name));
    }
    if !args.ready.no_wait {
        let awaited = Awaited::updated(args.name, former).of_version(Some(promoted.version));
        ready::wait(&api, vec![awaited], args.ready.timeout).await?;
    }
    if api.as_json { print_json(&promoted) } else { Ok(()) }
}

/// The canary of a function with its figures, if it has one.
pub(in crate::client) async fn report(api: &Api, name: &str) -> Result<Option<CanaryReport>> {
    match api.send_unless(api.get(&["function", name, "canary"]), StatusCode::NOT_FOUND).await? {
        Some(response) => api.read(response).await.map(Some),
        None => Ok(None),
    }
}

/// What there is to say of a canary.
pub(crate) fn lines(report: &CanaryReport) -> Vec<String> {
    let CanaryReport { canary, current_version, next, new, old } = report;
    let number = canary.version.number;
    let mut lines = vec![
        format!(
            "version {number} by {} takes {} of the calls, {} of {} replicas ready",
            canary.version.actor, canary.share, canary.available_replicas, canary.replicas
        ),
        next.clone(),
    ];
    lines.extend(canary.problem.as_ref().map(|problem| format!("problem {problem}")));
    let current = current_version.map(|number| number.to_string()).unwrap_or_default();
    let rows = [row(format!("{number} (canary)"), new), row(current, old)];
    lines.extend(table::lines(["VERSION", "CALLS", "FAILED", "ERRORS", "HALF WITHIN", "95% WITHIN"], rows));
    lines
}

fn row(version: String, figures: &TrialFigures) -> [String; 6] {
    let within =
        |seconds: Option<f64>| seconds.map(|seconds| format!("{:.1} ms", seconds * 1000.0)).unwrap_or_default();
    [
        version,
        figures.calls.to_string(),
        figures.failed.to_string(),
        format!("{:.1}%", figures.failed_percent()),
        within(figures.median_seconds),
        within(figures.p95_seconds),
    ]
}
