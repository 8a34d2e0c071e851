//! What a stack file has deployed and names no longer.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    path::Path,
};

use reqwest::Method;
use serde::Serialize;
use serde_json::json;
use skep_protocol::{SourceName, SourceStatus};
use skep_stack::{SOURCE_STACK, STACK, Stack};

use super::{full_name, functions, plan::plain, remove};
use crate::{
    client::api::Api,
    failure::{Failure, Result, bad_setting},
    output, terminal,
};

/// What is to be removed.
#[derive(Default)]
pub(super) struct Leftovers {
    functions: Vec<Leftover>,
    sources: Vec<SourceName>,
}

struct Leftover {
    name: String,
    queued: u64,
}

/// One of them, for programs.
#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub(super) enum Removed<'one> {
    Function { function: &'one str, change: &'static str, queued_calls: u64 },
    Source { source: &'one SourceName, change: &'static str },
}

/// Finds the functions and sources that are marked with the name of the stack, and are not in it.
pub(super) async fn plan(api: &Api, stack: &Stack, file: &Path) -> Result<Leftovers> {
    let Some(name) = &stack.name else {
        let file = file.display();
        let reason = format!("needs the stack's name, which marks what it has deployed: write name: NAME into {file}");
        return Err(Failure::setting(format!("--prune {reason}")));
    };
    let kept: BTreeSet<String> =
        stack.functions.iter().map(|one| full_name(&one.service, plain(&one.namespace))).collect();
    let mut leftovers = Leftovers::default();
    let namespaces: Vec<String> = api.json(api.get(&["namespaces"])).await?;
    for namespace in namespaces {
        for function in functions(api, Some(&namespace)).await? {
            let full = full_name(&function.name, plain(&function.namespace));
            if function.annotations.get(STACK) == Some(name) && !kept.contains(&full) {
                let queued = super::function(api, &full).await?.queue_depth.unwrap_or_default();
                leftovers.functions.push(Leftover { name: full, queued });
            }
        }
    }
    let sources: Vec<SourceStatus> = api.json(api.get(&["sources"])).await?;
    let is_ours = |source: &SourceStatus| source.spec[SOURCE_STACK].as_str() == Some(name);
    let is_kept = |source: &SourceStatus| stack.sources.iter().any(|(kept, _)| *kept == source.name);
    let left = sources.into_iter().filter(|source| is_ours(source) && !is_kept(source));
    leftovers.sources = left.map(|source| source.name).collect();
    Ok(leftovers)
}

impl Leftovers {
    /// Says in words what will be removed.
    pub(super) fn print(&self) {
        for Leftover { name, queued } in &self.functions {
            let queued = match queued {
                0 => String::new(),
                1 => "; its queued call becomes a dead letter".to_owned(),
                _ => format!("; its {queued} queued calls become dead letters"),
            };
            output::line(format_args!("{name} is removed{queued}"));
        }
        for source in &self.sources {
            output::line(format_args!("source {source} is removed"));
        }
    }

    /// Asks at a terminal whether that may be done; elsewhere nobody could answer.
    pub(super) fn confirm(&self) -> Result<()> {
        let count = self.functions.len() + self.sources.len();
        if count == 0 || !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            return Ok(());
        }
        let what = if count == 1 { "it".to_owned() } else { format!("these {count}") };
        let answer = terminal::confirm(&format!("Remove {what}? [y/N] ")).map_err(Failure::internal)?;
        if answer { Ok(()) } else { Err(bad_setting("--prune", "nothing is done")) }
    }

    /// Removes sources first, so that no event calls a function that is gone.
    pub(super) async fn remove(&self, api: &Api) -> Vec<Failure> {
        let mut failures = Vec::new();
        for source in &self.sources {
            let request = api.request(Method::DELETE, &["sources"]).json(&json!({ "name": source }));
            failures.extend(api.send(request).await.err());
        }
        for Leftover { name, .. } in &self.functions {
            failures.extend(remove::delete(api, name).await.err());
        }
        failures
    }

    pub(super) fn removed(&self) -> impl Iterator<Item = Removed<'_>> {
        let functions = self.functions.iter().map(|one| Removed::Function {
            function: &one.name,
            change: "removed",
            queued_calls: one.queued,
        });
        functions.chain(self.sources.iter().map(|source| Removed::Source { source, change: "removed" }))
    }
}
