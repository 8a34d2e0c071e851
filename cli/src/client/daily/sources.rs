//! The sources of a stack file: compared with those that there are, and sent.

use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use skep_protocol::{SourceName, SourceStatus};
use skep_stack::{Difference, source_difference};

use super::plan::word;
use crate::{
    client::{api::Api, table},
    failure::{Failure, Result},
    output,
};

/// One source, and what is to be done with it.
#[derive(Serialize)]
pub(super) struct SourceStep {
    source: SourceName,
    change: &'static str,
    #[serde(skip)]
    difference: Difference,
    #[serde(skip)]
    spec: Value,
}

/// Compares what is wanted with what is declared.
pub(super) async fn plan(api: &Api, wanted: Vec<(SourceName, Value)>) -> Result<Vec<SourceStep>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let known: Vec<SourceStatus> = api.json(api.get(&["sources"])).await?;
    let steps = wanted.into_iter().map(|(source, spec)| {
        let known = known.iter().find(|known| known.name == source);
        let difference = source_difference(&spec, known.map(|known| &known.spec));
        SourceStep { change: word(difference), source, difference, spec }
    });
    Ok(steps.collect())
}

/// Says in words what will change.
pub(super) fn print(steps: &[SourceStep]) {
    for SourceStep { source, difference, .. } in steps {
        let said = match difference {
            Difference::New => "is new",
            Difference::Changed => "changes",
            Difference::Same => "stays as it is",
        };
        output::line(format_args!("source {source} {said}"));
    }
}

/// Sends what differs. A source that is refused does not keep the others from being declared.
pub(super) async fn put_all(api: &Api, steps: &[SourceStep]) -> Vec<Failure> {
    let mut failures = Vec::new();
    for step in steps {
        match put(api, step).await {
            Ok(Some(SourceStatus { name, problem: Some(problem), .. })) if !api.as_json => {
                output::line(table::one_line(&format!("source {name}: {problem}")));
            }
            Ok(_) => {}
            Err(failure) => failures.push(failure),
        }
    }
    failures
}

async fn put(api: &Api, step: &SourceStep) -> Result<Option<SourceStatus>> {
    let mut declaration = step.spec.clone();
    declaration["name"] = json!(step.source);
    let request = |method| api.request(method, &["sources"]).json(&declaration);
    // Somebody else may have added or removed it since it was looked at.
    let (first, conflict, other) = match step.difference {
        // A secret that it names may have another value than when it was declared.
        Difference::Same if step.spec.get("secrets").is_none() => return Ok(None),
        Difference::New => (Method::POST, StatusCode::CONFLICT, Method::PUT),
        Difference::Changed | Difference::Same => (Method::PUT, StatusCode::NOT_FOUND, Method::POST),
    };
    let answer = match api.send_unless(request(first), conflict).await? {
        Some(answer) => answer,
        None => api.send(request(other)).await?,
    };
    api.read(answer).await.map(Some)
}
