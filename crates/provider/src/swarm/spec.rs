//! A deployment as a Swarm service. This is a pure mapping: the same input gives the same service, so its tasks keep running.

use std::{collections::HashMap, time::Duration};

use bollard::models::{
    EndpointSpec, EndpointSpecModeEnum, Limit, Mount, MountType, NetworkAttachmentConfig, ResourceObject, ServiceSpec,
    ServiceSpecMode, ServiceSpecModeReplicated, ServiceSpecRollbackConfig, ServiceSpecRollbackConfigFailureActionEnum,
    ServiceSpecRollbackConfigOrderEnum, ServiceSpecUpdateConfig, ServiceSpecUpdateConfigFailureActionEnum,
    ServiceSpecUpdateConfigOrderEnum, TaskSpec, TaskSpecContainerSpec, TaskSpecContainerSpecFile,
    TaskSpecContainerSpecSecrets, TaskSpecPlacement, TaskSpecResources, TaskSpecRestartPolicy,
    TaskSpecRestartPolicyConditionEnum,
};
use skep_protocol::{
    FunctionDeployment, FunctionName, FunctionPolicy, PolicyDefaults, Resources, TIMEOUT, format_duration,
};

use crate::collector;

use super::{
    hardening::{self, Hardening},
    health, labels,
    resources::{MIN_MEMORY, memory, nano_cpus},
    secrets::SecretVersion,
};

/// Where a function's secrets are in its containers.
const SECRETS_FOLDER: &str = "/var/openfaas/secrets";
/// Most images are for Linux, so functions run there unless they say otherwise.
const DEFAULT_CONSTRAINT: &str = "node.platform.os == linux";
/// Between the end of a container and the start of the next one.
const RESTART_INTERVAL: Duration = Duration::from_secs(2);
/// A new task that ends within this time has failed, and the update is rolled back.
const MONITOR_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer than the longest call a container may take to stop.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The parts of a service that do not come from the deployment.
pub(super) struct Surroundings<'provider> {
    /// The id of the network on which the function's tasks are reached.
    pub(super) network: &'provider str,
    /// The secrets that the deployment names.
    pub(super) secrets: &'provider [SecretVersion],
    /// Which registry the service belongs to.
    pub(super) registry: &'provider str,
    pub(super) hardening: &'provider Hardening,
    /// The function's namespace, including the default one.
    pub(super) namespace: &'provider str,
    /// How long one call may run if the function does not say.
    pub(super) default_timeout: Duration,
    /// The collector of spans, for functions that ask for it.
    pub(super) collector: Option<&'provider str>,
}

impl<'provider> Surroundings<'provider> {
    /// Where the function's own spans go, if it asks for that.
    fn collector_of(&self, deployment: &FunctionDeployment) -> Option<&'provider str> {
        let policy = FunctionPolicy::of_deployed(deployment, &PolicyDefaults::default()).0;
        self.collector.filter(|_| policy.exports_spans)
    }
}

/// The service of a function, or why it cannot exist.
pub(super) fn service(
    name: &FunctionName,
    deployment: &FunctionDeployment,
    surroundings: &Surroundings<'_>,
) -> Result<ServiceSpec, String> {
    labels::check(&deployment.labels, &deployment.annotations)?;
    let fingerprint = fingerprint(deployment, surroundings);
    let labels = labels::of(name, deployment, surroundings.registry, &fingerprint);
    let network = NetworkAttachmentConfig { target: Some(surroundings.network.to_owned()), ..Default::default() };
    let constraints = match deployment.constraints.as_slice() {
        [] => vec![DEFAULT_CONSTRAINT.to_owned()],
        given => given.to_vec(),
    };
    constraints.iter().try_for_each(|constraint| check_constraint(constraint))?;
    Ok(ServiceSpec {
        name: Some(name.as_str().to_owned()),
        labels: Some(labels.clone()),
        task_template: Some(TaskSpec {
            container_spec: Some(container(name, deployment, surroundings, labels)?),
            resources: Some(resources(deployment, surroundings.hardening)?),
            log_driver: Some(hardening::bounded_log()),
            restart_policy: Some(TaskSpecRestartPolicy {
                condition: Some(TaskSpecRestartPolicyConditionEnum::ANY),
                delay: Some(nanoseconds(RESTART_INTERVAL)),
                ..Default::default()
            }),
            placement: Some(TaskSpecPlacement { constraints: Some(constraints), ..Default::default() }),
            networks: Some(vec![network]),
            ..Default::default()
        }),
        mode: Some(replicated(0)),
        update_config: Some(ServiceSpecUpdateConfig {
            parallelism: Some(1),
            order: Some(ServiceSpecUpdateConfigOrderEnum::START_FIRST),
            failure_action: Some(ServiceSpecUpdateConfigFailureActionEnum::ROLLBACK),
            monitor: Some(nanoseconds(MONITOR_TIMEOUT)),
            ..Default::default()
        }),
        rollback_config: Some(ServiceSpecRollbackConfig {
            parallelism: Some(1),
            order: Some(ServiceSpecRollbackConfigOrderEnum::START_FIRST),
            failure_action: Some(ServiceSpecRollbackConfigFailureActionEnum::PAUSE),
            ..Default::default()
        }),
        endpoint_spec: Some(EndpointSpec { mode: Some(EndpointSpecModeEnum::DNSRR), ports: None }),
        ..Default::default()
    })
}

