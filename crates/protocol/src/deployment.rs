//! A function as it is asked for and as it is reported (contract: FunctionDeployment and FunctionStatus).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;

use crate::{CanaryOverview, FunctionRecord, FunctionVersion, ScalingStatus};

/// What `POST` and `PUT /system/functions` carry; every optional field may also be `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionDeployment {
    /// The function's name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub service: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub image: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The command that the watchdog runs.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub env_process: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub env_vars: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Resources>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Resources>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_false")]
    pub read_only_root_filesystem: bool,
    /// Base64 of `user:password` for the image's registry; never reported back.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub registry_auth: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub network: String,
}

/// Memory, CPU and devices, reported exactly as they were sent.
pub type Resources = BTreeMap<String, Option<String>>;

/// The annotation that sets the folder a local function runs in.
pub const WORKDIR: &str = "skep.workdir";

/// A function as `GET /system/functions` reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionStatus {
    pub name: String,
    pub image: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub env_process: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_vars: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Resources>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Resources>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only_root_filesystem: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// Completed calls that this gateway has counted.
    pub invocation_count: f64,
    /// Replicas that are wanted.
    pub replicas: u64,
    /// Replicas that have answered.
    pub available_replicas: u64,
    /// Their names, as logs show them. After an update they are others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<String>,
    /// Queued calls that nobody has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_depth: Option<u64>,
    /// For how many seconds the first of them waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_age_seconds: Option<f64>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Why there are fewer replicas than are wanted, if there is anything to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Which version it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<FunctionVersion>,
    /// The number of the last version that had all its replicas ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_version: Option<u64>,
    /// The new version beside it that takes a share of the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryOverview>,
    /// How it is scaled, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<ScalingStatus>,
}

impl FunctionStatus {
    /// Reports a record; the labels that OpenFaaS clients look for are added.
    pub fn new(record: &FunctionRecord, invocation_count: f64) -> Self {
        let deployment = FunctionDeployment::clone(&record.deployment);
        let mut labels = deployment.labels;
        labels.extend(added_labels(&deployment.service));
        Self {
            name: deployment.service,
            image: deployment.image,
            namespace: deployment.namespace,
            env_process: deployment.env_process,
            env_vars: deployment.env_vars,
            constraints: deployment.constraints,
            secrets: deployment.secrets,
            labels,
            annotations: deployment.annotations,
            limits: deployment.limits,
            requests: deployment.requests,
            read_only_root_filesystem: deployment.read_only_root_filesystem,
            network: deployment.network,
            invocation_count,
            replicas: record.replicas,
            available_replicas: record.endpoints.len() as u64,
            instances: record.endpoints.iter().map(|endpoint| endpoint.instance.clone()).collect(),
            queue_depth: None,
            queue_age_seconds: None,
            created_at: record.created_at,
            problem: record.problem.clone(),
            version: record.version.clone(),
            ready_version: record.ready_version,
            canary: CanaryOverview::of(record),
            scaling: None,
        }
    }

    /// What was deployed, as far as it is reported: the credentials of the registry are not.
    pub fn deployment(&self) -> FunctionDeployment {
        let mut labels = self.labels.clone();
        for (name, value) in added_labels(&self.name) {
            if labels.get(&name) == Some(&value) {
                labels.remove(&name);
            }
        }
        FunctionDeployment {
            service: self.name.clone(),
            image: self.image.clone(),
            namespace: self.namespace.clone(),
            env_process: self.env_process.clone(),
            env_vars: self.env_vars.clone(),
            constraints: self.constraints.clone(),
            secrets: self.secrets.clone(),
            labels,
            annotations: self.annotations.clone(),
            limits: self.limits.clone(),
            requests: self.requests.clone(),
            read_only_root_filesystem: self.read_only_root_filesystem,
            registry_auth: String::new(),
            network: self.network.clone(),
        }
    }
}

/// The labels that OpenFaaS clients look for.
fn added_labels(service: &str) -> [(String, String); 3] {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    [label("faas_function", service), label("com.openfaas.function", service), label("function", "true")]
}

pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
pub(crate) fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_accepted_for_every_optional_field() {
        let text = r#"{"service":"a","image":null,"namespace":null,"envProcess":null,"envVars":null,
            "constraints":null,"secrets":null,"labels":null,"annotations":null,"limits":null,"requests":null,
            "readOnlyRootFilesystem":null,"registryAuth":null,"network":null,"somethingNew":1}"#;
        let expected = FunctionDeployment { service: "a".to_owned(), ..Default::default() };
        assert_eq!(serde_json::from_str::<FunctionDeployment>(text).unwrap(), expected);
    }

    #[test]
    fn what_was_not_asked_for_is_not_reported() {
        let deployment = FunctionDeployment { service: "a".to_owned(), ..Default::default() };
        let record = FunctionRecord::without_replicas(deployment, 1, OffsetDateTime::UNIX_EPOCH);
        let status = serde_json::to_value(FunctionStatus::new(&record, 0.0)).unwrap();
        for absent in ["envVars", "constraints", "secrets", "requests", "limits", "network", "instances"] {
            assert!(status.get(absent).is_none(), "{absent}");
        }
        assert_eq!(status["annotations"], serde_json::json!({}));
        assert_eq!(status["labels"]["faas_function"], "a");
    }

    #[test]
    fn a_report_holds_what_was_deployed() {
        let labels = [("tier".to_owned(), "one".to_owned()), ("function".to_owned(), "mine".to_owned())].into();
        let (service, network) = ("a".to_owned(), "hive".to_owned());
        let deployment = FunctionDeployment { service, network, labels, ..Default::default() };
        let record = FunctionRecord::without_replicas(deployment.clone(), 1, OffsetDateTime::UNIX_EPOCH);
        let mut expected = deployment;
        // skep reports its own value of this label.
        expected.labels.remove("function");
        assert_eq!(FunctionStatus::new(&record, 0.0).deployment(), expected);
    }
}
