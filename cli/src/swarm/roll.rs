//! Deploys the stack, and waits until all that has changed is updated: one part after the other, so that what fails stops the rest.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    docker::Refused,
    engine::{Engine, Membership},
    inside, nodes,
    services::{self, Service},
    settings::{Now, Settings},
    stack::{self, failed},
    stages,
    updates::{self, Changed, Outcome},
};
use crate::{
    failure::{Failure, Result},
    output,
};

const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Updates what is there in its order, and then creates what is new.
pub(super) async fn roll(settings: &Settings, engine: &Engine, swarm: &Membership) -> Result<()> {
    let there = updates::of_stack(&settings.now.name).await.map_err(failed)?;
    let is_there = |service: &&str| there.contains_key(*service) && !settings.now.without_roles;
    for service in stages::ORDER.into_iter().filter(is_there) {
        step(settings, (engine, swarm), Some(service)).await?;
    }
    step(settings, (engine, swarm), None).await
}

/// Deploys one service, or all.
async fn step(settings: &Settings, at: (&Engine, &Membership), only: Option<&str>) -> Result<()> {
    let stack = &settings.now.name;
    let before = updates::of_stack(stack).await.map_err(failed)?;
    stack::deploy(settings, at, only).await?;
    let changed = Changed::between(&before, &updates::of_stack(stack).await.map_err(failed)?);
    match only {
        Some(_) if changed.is_empty() => Ok(()),
        Some(service) => {
            wait(settings, &changed, only).await?;
            if stages::is_of_cluster(service) { wait_until_whole(settings).await } else { Ok(()) }
        }
        None => wait(settings, &changed, None).await,
    }
}

/// Waits until a NATS server that was updated has caught up with the others, because the next one goes away.
async fn wait_until_whole(settings: &Settings) -> Result<()> {
    let Now { name, wait, .. } = &settings.now;
    let deadline = Instant::now() + *wait;
    loop {
        match inside::are_streams_whole(name).await {
            Ok(Some(true)) => return Ok(()),
            Ok(Some(false)) | Err(_) if Instant::now() < deadline => tokio::time::sleep(CHECK_INTERVAL).await,
            Ok(Some(false)) | Err(_) => {
                let reason = format!(
                    "after {} s not all streams are whole on three NATS servers; see skep doctor, and then run this again",
                    wait.as_secs()
                );
                return Err(Failure::internal(anyhow::Error::msg(reason)));
            }
            Ok(None) => {
                let reason = "no role of skep runs on this node, so it cannot be seen whether the NATS servers are up to \
                              date; run this on a manager that has one";
                return Err(Failure::setting(reason));
            }
        }
    }
}

/// Shows what changes until a service, or every one, has all its tasks, of the version that is wanted.
async fn wait(settings: &Settings, changed: &Changed, only: Option<&str>) -> Result<()> {
    let Now { name, wait, .. } = &settings.now;
    let deadline = Instant::now() + *wait;
    let mut shown = BTreeMap::new();
    let mut reported = BTreeMap::new();
    loop {
        let updates = updates::of_stack(name).await.map_err(failed)?;
        let mut services = services::of_stack(name).await.map_err(failed)?;
        services.retain(|service| only.is_none_or(|only| service.name == only));
        let gone = nodes::gone().await.map_err(failed)?;
        let mut open = Vec::new();
        for service in &services {
            let is_complete = has_all(name, service, &gone).await.map_err(failed)?;
            let status = updates.get(&service.name).map(|update| update.status.clone()).unwrap_or_default();
            // Swarm says nothing of the update of a service without tasks.
            let has_tasks = service.wanted != "0";
            let outcome = if has_tasks { changed.outcome(&service.name, &status) } else { Outcome::Done };
            if let Outcome::Failed(message) = outcome {
                return Err(update_failed(name, &service.name, &message).await);
            }
            let state = format!("{}/{}", service.running, service.wanted);
            let state = if outcome == Outcome::Open { format!("{state}, is updated") } else { state };
            if shown.insert(service.name.clone(), state.clone()).as_ref() != Some(&state) {
                output::line(format_args!("  {:13} {state}", service.name));
            }
            if !is_complete {
                report_error(name, service, &mut reported).await;
            }
            if outcome == Outcome::Open || !is_complete {
                open.push(service);
            }
        }
        if open.is_empty() && !services.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let names: Vec<&str> = open.iter().map(|service| service.name.as_str()).collect();
            let reason = format!("after {} s not healthy: {}; see skep doctor", wait.as_secs(), names.join(", "));
            return Err(Failure::internal(anyhow::Error::msg(reason)));
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// Whether all tasks run that are wanted. Swarm also counts those of a node that is lost.
async fn has_all(stack: &str, service: &Service, gone: &[String]) -> std::result::Result<bool, Refused> {
    if service.is_complete() || gone.is_empty() || !service.has_too_many() {
        return Ok(service.is_complete());
    }
    let nodes = services::nodes_of(stack, &service.name).await?;
    Ok(nodes.iter().filter(|node| !gone.contains(node)).count() >= service.wanted_tasks())
}

/// Says once why a service does not have all its tasks.
async fn report_error(stack: &str, service: &Service, reported: &mut BTreeMap<String, String>) {
    let Some(error) = services::newest_error(stack, &service.name).await else { return };
    if reported.insert(service.name.clone(), error.clone()).as_ref() != Some(&error) {
        let advice = services::advice(stack, &service.name, &error);
        output::line(format_args!("  {:13} {error}\n{:15} {advice}", service.name, ""));
    }
}

async fn update_failed(stack: &str, service: &str, message: &str) -> Failure {
    let error = services::newest_error(stack, service).await.map(|error| format!("; a task said: {error}"));
    let reason = format!(
        "the update of {service} failed, and Swarm goes back to the version before: {message}{}; docker service ps \
         --no-trunc {stack}_{service} shows its tasks",
        error.unwrap_or_default()
    );
    Failure::internal(anyhow::Error::msg(reason))
}
