//! What is deployed and where it can be reached: two keys of each function in the bucket `SKEP_FUNCTIONS`.
//!
//! A deploy, an update or scaling changes `spec.NAME`; replicas that come and go change `status.NAME`.
//! A function exists as long as its spec does.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Canary, CanaryStatus, FunctionDeployment, FunctionName, FunctionVersion, NameError};

/// What is wanted of a function: the value of `spec.NAME`; written only by the controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionSpec {
    #[serde(with = "shared")]
    pub deployment: Arc<FunctionDeployment>,
    /// Replicas that are wanted.
    pub replicas: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Until when the number of replicas is kept that a person has set.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub held_until: Option<OffsetDateTime>,
    /// Which version the deployment is; `None` if a skep wrote it that keeps no versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<FunctionVersion>,
    /// A new version beside it that takes a share of the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// What there is of a function: the value of `status.NAME`; written only by the controller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaStatus {
    /// Replicas that have answered, and only those.
    pub endpoints: Vec<Endpoint>,
    /// Why there are fewer replicas than are wanted, if there is anything to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The number of the last version that had all its replicas ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_version: Option<u64>,
    /// The number of the last version that answered a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_version: Option<u64>,
    /// Of the canary, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryStatus>,
}

/// One function in the registry: its spec and its status.
///
/// Older versions wrote it under the single key `NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionRecord {
    #[serde(with = "shared")]
    pub deployment: Arc<FunctionDeployment>,
    /// Replicas that are wanted.
    pub replicas: u64,
    /// Replicas that have answered, and only those.
    pub endpoints: Vec<Endpoint>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Why there are fewer replicas than are wanted, if there is anything to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// As in [`FunctionSpec`].
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub held_until: Option<OffsetDateTime>,
    /// As in [`FunctionSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<FunctionVersion>,
    /// As in [`ReplicaStatus`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_version: Option<u64>,
    /// As in [`ReplicaStatus`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_version: Option<u64>,
    /// As in [`FunctionSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// As in [`ReplicaStatus`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_status: Option<CanaryStatus>,
}

impl FunctionRecord {
    /// A function that has no replica yet.
    pub fn without_replicas(deployment: FunctionDeployment, replicas: u64, created_at: OffsetDateTime) -> Self {
        let deployment = deployment.into();
        let spec = FunctionSpec { deployment, replicas, created_at, held_until: None, version: None, canary: None };
        Self::new(spec, ReplicaStatus::default())
    }

    pub fn new(spec: FunctionSpec, status: ReplicaStatus) -> Self {
        let FunctionSpec { deployment, replicas, created_at, held_until, version, canary } = spec;
        let ReplicaStatus { endpoints, problem, ready_version, answered_version, canary: canary_status } = status;
        Self {
            deployment,
            replicas,
            endpoints,
            created_at,
            held_until,
            problem,
            version,
            ready_version,
            answered_version,
            canary_status: canary_status.filter(|status| number(canary.as_ref()) == Some(status.version)),
            canary,
        }
    }

    /// The number of its version.
    pub fn number(&self) -> Option<u64> {
        self.version.as_ref().map(|version| version.number)
    }

    pub fn spec(&self) -> FunctionSpec {
        let Self { replicas, created_at, held_until, .. } = *self;
        let (deployment, version, canary) = (Arc::clone(&self.deployment), self.version.clone(), self.canary.clone());
        FunctionSpec { deployment, replicas, created_at, held_until, version, canary }
    }

    pub fn status(&self) -> ReplicaStatus {
        let Self { ready_version, answered_version, .. } = *self;
        let (endpoints, problem, canary) = (self.endpoints.clone(), self.problem.clone(), self.canary_status.clone());
        ReplicaStatus { endpoints, problem, ready_version, answered_version, canary }
    }
}

/// The number of a canary's version.
fn number(canary: Option<&Canary>) -> Option<u64> {
    canary.map(|canary| canary.version.number)
}

/// One live replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The replica's name, as logs show it.
    pub instance: String,
    /// `address:port` of its watchdog.
    pub address: std::net::SocketAddr,
}

/// A key of a function in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryKey {
    Spec(FunctionName),
    Status(FunctionName),
    /// Spec and status under a single key, as older versions wrote them.
    Whole(FunctionName),
}

impl RegistryKey {
    pub fn parse(key: &str) -> Result<Self, NameError> {
        match key.split_once('.') {
            Some(("spec", name)) => name.parse().map(Self::Spec),
            Some(("status", name)) => name.parse().map(Self::Status),
            Some(_) | None => key.parse().map(Self::Whole),
        }
    }

    pub fn name(&self) -> &FunctionName {
        match self {
            Self::Spec(name) | Self::Status(name) | Self::Whole(name) => name,
        }
    }
}

impl std::fmt::Display for RegistryKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spec(name) => write!(formatter, "spec.{}", name.as_str()),
            Self::Status(name) => write!(formatter, "status.{}", name.as_str()),
            Self::Whole(name) => formatter.write_str(name.as_str()),
        }
    }
}

/// A shared value is written as the value itself.
pub(crate) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
        T::serialize(value, serializer)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(deserializer).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let name: FunctionName = "cat_dev".parse().unwrap();
        for (key, text) in [
            (RegistryKey::Spec(name.clone()), "spec.cat_dev"),
            (RegistryKey::Status(name.clone()), "status.cat_dev"),
            (RegistryKey::Whole(name), "cat_dev"),
            // A function may have such a name.
            (RegistryKey::Whole("spec".parse().unwrap()), "spec"),
        ] {
            assert_eq!(key.to_string(), text);
            assert_eq!(RegistryKey::parse(text).unwrap(), key);
        }
        for other in ["_controller", "spec.", "spec.a.b", "version.cat", "Cat"] {
            assert!(RegistryKey::parse(other).is_err(), "{other}");
        }
    }

    #[test]
    fn spec_and_status_make_up_the_record() {
        let text = r#"{"deployment":{"service":"a","image":"i"},"replicas":2,"createdAt":"1970-01-01T00:00:00Z",
            "heldUntil":"1970-01-01T00:10:00Z","endpoints":[{"instance":"a-1","address":"127.0.0.1:80"}],"problem":"one is missing",
            "version":{"number":3,"at":"1970-01-01T00:00:00Z","actor":"user admin","cause":"update"},"readyVersion":2}"#;
        let record: FunctionRecord = serde_json::from_str(text).unwrap();
        let spec: FunctionSpec = serde_json::from_str(&serde_json::to_string(&record.spec()).unwrap()).unwrap();
        let status: ReplicaStatus = serde_json::from_str(&serde_json::to_string(&record.status()).unwrap()).unwrap();
        assert_eq!(FunctionRecord::new(spec, status), record);
        assert_eq!(serde_json::to_value(record.status()).unwrap().as_object().unwrap().len(), 3, "no deployment");
    }
}
