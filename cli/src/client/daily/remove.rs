//! `skep remove`: functions that are no longer needed.

use reqwest::Method;
use serde_json::json;
use skep_protocol::DeleteFunction;

use super::{args::RemoveArgs, full_name};
use crate::{
    client::{api::Api, print_json},
    failure::{Failure, Result},
    output, stack_file,
};

pub(super) async fn run(args: RemoveArgs) -> Result<()> {
    let api = Api::new(args.client)?;
    let names = match &args.file {
        None => args.names,
        Some(file) => {
            let functions = stack_file::read(file)?.functions.into_iter();
            functions.map(|function| full_name(&function.service, &function.namespace)).collect()
        }
    };
    let (mut removed, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match remove(&api, &name).await {
            Ok(queued) => {
                if !api.as_json {
                    output::line(said(&name, queued));
                }
                removed.push(json!({ "function": name, "queuedCalls": queued }));
            }
            Err(failure) => failures.push(failure),
        }
    }
    if api.as_json {
        print_json(&removed)?;
    }
    Failure::all(failures)
}

/// Returns how many queued calls it had.
async fn remove(api: &Api, name: &str) -> Result<u64> {
    let queued = super::function(api, name).await?.queue_depth.unwrap_or_default();
    delete(api, name).await?;
    Ok(queued)
}

/// Removes a function.
pub(super) async fn delete(api: &Api, name: &str) -> Result<()> {
    let function = DeleteFunction { function_name: name.to_owned(), namespace: String::new() };
    api.send(api.request(Method::DELETE, &["functions"]).json(&function)).await.map(|_| ())
}

fn said(name: &str, queued: u64) -> String {
    match queued {
        0 => format!("{name} is removed"),
        1 => format!("{name} is removed; its queued call becomes a dead letter"),
        _ => format!("{name} is removed; its {queued} queued calls become dead letters"),
    }
}
