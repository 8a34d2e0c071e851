//! What `skep doctor` sees from inside of the stack's containers on this node: the way to NATS from a role, the disk below NATS, and memory.

use super::{
    docker::{Refused, docker, docker_with_errors},
    finding::{self, Finding},
};

/// Roles that may be asked; each has the image of skep and the settings of its way to NATS.
const ROLES: [&str; 3] = ["gateway", "queue-worker", "controller"];
/// Percent of the memory that a container may have.
const HIGH: f64 = 80.0;

/// A container of the stack on this node.
struct Container {
    id: String,
    /// Without the name of the stack.
    service: String,
}

pub(crate) async fn look(stack: &str) -> Vec<Finding> {
    match findings(stack).await {
        Ok(findings) => findings,
        Err(Refused(said)) => vec![Finding::note(format!("the containers of this node cannot be asked: {said}"))],
    }
}

async fn findings(stack: &str) -> Result<Vec<Finding>, Refused> {
    let containers = containers(stack).await?;
    if containers.is_empty() {
        return Ok(vec![Finding::note(
            "nothing of the stack runs on this node; skep doctor sees more on one with a gateway",
        )]);
    }
    let mut findings = Vec::new();
    match ROLES.iter().find_map(|role| containers.iter().find(|container| container.service == *role)) {
        Some(Container { id, .. }) => findings.extend(nats(id).await?),
        None => findings.push(Finding::note("no role of skep runs on this node; run skep doctor on one that has one")),
    }
    for container in containers.iter().filter(|container| is_nats(&container.service)) {
        findings.extend(disk(stack, &container.service).await);
    }
    findings.extend(memory(&containers).await);
    Ok(findings)
}

fn is_nats(service: &str) -> bool {
    service == "nats" || service.starts_with("nats-")
}

async fn containers(stack: &str) -> Result<Vec<Container>, Refused> {
    let filter = format!("label=com.docker.stack.namespace={stack}");
    let format = "{{.ID}} {{.Label \"com.docker.swarm.service.name\"}}";
    let listed = docker(&["ps", "--filter", &filter, "--format", format]).await?;
    let container = |line: &str| {
        let (id, name) = line.split_once(' ')?;
        let service = name.strip_prefix(&format!("{stack}_"))?;
        Some(Container { id: id.to_owned(), service: service.to_owned() })
    };
    Ok(listed.lines().filter_map(container).collect())
}

/// Whether all streams are whole on three servers, as a role on this node sees it; `None` if there is none.
pub(crate) async fn are_streams_whole(stack: &str) -> Result<Option<bool>, Refused> {
    let containers = containers(stack).await?;
    let Some(role) = containers.iter().find(|container| ROLES.contains(&container.service.as_str())) else {
        return Ok(None);
    };
    let findings = nats(&role.id).await?;
    let are = |what: &str| what.contains("3 of 3 servers answer") && what.contains("; all ");
    Ok(Some(findings.iter().any(|finding| matches!(finding, Finding::Fine(what) | Finding::Note(what) if are(what)))))
}

/// What a role's container sees of NATS.
async fn nats(container: &str) -> Result<Vec<Finding>, Refused> {
    let said = docker_with_errors(&["exec", container, "/skep", "doctor", "--json", "--part", "nats"]).await?;
    Ok(finding::read(&said).unwrap_or_else(|| {
        vec![Finding::note(format!("the way to NATS was not measured: {}", said.lines().last().unwrap_or_default()))]
    }))
}

/// The disk below a NATS server, as a container that has its volume for a moment sees it.
async fn disk(stack: &str, service: &str) -> Vec<Finding> {
    let volume = format!("{stack}_{service}:/data");
    let image = format!("{stack}_controller");
    let image = docker(&["service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", &image]).await;
    let Ok(image) = image else { return Vec::new() };
    let run = "run --rm --network=none --user=0:0 --cap-drop=ALL --read-only --entrypoint=/skep";
    let run: Vec<&str> = run.split(' ').chain(["--volume", &volume, &image]).collect();
    let run = [&run[..], &["doctor", "--json", "--part", "disk", "--data-dir", "/data"]].concat();
    let said = docker_with_errors(&run).await.unwrap_or_else(|Refused(said)| said);
    let found = finding::read(&said).unwrap_or_else(|| {
        vec![Finding::note(format!("the disk of /data was not measured: {}", said.lines().last().unwrap_or_default()))]
    });
    found.into_iter().map(|finding| finding.map(|what| what.replace("/data", service))).collect()
}

/// Containers that use almost all of the memory that they may.
async fn memory(containers: &[Container]) -> Vec<Finding> {
    let ids: Vec<&str> = containers.iter().map(|container| container.id.as_str()).collect();
    let stats = ["stats", "--no-stream", "--format", "{{.ID}} {{.MemPerc}}"];
    let Ok(said) = docker(&[&stats[..], &ids].concat()).await else { return Vec::new() };
    let used = |line: &str| {
        let (id, percent) = line.split_once(' ')?;
        let percent: f64 = percent.trim_end_matches('%').parse().ok()?;
        let container = containers.iter().find(|container| container.id == id)?;
        Some((container.service.as_str(), percent))
    };
    let mut high: Vec<Finding> = Vec::new();
    let all: Vec<(&str, f64)> = said.lines().filter_map(used).collect();
    for (service, percent) in all.iter().filter(|(_, percent)| *percent >= HIGH) {
        let fix = "beyond it, it is killed and starts again; raise its limit in the stack file";
        high.push(Finding::note(format!("{service} uses {percent:.0} % of its memory: {fix}")));
    }
    let most = all.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1));
    match most.filter(|_| high.is_empty()) {
        Some((service, percent)) => {
            vec![Finding::fine(format!("memory on this node: {service} uses most of its own, {percent:.0} %"))]
        }
        None => high,
    }
}