/// Refuses what Swarm would not understand and would report as an internal error.
fn check_constraint(constraint: &str) -> Result<(), String> {
    let sides = constraint.split_once("==").or_else(|| constraint.split_once("!="));
    let is_key =
        |key: &str| key.len() > 1 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match sides {
        Some((key, value)) if is_key(key.trim()) && !value.trim().is_empty() => Ok(()),
        Some(_) | None => {
            Err(format!("constraint {constraint:?} is not like node.role == worker or node.labels.x != y"))
        }
    }
}

pub(super) fn replicated(replicas: u64) -> ServiceSpecMode {
    let replicas = Some(i64::try_from(replicas).unwrap_or(i64::MAX));
    ServiceSpecMode { replicated: Some(ServiceSpecModeReplicated { replicas }), ..Default::default() }
}

/// The fingerprint in a spec.
pub(super) fn fingerprint_in(spec: &ServiceSpec) -> String {
    let labels = spec.labels.as_ref();
    labels.and_then(|labels| labels.get(labels::FINGERPRINT)).cloned().unwrap_or_default()
}

/// Changes when the service must change, and stays the same from one version of skep to the next.
fn fingerprint(deployment: &FunctionDeployment, surroundings: &Surroundings<'_>) -> String {
    let mut text = serde_json::to_string(deployment).unwrap_or_default();
    let secrets = surroundings.secrets.iter().map(|secret| secret.id.as_str());
    let collector = surroundings.collector_of(deployment);
    let (timeout, hardening) = (format_duration(surroundings.default_timeout), surroundings.hardening.fingerprint());
    for part in
        [surroundings.network, surroundings.registry, &timeout, &hardening].into_iter().chain(secrets).chain(collector)
    {
        text.push('\0');
        text.push_str(part);
    }
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
}

fn container(
    name: &FunctionName,
    deployment: &FunctionDeployment,
    surroundings: &Surroundings<'_>,
    labels: HashMap<String, String>,
) -> Result<TaskSpecContainerSpec, String> {
    let read_only = deployment.read_only_root_filesystem;
    let defaults = PolicyDefaults { timeout: surroundings.default_timeout, ..Default::default() };
    let (policy, _) = FunctionPolicy::of_deployed(deployment, &defaults);
    let tmp = Mount { target: Some("/tmp".to_owned()), typ: Some(MountType::TMPFS), ..Default::default() };
    let owner = hardening::SecretsOwner::of(deployment)?;
    let secrets = surroundings.secrets.iter().map(|secret| TaskSpecContainerSpecSecrets {
        file: Some(TaskSpecContainerSpecFile {
            name: Some(format!("{SECRETS_FOLDER}/{}", secret.name)),
            uid: Some(owner.user.clone()),
            gid: Some(owner.group.clone()),
            mode: Some(owner.mode),
        }),
        secret_id: Some(secret.id.clone()),
        secret_name: Some(secret.docker_name.clone()),
    });
    Ok(TaskSpecContainerSpec {
        image: Some(deployment.image.clone()),
        labels: Some(labels),
        env: Some(environment(name, deployment, policy.own_timeout, surroundings)),
        read_only: Some(read_only),
        mounts: Some(if read_only { vec![tmp] } else { Vec::new() }),
        stop_grace_period: Some(nanoseconds(stop_grace(deployment, policy.timeout))),
        secrets: Some(secrets.collect()),
        health_check: health::check(deployment),
        capability_drop: Some(hardening::none()),
        capability_add: Some(surroundings.hardening.capabilities_of(deployment)?),
        privileges: Some(hardening::no_new_privileges()),
        ..Default::default()
    })
}

