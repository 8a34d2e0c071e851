//! Secrets in Docker. Docker cannot change a secret, so each value is a version of its own: `NAME-v2`.

use std::collections::{BTreeSet, HashMap};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bollard::models::SecretSpec;
use skep_protocol::Secret;

use crate::{Error, secret_value};

use super::engine::{Engine, EngineError};

/// The registry that a secret belongs to, with its name, namespace and version.
const REGISTRY: &str = "skep.registry";
const NAME: &str = "skep.secret";
const NAMESPACE: &str = "skep.namespace";
const VERSION: &str = "skep.version";
/// `skep swarm down --volumes` finds the secrets of its stack by this label.
const NETWORK: &str = "skep.network";

/// The longest name of a secret that Docker accepts, less what a version adds.
const MAX_NAME: usize = 56;
const MAX_VALUE: usize = 500 * 1024;

/// One value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretVersion {
    pub(super) id: String,
    pub(super) docker_name: String,
    pub(super) name: String,
    pub(super) namespace: String,
    version: u64,
}

/// All values of all secrets, the newest last.
pub(super) struct SecretVersions(Vec<SecretVersion>);

impl SecretVersions {
    pub(super) async fn read(engine: &Engine, registry: &str) -> Result<Self, EngineError> {
        let found = engine.secrets(&format!("{REGISTRY}={registry}")).await?;
        let version = |secret: bollard::models::Secret| {
            let spec = secret.spec?;
            let labels = spec.labels?;
            Some(SecretVersion {
                id: secret.id?,
                docker_name: spec.name?,
                name: labels.get(NAME)?.clone(),
                namespace: labels.get(NAMESPACE).cloned().unwrap_or_default(),
                version: labels.get(VERSION)?.parse().ok()?,
            })
        };
        let mut versions: Vec<SecretVersion> = found.into_iter().filter_map(version).collect();
        versions.sort_by_key(|secret| secret.version);
        Ok(Self(versions))
    }

    pub(super) fn newest(&self, name: &str, namespace: &str) -> Option<&SecretVersion> {
        self.0.iter().rfind(|secret| secret.name == name && secret.namespace == namespace)
    }

    /// The secrets that a function names, or the first one that is missing.
    pub(super) fn of_function<'name>(
        &self,
        names: &'name [String],
        namespace: &str,
    ) -> Result<Vec<SecretVersion>, &'name str> {
        names.iter().map(|name| self.newest(name, namespace).cloned().ok_or(name.as_str())).collect()
    }

    /// Each secret of a namespace once, without its value.
    pub(super) fn listed(&self, namespace: &str) -> Vec<Secret> {
        let inside = self.0.iter().filter(|secret| secret.namespace == namespace);
        let names: BTreeSet<&str> = inside.map(|secret| secret.name.as_str()).collect();
        names.into_iter().map(|name| Secret { name: name.to_owned(), ..Secret::default() }).collect()
    }

    pub(super) fn all_of(&self, name: &str, namespace: &str) -> impl Iterator<Item = &SecretVersion> {
        self.0.iter().filter(move |secret| secret.name == name && secret.namespace == namespace)
    }

    /// Versions that a newer one has replaced.
    pub(super) fn outdated(&self) -> impl Iterator<Item = &SecretVersion> {
        self.0.iter().filter(|secret| self.newest(&secret.name, &secret.namespace) != Some(secret))
    }
}

/// Stores a value as the next version of a secret.
pub(super) async fn add(
    engine: &Engine,
    (registry, network): (&str, &str),
    secret: &Secret,
    versions: &SecretVersions,
) -> crate::Result<()> {
    let value = secret_value::read(secret)?;
    if secret.name.len() + secret.namespace.len() > MAX_NAME
        || !secret.name.starts_with(|first: char| first.is_ascii_alphanumeric())
    {
        return Err(Error::Invalid(format!(
            "secret name {:?} is not valid on a Swarm: begin with a letter or a digit, \
             and use at most {MAX_NAME} characters with the namespace",
            secret.name
        )));
    }
    if value.len() > MAX_VALUE {
        return Err(Error::Invalid(format!(
            "secret {} is larger than 500 KiB, the most that a Swarm keeps",
            secret.name
        )));
    }
    let base =
        if secret.namespace.is_empty() { secret.name.clone() } else { format!("{}_{}", secret.name, secret.namespace) };
    let mut version = versions.newest(&secret.name, &secret.namespace).map_or(1, |newest| newest.version + 1);
    loop {
        let labels = [
            (REGISTRY, registry.to_owned()),
            (NAME, secret.name.clone()),
            (NAMESPACE, secret.namespace.clone()),
            (VERSION, version.to_string()),
            (NETWORK, network.to_owned()),
        ];
        let spec = SecretSpec {
            name: Some(format!("{base}-v{version}")),
            labels: Some(labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<HashMap<_, _>>()),
            data: Some(BASE64_STANDARD.encode(&value)),
            ..Default::default()
        };
        match engine.create_secret(spec).await {
            // A secret that is not skep's has this name.
            Err(EngineError::Refused { status: 409, .. }) if version < 10_000 => version += 1,
            created => return Ok(created?),
        }
    }
}

#[cfg(test)]
impl SecretVersion {
    pub(super) fn example(name: &str, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            docker_name: format!("{name}-v1"),
            name: name.to_owned(),
            namespace: String::new(),
            version: 1,
        }
    }
}
