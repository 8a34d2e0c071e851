//! The labels by which skep finds its services and their tasks.

use std::collections::{BTreeMap, HashMap};

use skep_protocol::{FunctionDeployment, FunctionName};

/// Which registry a service belongs to: several skeps can share a Swarm.
pub(super) const REGISTRY: &str = "skep.registry";
/// The function's name in the registry.
pub(super) const FUNCTION: &str = "skep.function";
/// A fingerprint of the service's spec; another value means another service.
pub(super) const FINGERPRINT: &str = "skep.fingerprint";
/// The prefix of an annotation's name.
const ANNOTATION: &str = "com.openfaas.annotations.";

/// All labels of a function's service; its containers have them too.
pub(super) fn of(
    name: &FunctionName,
    deployment: &FunctionDeployment,
    registry: &str,
    fingerprint: &str,
) -> HashMap<String, String> {
    let mut labels: HashMap<String, String> = deployment.labels.clone().into_iter().collect();
    for (key, value) in &deployment.annotations {
        labels.insert(format!("{ANNOTATION}{key}"), value.clone());
    }
    for (key, value) in [
        ("com.openfaas.function", deployment.service.as_str()),
        ("function", "true"),
        (REGISTRY, registry),
        (FUNCTION, name.as_str()),
        (FINGERPRINT, fingerprint),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

/// Refuses labels that would collide with skep's own.
pub(super) fn check(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Result<(), String> {
    for (prefix, whose) in [("skep.", "skep's"), ("com.docker.", "Docker's")] {
        if let Some(reserved) = labels.keys().find(|key| key.starts_with(prefix)) {
            return Err(format!("label {reserved} is {whose} own"));
        }
    }
    let clash = |key: &&String| labels.contains_key(&format!("{ANNOTATION}{key}"));
    match annotations.keys().find(clash) {
        Some(key) => Err(format!("annotation {key} and label {ANNOTATION}{key} are the same label of the service")),
        None => Ok(()),
    }
}