/// The function's own variables, and those that only the provider knows. A function without timeouts keeps the image's.
fn environment(
    name: &FunctionName,
    deployment: &FunctionDeployment,
    own_timeout: Option<Duration>,
    surroundings: &Surroundings<'_>,
) -> Vec<String> {
    let mut variables = deployment.env_vars.clone();
    if let Some(timeout) = own_timeout {
        // A function that its own timeout stops must still be able to send its answer.
        let longer = format_duration(timeout + Duration::from_secs(1));
        for setting in ["read_timeout", "write_timeout"] {
            variables.entry(setting.to_owned()).or_insert_with(|| longer.clone());
        }
        if deployment.annotations.contains_key(TIMEOUT) {
            // The function's only limit; every hop respects it.
            variables.insert("exec_timeout".to_owned(), format_duration(timeout));
        }
    }
    if !deployment.env_process.is_empty() {
        variables.remove("fprocess");
        // The other name of fprocess would override the command that was asked for.
        variables.remove("function_process");
    }
    variables.insert("OPENFAAS_NAME".to_owned(), deployment.service.clone());
    variables.insert("OPENFAAS_NAMESPACE".to_owned(), surroundings.namespace.to_owned());
    // So that each log line names its call. A function whose lines something else reads too may not want that.
    variables.entry("SKEP_LOG_TAGS".to_owned()).or_insert_with(|| "true".to_owned());
    if let Some(endpoint) = surroundings.collector_of(deployment) {
        collector::add(&mut variables, endpoint, name, surroundings.namespace);
    }
    let command = Some(&deployment.env_process).filter(|command| !command.is_empty());
    let command = command.map(|command| format!("fprocess={command}"));
    command.into_iter().chain(variables.into_iter().map(|(name, value)| format!("{name}={value}"))).collect()
}

/// A watchdog that is stopping takes calls for another `healthcheck_interval`, and each of them may run to its timeout.
fn stop_grace(deployment: &FunctionDeployment, timeout: Duration) -> Duration {
    let variable = |name: &str| deployment.env_vars.get(name).and_then(|text| skep_protocol::parse_duration(text).ok());
    let accepts = variable("healthcheck_interval").or_else(|| variable("write_timeout")).unwrap_or(timeout);
    accepts.saturating_add(timeout).saturating_add(STOP_MARGIN)
}

fn resources(deployment: &FunctionDeployment, hardening: &Hardening) -> Result<TaskSpecResources, String> {
    let limits = Amounts::read("limits", deployment.limits.as_ref())?;
    let requests = Amounts::read("requests", deployment.requests.as_ref())?;
    Ok(TaskSpecResources {
        limits: Some(Limit {
            nano_cpus: limits.nano_cpus,
            memory_bytes: limits.memory,
            pids: Some(hardening.processes),
        }),
        reservations: Some(ResourceObject {
            nano_cpus: requests.nano_cpus,
            memory_bytes: requests.memory,
            generic_resources: None,
        }),
        ..Default::default()
    })
}

/// The limits that are applied; devices (`nvidia.com/gpu`) are only reported.
#[derive(Default)]
struct Amounts {
    memory: Option<i64>,
    nano_cpus: Option<i64>,
}

impl Amounts {
    fn read(field: &str, resources: Option<&Resources>) -> Result<Self, String> {
        let text = |key: &str| {
            let text = resources.and_then(|resources| resources.get(key)).and_then(Option::as_deref);
            text.filter(|text| !text.is_empty())
        };
        let within = |reason: String| format!("{field}: {reason}");
        let bytes = text("memory").map(memory).transpose().map_err(within)?;
        Ok(Self {
            memory: bytes.map(|bytes| bytes.max(MIN_MEMORY)),
            nano_cpus: text("cpu").map(nano_cpus).transpose().map_err(within)?,
        })
    }
}

pub(super) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "spec/tests.rs"]
mod tests;
