//! `skep swarm down`: the stack goes, and with it, if asked for, what it keeps.

use std::time::{Duration, Instant};

use super::{
    docker::{Refused, docker},
    services::{self, FUNCTIONS},
    settings::{self, Settings},
    stack::{self, FORMER_SECRET, failed},
    volumes,
};
use crate::{
    args::SwarmDownArgs,
    failure::{Failure, Result},
    output,
    password::PASSWORD_FILE,
};

const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// One that was on a node that is lost seems to run for ever.
const CONTROLLER_TIMEOUT: Duration = Duration::from_secs(30);
/// The label that the networks of functions carry.
const NETWORKS: &str = "label=openfaas=true";

pub(crate) async fn run(args: SwarmDownArgs) -> Result<()> {
    let name = &args.name;
    let functions = functions_of(name).await.map_err(failed)?;
    let before = Settings::of_stack(name).await;
    if services::of_stack(name).await.map_err(failed)?.is_empty() && functions.is_empty() {
        output::line(format_args!("there is no stack {name}"));
        if args.volumes {
            // What it kept when it was taken down before.
            let before = Settings::kept(name).await.unwrap_or_default();
            remove_what_is_kept(&args, &before).await?;
            output::line("its volumes and secrets are gone");
        }
        return Ok(());
    }
    output::line(format_args!("What is done:\n  remove {} functions and the stack {name}", functions.len()));
    output::line(if args.volumes {
        "  remove the volumes and secrets: queued calls and results are gone with them\n"
    } else {
        "  keep the volumes, secrets and settings: skep swarm up finds its functions and queued calls again\n"
    });
    if let (Some(before), false) = (&before, args.volumes) {
        before.keep(name).await.map_err(failed)?;
    }
    if !functions.is_empty() {
        end_controller(name).await.map_err(failed)?;
        let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
        docker(&[&["service", "rm"], &functions[..]].concat()).await.map_err(failed)?;
    }
    docker(&["stack", "rm", name]).await.map_err(failed)?;
    wait(&args).await?;
    if args.volumes {
        remove_what_is_kept(&args, &before.unwrap_or_default()).await?;
    }
    output::line("skep is down");
    Ok(())
}

/// Ends the controller, if there is one, because it would create the functions again.
async fn end_controller(stack: &str) -> std::result::Result<(), Refused> {
    let controller = format!("{stack}_controller");
    if docker(&["service", "inspect", &controller]).await.is_err() {
        return Ok(());
    }
    docker(&["service", "scale", "--detach", &format!("{controller}=0")]).await?;
    let deadline = Instant::now() + CONTROLLER_TIMEOUT;
    while Instant::now() < deadline {
        let states = docker(&["service", "ps", "--format", "{{.CurrentState}}", &controller]).await?;
        if !states.lines().any(|state| state.starts_with("Running") || state.starts_with("Starting")) {
            break;
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
    Ok(())
}

/// The ids of the functions that are not on the network of another stack.
async fn functions_of(stack: &str) -> std::result::Result<Vec<String>, Refused> {
    let found = docker(&["service", "ls", "--quiet", "--filter", FUNCTIONS]).await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let networks = ["network", "ls", "--no-trunc", "--filter", NETWORKS, "--format"];
    let networks = docker(&[&networks[..], &["{{.ID}} {{.Label \"com.docker.stack.namespace\"}}"]].concat()).await?;
    let of_others = networks.lines().filter_map(|line| line.split_once(' '));
    let of_others: Vec<&str> =
        of_others.filter(|(_, owner)| !owner.is_empty() && *owner != stack).map(|(id, _)| id).collect();
    let inspect = ["service", "inspect", "--format", "{{.ID}} {{json .Spec.TaskTemplate.Networks}}"];
    let services = docker(&[&inspect[..], &found.lines().collect::<Vec<_>>()].concat()).await?;
    let services = services.lines().filter_map(|line| line.split_once(' '));
    let own = services.filter(|(_, networks)| !of_others.iter().any(|id| networks.contains(id)));
    Ok(own.map(|(id, _)| id.to_owned()).collect())
}

/// A stack is gone when its networks are; before that it cannot be deployed again.
async fn wait(args: &SwarmDownArgs) -> Result<()> {
    let deadline = Instant::now() + args.wait;
    let label = format!("label=com.docker.stack.namespace={}", args.name);
    loop {
        let networks = docker(&["network", "ls", "--quiet", "--filter", &label]).await.map_err(failed)?;
        let tasks = docker(&["ps", "--all", "--quiet", "--filter", &label]).await.map_err(failed)?;
        if networks.is_empty() && tasks.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let reason =
                format!("after {} s the stack {} is not gone; docker stack ps {0}", args.wait.as_secs(), args.name);
            return Err(Failure::internal(anyhow::Error::msg(reason)));
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

async fn remove_what_is_kept(args: &SwarmDownArgs, before: &Settings) -> Result<()> {
    let stack = &args.name;
    settings::forget(stack).await;
    remove_secrets(stack).await?;
    let stay = volumes::remove(stack, &before.image, args.wait).await.map_err(failed)?;
    if stay.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "everything else is gone, but the volumes on {} may still be there; run this on each of these nodes: docker \
         volume rm $(docker volume ls --quiet --filter label=com.docker.stack.namespace={stack})",
        stay.join(", ")
    );
    Err(Failure::internal(anyhow::Error::msg(reason)))
}

async fn remove_secrets(stack: &str) -> Result<()> {
    // Those that functions had; the controller labels them with the network of the stack's functions.
    let label = format!("label=skep.network={stack}_functions");
    let of_functions = docker(&["secret", "ls", "--quiet", "--filter", &label]).await.map_err(failed)?;
    if !of_functions.is_empty() {
        let ids: Vec<&str> = of_functions.lines().collect();
        docker(&[&["secret", "rm"], &ids[..]].concat()).await.map_err(failed)?;
    }
    let all = docker(&["secret", "ls", "--format", "{{.Name}}"]).await.map_err(failed)?;
    let is_rotated = |name: &&str| name.starts_with(&format!("{PASSWORD_FILE}-")) || stack::is_login(name);
    for rotated in all.lines().filter(is_rotated) {
        docker(&["secret", "rm", rotated]).await.map_err(failed)?;
    }
    for secret in stack::SECRETS.into_iter().chain(stack::OPTIONAL_SECRETS).chain([FORMER_SECRET]) {
        if docker(&["secret", "inspect", secret]).await.is_ok() {
            docker(&["secret", "rm", secret]).await.map_err(failed)?;
        }
    }
    Ok(())
}
