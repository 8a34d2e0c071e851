//! What `skep doctor` sees of a stack: nodes that are gone, services and functions without all their tasks, and updates that failed.

use super::{
    docker::Refused,
    finding::Finding,
    nodes::{self, Node},
    services::{self, Service},
    updates,
};

/// Services without which nothing works; at no task they were stopped by somebody.
const NEEDED: [&str; 3] = ["controller", "gateway", "queue-worker"];
/// The single NATS server, which is at none where three have taken its place.
const NATS: &str = "nats";

/// Whether this engine manages a stack of this name.
pub(crate) async fn has_stack(stack: &str) -> bool {
    services::of_stack(stack).await.is_ok_and(|services| !services.is_empty())
}

pub(crate) async fn at_stack(stack: &str) -> Vec<Finding> {
    match findings(stack).await {
        Ok(findings) => findings,
        Err(Refused(said)) => vec![Finding::wrong(format!("the stack cannot be looked at: {said}"), "see above")],
    }
}

async fn findings(stack: &str) -> Result<Vec<Finding>, Refused> {
    let lost: Vec<Node> = nodes::all().await?.into_iter().filter(|node| !node.is_ready).collect();
    let gone: Vec<String> = lost.iter().map(|node| node.name.clone()).collect();
    let mut findings: Vec<Finding> = lost.iter().map(of_lost_node).collect();
    let services = services::of_stack(stack).await?;
    if services.is_empty() {
        findings.push(Finding::note(format!("there is no stack {stack}; skep swarm up deploys it")));
        return Ok(findings);
    }
    let updates = updates::of_stack(stack).await?;
    let has_three = services.iter().any(|service| service.name == "nats-1");
    for service in &services {
        let is_needed = NEEDED.contains(&service.name.as_str()) || (service.name == NATS && !has_three);
        findings.push(of_service(stack, service, is_needed, &gone).await?);
        if let Some(update) = updates.get(&service.name).filter(|update| update.status.has_failed()) {
            findings.push(of_update(stack, &service.name, &update.status.message));
        }
    }
    findings.extend(of_functions(stack).await?);
    Ok(findings)
}

fn of_lost_node(node: &Node) -> Finding {
    let Node { name, .. } = node;
    // Its NATS server first, because the others wait for it.
    let replace = node.nats.map(|_| format!("skep swarm up --replace-node {name}"));
    let demote = node.is_manager.then(|| format!("docker node demote {name}"));
    let steps: Vec<String> =
        replace.into_iter().chain(demote).chain([format!("docker node rm --force {name}")]).collect();
    let fix = format!("bring it back; if it is gone for good: {}", steps.join(", then "));
    Finding::wrong(format!("the node {name} is down"), fix)
}

async fn of_service(stack: &str, service: &Service, is_needed: bool, gone: &[String]) -> Result<Finding, Refused> {
    let Service { name, running, wanted } = service;
    if wanted == "0" && is_needed {
        let fix = format!("skep swarm up, or docker service scale {stack}_{name}=1");
        return Ok(Finding::wrong(format!("{name} {running}/{wanted}: somebody has stopped it"), fix));
    }
    // Swarm counts what ran on a node that is lost.
    let on = if gone.is_empty() { Vec::new() } else { services::nodes_of(stack, name).await? };
    let alive = on.iter().filter(|node| !gone.contains(node)).count();
    if let Some(node) = on.iter().find(|node| gone.contains(node))
        && alive < service.wanted_tasks()
    {
        return Ok(Finding::wrong(
            format!("{name} {running}/{wanted}, but one of them is on {node}, which is down"),
            format!("see there; docker service ps {stack}_{name} shows what Swarm makes of it"),
        ));
    }
    if service.is_complete() {
        return Ok(Finding::fine(format!("{name} {running}/{wanted}")));
    }
    if service.has_too_many() {
        let why = "Swarm counts those of a node that is down, or an update is under way";
        return Ok(Finding::note(format!("{name} {running}/{wanted}: {why}")));
    }
    Ok(match services::newest_error(stack, name).await {
        Some(error) => {
            Finding::wrong(format!("{name} {running}/{wanted}: {error}"), services::advice(stack, name, &error))
        }
        None => Finding::wrong(
            format!("{name} {running}/{wanted}: it is starting, or not healthy yet"),
            format!("wait a little; docker service ps {stack}_{name} shows its tasks"),
        ),
    })
}

fn of_update(stack: &str, name: &str, message: &str) -> Finding {
    let fix = format!("docker service ps --no-trunc {stack}_{name} shows why; fix it, then run skep swarm up again");
    Finding::wrong(format!("the last update of {name} failed, and the version before runs: {message}"), fix)
}

/// Functions that have fewer replicas than they should, or whose last update Swarm has taken back.
async fn of_functions(stack: &str) -> Result<Vec<Finding>, Refused> {
    let mut findings = Vec::new();
    for (name, update) in updates::of_functions().await? {
        if update.status.has_failed() {
            let what = format!("the last update of the function {name} failed: {}", update.status.message);
            let fix = format!("skep describe {name} says why; the version before runs until it is deployed again");
            findings.push(Finding::wrong(what, fix));
        }
    }
    for service in services::functions(stack).await? {
        if service.is_complete() || service.has_too_many() {
            continue;
        }
        let Service { name, running, wanted } = service;
        let error = services::newest_error_of(&name).await;
        let error = error.unwrap_or_else(|| "it is starting, or not healthy yet".to_owned());
        let fix = format!("skep describe {name} and skep logs {name} say more");
        findings.push(Finding::wrong(format!("function {name} {running}/{wanted}: {error}"), fix));
    }
    Ok(findings)
}
