//! `skep deploy`: the functions and sources of a stack file, or one function of the command line.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use skep_protocol::{CanaryMode, DefaultNamespace, FunctionDeployment, WORKDIR, validate};
use skep_stack::{Difference, Stack};

use super::{
    args::DeployArgs,
    full_name,
    needs::{self, Need},
    plan,
    plan::{AT_ONCE, Step},
    progress::Progress,
    prune::{self, Leftovers, Removed},
    ready::{self, Awaited},
    sources::{self, SourceStep},
    versions,
};
use crate::{
    client::{
        api::Api,
        images::{Folder, Shipment},
        print_json,
    },
    dev,
    failure::{Failure, Result, bad_setting},
    output, stack_file,
};

/// What is done with a function or a source.
#[derive(Serialize)]
#[serde(untagged)]
enum Done<'step> {
    Need(Need),
    Function(&'step Step),
    Source(&'step SourceStep),
    Removed(Removed<'step>),
}

pub(super) async fn run(mut args: DeployArgs) -> Result<()> {
    let (ready, dry_run) = (args.ready.timeout, args.dry_run);
    let wait = !args.ready.no_wait;
    let api = Api::new(args.client.clone())?;
    let (mut stack, folder) = wanted(&mut args, api.is_local())?;
    if args.build {
        dev::build_all(&stack.builds).await?;
    }
    let shipment = Shipment::prepare(&api, &mut stack.functions, folder.as_ref()).await?;
    let needs = needs::plan(&api, &stack).await?;
    let leftovers = if args.prune { prune::plan(&api, &stack, &args.file).await? } else { Leftovers::default() };
    let steps = plan::plan(&api, stack.functions, &needs.namespaces, args.canary).await?;
    let sources = sources::plan(&api, stack.sources).await?;
    if !api.as_json {
        needs.print();
        plan::print(&steps);
        print_canary(args.canary, &steps);
        sources::print(&sources);
        leftovers.print();
    }
    if !dry_run {
        if !args.yes {
            leftovers.confirm()?;
        }
        shipment.send(&api).await?;
        needs.put(&api).await?;
        let (awaited, mut failures) = put_all(&api, &steps, args.note.as_deref(), args.canary).await;
        // After the functions, so that no event comes before them.
        failures.extend(sources::put_all(&api, &sources).await);
        failures.extend(leftovers.remove(&api).await);
        if wait && let Err(failure) = ready::wait(&api, awaited, ready).await {
            failures.push(failure);
        }
        Failure::all(failures)?;
    }
    if api.as_json {
        let done = needs.made().map(Done::Need).chain(steps.iter().map(Done::Function));
        let done = done.chain(sources.iter().map(Done::Source)).chain(leftovers.removed().map(Done::Removed));
        return print_json(&done.collect::<Vec<_>>());
    }
    if dry_run {
        output::line("Nothing is done (--dry-run).");
    }
    Ok(())
}

/// What is to be deployed, and the folder that becomes the image of it, if one is named.
fn wanted(args: &mut DeployArgs, is_local: bool) -> Result<(Stack, Option<Folder>)> {
    let Some(name) = args.name.take() else { return Ok((chosen(stack_file::read(&args.file)?, &args.filter)?, None)) };
    let (function, folder) = of_command_line(name, args, is_local)?;
    Ok((Stack { functions: vec![function], ..Stack::default() }, folder))
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

/// The function that the command line describes, and the folder that becomes its image, if it names one.
fn of_command_line(
    name: String,
    args: &mut DeployArgs,
    is_local: bool,
) -> Result<(FunctionDeployment, Option<Folder>)> {
    if let Some(path) = Folder::of(&name) {
        let folder = Folder::new(&path, args.image.take(), args.command.is_some())?;
        // Its command runs in the image.
        return Ok((one(folder.name()?, args, false)?, Some(folder)));
    }
    if args.command.is_none() && args.image.is_none() {
        return Err(Failure::setting(format!(
            "say what {name} runs: --command, --image, or a folder such as ./{name}"
        )));
    }
    Ok((one(name, args, is_local)?, None))
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

/// Says what --canary does with these steps.
fn print_canary(canary: Option<CanaryMode>, steps: &[Step]) {
    let Some(CanaryMode::Share(share)) = canary else { return };
    if steps.iter().any(|step| step.difference == Difference::Changed && !step.is_of_canary()) {
        output::line(format_args!("Changed functions get {share} of the calls at first, next to the current version."));
    }
    if steps.iter().any(|step| step.difference == Difference::New) {
        output::line("New functions get all calls, because they have no current version.");
    }
}

/// Sends what differs. A function that is refused does not keep the others from being deployed.
async fn put_all(
    api: &Api,
    steps: &[Step],
    note: Option<&str>,
    canary: Option<CanaryMode>,
) -> (Vec<Awaited>, Vec<Failure>) {
    let (mut awaited, mut failures) = (Vec::new(), Vec::new());
    let mut progress = Progress::of(steps.len(), "deployed", !api.as_json);
    let sent = steps.iter().map(async |step| (step, put(api, step, note, canary).await));
    let mut answers = stream::iter(sent).buffered(AT_ONCE);
    while let Some((step, answer)) = answers.next().await {
        match answer {
            Ok(version) => awaited.push(Awaited::updated(step.function.clone(), replaced(step)).of_version(version)),
            Err(failure) => failures.push(failure),
        }
        progress.show(awaited.len());
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

/// Deploys or updates a function; returns the version that is to become ready, if it has another one then.
async fn put(api: &Api, step: &Step, note: Option<&str>, canary: Option<CanaryMode>) -> Result<Option<u64>> {
    if !step.does_something() {
        return Ok(step.canary.as_ref().map(|canary| canary.version));
    }
    let note = note.map(|note| ("note", note.to_owned()));
    let canary = canary.map(|mode| ("canary", mode.to_string()));
    let query: Vec<_> = note.into_iter().chain(canary).collect();
    let request = |method| api.request(method, &["functions"]).query(&query).json(&step.wanted);
    // Somebody else may have deployed or removed it since it was looked at.
    let (first, conflict, other) = match step.difference {
        Difference::New => (Method::POST, StatusCode::CONFLICT, Method::PUT),
        Difference::Changed | Difference::Same => (Method::PUT, StatusCode::NOT_FOUND, Method::POST),
    };
    let response = match api.send_unless(request(first), conflict).await? {
        Some(response) => response,
        None => api.send(request(other)).await?,
    };
    Ok(versions::made_by(&response))
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
