//! `skep deploy`: the functions and sources of a stack file, or one function of the command line.

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde::Serialize;
use skep_protocol::{DefaultNamespace, FunctionDeployment, WORKDIR, validate};
use skep_sources::Defaults;
use skep_stack::{Difference, Stack};

use super::{
    args::DeployArgs,
    full_name, plan,
    plan::Step,
    ready::{self, Awaited},
    sources::{self, SourceStep},
};
use crate::{
    client::{api::Api, print_json},
    controller,
    failure::{Failure, Result, bad_setting},
    output,
};

/// What is done with a function or a source.
#[derive(Serialize)]
#[serde(untagged)]
enum Done<'step> {
    Function(&'step Step),
    Source(&'step SourceStep),
}

pub(super) async fn run(mut args: DeployArgs) -> Result<()> {
    let (ready, dry_run) = (args.ready.timeout, args.dry_run);
    let wait = !args.ready.no_wait;
    let api = Api::new(args.client.clone())?;
    let stack = match args.name.take() {
        None => chosen(read_stack(&args.file)?, &args.filter)?,
        Some(name) => Stack { functions: vec![one(name, &mut args, api.is_local())?], sources: Vec::new() },
    };
    let steps = plan::plan(&api, stack.functions).await?;
    let sources = sources::plan(&api, stack.sources).await?;
    if !api.as_json {
        plan::print(&steps);
        sources::print(&sources);
    }
    if !dry_run {
        let (awaited, mut failures) = put_all(&api, &steps).await;
        // After the functions, so that no event comes before them.
        failures.extend(sources::put_all(&api, &sources).await);
        if wait && let Err(failure) = ready::wait(&api, awaited, ready).await {
            failures.push(failure);
        }
        Failure::all(failures)?;
    }
    if api.as_json {
        let functions = steps.iter().map(Done::Function);
        return print_json(&functions.chain(sources.iter().map(Done::Source)).collect::<Vec<_>>());
    }
    if dry_run {
        output::line("Nothing is done (--dry-run).");
    }
    Ok(())
}

/// Reads a stack file as `skep up` does.
pub(super) fn read_stack(file: &Path) -> Result<Stack> {
    let environment = controller::environment();
    // Only the gateway knows its public URL, without which it refuses some sources.
    let (namespace, public_url) = (DefaultNamespace::default(), "https://localhost".parse().ok());
    let defaults = Defaults { public_url: public_url.as_ref(), ..Defaults::new(&namespace) };
    let stack = skep_stack::read(file, &defaults, |name| environment.get(name).cloned());
    stack.map_err(|error| Failure::setting(format!("--file: {error}")))
}

/// The functions and sources whose name fits one of the patterns, or all.
fn chosen(mut stack: Stack, patterns: &[String]) -> Result<Stack> {
    if patterns.is_empty() {
        return Ok(stack);
    }
    let fits_one = |name: &str| patterns.iter().any(|pattern| fits(name, pattern));
    stack
        .functions
        .retain(|function| fits_one(&function.service) || fits_one(&full_name(&function.service, &function.namespace)));
    stack.sources.retain(|(name, _)| fits_one(name.as_str()));
    if stack.functions.is_empty() && stack.sources.is_empty() {
        let patterns = patterns.join(", ");
        return Err(Failure::Missing(format!("no function or source of the file fits --filter {patterns}")));
    }
    Ok(stack)
}

/// Whether a name fits a pattern, in which `*` stands for any text.
fn fits(name: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return name == pattern };
    let Some(left) = name.strip_prefix(start) else { return false };
    (0..=left.len()).filter_map(|at| left.get(at..)).any(|left| fits(left, rest))
}

/// The function that the command line describes.
fn one(name: String, args: &mut DeployArgs, is_local: bool) -> Result<FunctionDeployment> {
    let mut deployment = FunctionDeployment {
        service: name,
        image: args.image.take().unwrap_or_default(),
        env_process: args.command.take().unwrap_or_default(),
        env_vars: args.env.drain(..).collect(),
        labels: args.label.drain(..).collect(),
        annotations: args.annotation.drain(..).collect(),
        secrets: std::mem::take(&mut args.secret),
        ..FunctionDeployment::default()
    };
    if let Some(folder) = workdir(args, &deployment, is_local)? {
        let folder = folder.to_str().ok_or_else(|| bad_workdir(&folder, "is not named in UTF-8"))?;
        deployment.annotations.entry(WORKDIR.to_owned()).or_insert_with(|| folder.to_owned());
    }
    let checked = validate::deployment(&mut deployment, &DefaultNamespace::default());
    checked.map_err(|error| Failure::setting(error.to_string()))?;
    Ok(deployment)
}

/// Where a command runs; one for a Swarm runs in its image, and one for another machine where skep runs.
fn workdir(args: &DeployArgs, deployment: &FunctionDeployment, is_local: bool) -> Result<Option<PathBuf>> {
    if let Some(folder) = &args.workdir {
        // On another machine it cannot be looked at.
        return Ok(Some(folder.canonicalize().unwrap_or_else(|_| folder.clone())));
    }
    if deployment.env_process.is_empty() || !deployment.image.is_empty() || !is_local {
        return Ok(None);
    }
    std::env::current_dir().map(Some).map_err(|error| bad_workdir(Path::new("."), &error.to_string()))
}

fn bad_workdir(folder: &Path, reason: &str) -> Failure {
    bad_setting("--workdir", format!("{} {reason}", folder.display()))
}

/// Sends what differs. A function that is refused does not keep the others from being deployed.
async fn put_all(api: &Api, steps: &[Step]) -> (Vec<Awaited>, Vec<Failure>) {
    let (mut awaited, mut failures) = (Vec::new(), Vec::new());
    for step in steps {
        match put(api, step).await {
            Ok(()) => awaited.push(Awaited::updated(step.function.clone(), replaced(step))),
            Err(failure) => failures.push(failure),
        }
    }
    (awaited, failures)
}

/// The replicas that are to go.
fn replaced(step: &Step) -> Vec<String> {
    match step.difference {
        Difference::Same => Vec::new(),
        Difference::New | Difference::Changed => step.former.clone(),
    }
}

async fn put(api: &Api, step: &Step) -> Result<()> {
    let request = |method| api.request(method, &["functions"]).json(&step.wanted);
    // Somebody else may have deployed or removed it since it was looked at.
    let (first, conflict, other) = match step.difference {
        Difference::Same => return Ok(()),
        Difference::New => (Method::POST, StatusCode::CONFLICT, Method::PUT),
        Difference::Changed => (Method::PUT, StatusCode::NOT_FOUND, Method::POST),
    };
    if api.send_unless(request(first), conflict).await?.is_none() {
        api.send(request(other)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_a_whole_name() {
        for (name, pattern, expected) in [
            ("mail-in", "mail-*", true),
            ("mail-in", "*-in", true),
            ("mail-in", "m*l*n", true),
            ("mail-in", "mail-in", true),
            ("mail-in", "mail", false),
            ("mail-in", "*-out", false),
            ("mail-in", "*", true),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
        }
    }
}
