//! `skep swarm adopt`: functions whose services are in the Swarm come back into a registry that has lost them.
//!
//! A service has all that was deployed except the values of its secrets. It is removed and deployed anew, because it belongs to a registry that is gone.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use skep_protocol::{FunctionDeployment, Resources, TIMEOUT};
use tokio::time::sleep;

use super::{
    docker::{Refused, docker},
    services::FUNCTIONS,
    stack::failed,
};
use crate::{
    args::SwarmAdoptArgs,
    client::adopt::Registry,
    failure::{Failure, Result},
    output,
};

const ANNOTATION: &str = "com.openfaas.annotations.";
/// Labels that skep and Docker add.
const ADDED: [&str; 4] = ["com.openfaas.function", "function", "faas_function", "skep."];
const SECRETS_FOLDER: &str = "/var/openfaas/secrets/";
const DEFAULT_CONSTRAINT: &str = "node.platform.os == linux";
/// Variables that skep adds.
const VARIABLES: [&str; 3] = ["OPENFAAS_NAME", "OPENFAAS_NAMESPACE", "SKEP_LOG_TAGS"];
/// Those that follow from the annotation of a time limit.
const TIMEOUTS: [&str; 3] = ["exec_timeout", "read_timeout", "write_timeout"];
/// A service is gone at once, and its name is free a moment later.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Spec {
    name: String,
    labels: BTreeMap<String, String>,
    task_template: Template,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Template {
    container_spec: Container,
    resources: Option<Amounts>,
    placement: Option<Placement>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    image: String,
    env: Vec<String>,
    read_only: bool,
    secrets: Vec<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Secret {
    file: Option<File>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct File {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Amounts {
    limits: Option<Amount>,
    reservations: Option<Amount>,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Amount {
    #[serde(rename = "NanoCPUs", default)]
    nano_cpus: u64,
    #[serde(rename = "MemoryBytes", default)]
    memory: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Placement {
    constraints: Vec<String>,
}

pub(crate) async fn run(args: SwarmAdoptArgs) -> Result<()> {
    let registry = Registry::new(args.client)?;
    let (mut adopted, mut left) = (0, 0);
    for (service, function) in functions().await.map_err(failed)? {
        if registry.knows(&function).await? {
            continue;
        }
        let missing = registry.missing_secrets(&function).await?;
        if !missing.is_empty() {
            let names = missing.join(" and ");
            output::line(format_args!("  left     {service}: set its secrets first: skep secret set {names}"));
            left += 1;
        } else if args.dry_run {
            output::line(format_args!("  would adopt {service}, from {}", function.image));
        } else {
            deploy(&registry, &service, &function).await?;
            output::line(format_args!("  adopted  {service}, from {}", function.image));
            adopted += 1;
        }
    }
    match (adopted, left, args.dry_run) {
        (_, 1.., _) => Err(Failure::setting(format!("{left} functions were left as they are, see above"))),
        (0, 0, false) => {
            output::line("there is no function that the gateway does not know");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The functions that the Swarm has, each with the name of its service.
async fn functions() -> std::result::Result<Vec<(String, FunctionDeployment)>, Refused> {
    let ids = docker(&["service", "ls", "--quiet", "--filter", FUNCTIONS, "--filter", "label=skep.function"]).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let inspect = ["service", "inspect", "--format", "{{json .Spec}}"];
    let specs = docker(&[&inspect[..], &ids.lines().collect::<Vec<_>>()].concat()).await?;
    Ok(specs.lines().filter_map(|line| serde_json::from_str(line).ok()).map(read).collect())
}

/// What was deployed, as far as its service has it.
fn read(spec: Spec) -> (String, FunctionDeployment) {
    let Template { container_spec: container, resources, placement } = spec.task_template;
    let mut variables: BTreeMap<String, String> = container
        .env
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.into(), value.into()))
        .collect();
    let namespace = variables.get("OPENFAAS_NAMESPACE").cloned().unwrap_or_default();
    let command = variables.remove("fprocess").unwrap_or_default();
    let annotations: BTreeMap<String, String> = spec
        .labels
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(ANNOTATION)?.to_owned(), value.clone())))
        .collect();
    variables.retain(|name, _| !VARIABLES.contains(&name.as_str()));
    if annotations.contains_key(TIMEOUT) {
        variables.retain(|name, _| !TIMEOUTS.contains(&name.as_str()));
    }
    let service = spec.labels.get("com.openfaas.function").cloned().unwrap_or_else(|| spec.name.clone());
    let is_own = |key: &String| key.starts_with(ANNOTATION) || ADDED.iter().any(|added| key.starts_with(added));
    let secrets = container.secrets.into_iter().filter_map(|secret| secret.file);
    let (limits, requests) = resources.map(|amounts| (amounts.limits, amounts.reservations)).unwrap_or_default();
    let function = FunctionDeployment {
        service,
        namespace,
        image: container.image,
        env_process: command,
        env_vars: variables,
        constraints: placement
            .unwrap_or_default()
            .constraints
            .into_iter()
            .filter(|one| one != DEFAULT_CONSTRAINT)
            .collect(),
        secrets: secrets.filter_map(|file| file.name.strip_prefix(SECRETS_FOLDER).map(str::to_owned)).collect(),
        labels: spec.labels.into_iter().filter(|(key, _)| !is_own(key)).collect(),
        annotations,
        limits: limits.and_then(amounts),
        requests: requests.and_then(amounts),
        read_only_root_filesystem: container.read_only,
        ..FunctionDeployment::default()
    };
    (spec.name, function)
}

fn amounts(amount: Amount) -> Option<Resources> {
    let mut resources = Resources::new();
    if amount.memory > 0 {
        resources.insert("memory".to_owned(), Some(amount.memory.to_string()));
    }
    if amount.nano_cpus > 0 {
        resources.insert("cpu".to_owned(), Some(format!("{}m", amount.nano_cpus / 1_000_000)));
    }
    Some(resources).filter(|resources| !resources.is_empty())
}

/// Removes a service, and deploys its function; if that fails, it says what is to be deployed by hand.
async fn deploy(registry: &Registry, service: &str, function: &FunctionDeployment) -> Result<()> {
    docker(&["service", "rm", service]).await.map_err(failed)?;
    let mut tries = 0;
    loop {
        tries += 1;
        match registry.deploy(function).await {
            Ok(()) => return Ok(()),
            Err(_) if tries < TRIES => sleep(PAUSE).await,
            Err(failure) => {
                output::line(format_args!("  to deploy {service} by hand, POST this to /system/functions:"));
                output::line(serde_json::to_string(function).map_err(Failure::internal)?);
                return Err(failure);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_says_what_was_deployed() {
        let spec = json!({
            "Name": "upper_dev",
            "Labels": {
                "com.openfaas.function": "upper", "function": "true", "skep.registry": "1", "skep.function": "upper_dev",
                "team": "bees", "com.openfaas.annotations.skep.timeout": "2m", "com.openfaas.annotations.topic": "x",
            },
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": "hive/upper:1", "ReadOnly": true,
                    "Env": ["fprocess=tr a-z A-Z", "MODE=a=b", "OPENFAAS_NAME=upper", "OPENFAAS_NAMESPACE=dev",
                            "SKEP_LOG_TAGS=true", "exec_timeout=2m", "read_timeout=2m1s"],
                    "Secrets": [{ "File": { "Name": "/var/openfaas/secrets/key" } }],
                },
                "Resources": { "Limits": { "MemoryBytes": 67_108_864, "Pids": 100 }, "Reservations": {} },
                "Placement": { "Constraints": ["node.platform.os == linux", "node.labels.gpu == yes"] },
            },
        });
        let (service, function) = read(serde_json::from_value(spec).unwrap());
        assert_eq!(service, "upper_dev");
        let deployed = serde_json::to_value(&function).unwrap();
        let expected = json!({
            "service": "upper", "namespace": "dev", "image": "hive/upper:1", "envProcess": "tr a-z A-Z",
            "envVars": { "MODE": "a=b" }, "constraints": ["node.labels.gpu == yes"], "secrets": ["key"],
            "labels": { "team": "bees" }, "annotations": { "skep.timeout": "2m", "topic": "x" },
            "limits": { "memory": "67108864" }, "readOnlyRootFilesystem": true,
        });
        assert_eq!(deployed, expected);
    }
}
