//! `skep swarm down`: the stack goes, and with it, if asked for, what it keeps.

use std::time::{Duration, Instant};

use super::{docker::docker, services, stack::failed};
use crate::{
    args::SwarmDownArgs,
    failure::{Failure, Result},
    output,
};

const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The label that functions carry.
const FUNCTIONS: &str = "label=com.openfaas.function";

pub(crate) async fn run(args: SwarmDownArgs) -> Result<()> {
    let name = &args.name;
    let functions = docker(&["service", "ls", "--quiet", "--filter", FUNCTIONS]).await.map_err(failed)?;
    let functions: Vec<&str> = functions.lines().collect();
    if services::of_stack(name).await.map_err(failed)?.is_empty() && functions.is_empty() {
        output::line(format_args!("there is no stack {name}"));
        return Ok(());
    }
    output::line(format_args!("What is done:\n  remove {} functions and the stack {name}", functions.len()));
    output::line(if args.volumes {
        "  remove the volumes and secrets: queued calls and results are gone with them\n"
    } else {
        "  keep the volumes and secrets: skep swarm up finds its functions and queued calls again\n"
    });
    if !functions.is_empty() {
        docker(&[&["service", "rm"], &functions[..]].concat()).await.map_err(failed)?;
    }
    docker(&["stack", "rm", name]).await.map_err(failed)?;
    wait(&args).await?;
    if args.volumes {
        remove_what_is_kept(name).await?;
    }
    output::line("skep is down");
    Ok(())
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
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn remove_what_is_kept(stack: &str) -> Result<()> {
    for volume in ["nats", "prometheus"].map(|name| format!("{stack}_{name}")) {
        if docker(&["volume", "inspect", &volume]).await.is_ok() {
            docker(&["volume", "rm", &volume]).await.map_err(failed)?;
        }
    }
    for secret in ["basic-auth-user", "basic-auth-password"] {
        if docker(&["secret", "inspect", secret]).await.is_ok() {
            docker(&["secret", "rm", secret]).await.map_err(failed)?;
        }
    }
    Ok(())
}
