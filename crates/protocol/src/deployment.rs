//! A function as it is asked for and as it is reported (contract: FunctionDeployment and FunctionStatus).

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;

use crate::{FunctionRecord, SCALE_MIN, parse_duration};

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

/// The annotation that sets how long one call may run; every hop derives its own limit from it.
pub const TIMEOUT: &str = "skep.timeout";
/// The annotation that makes a function ask its callers for a token.
pub const AUTH: &str = "skep.auth";
/// The annotation that sets how long the results of a function's calls are kept.
pub const RESULT_TTL: &str = "skep.result-ttl";
/// A call that comes again after a crash is known by its record, so records outlive that.
const MIN_RESULT_TTL: Duration = Duration::from_secs(300);
/// The annotation that sets the folder a local function runs in.
pub const WORKDIR: &str = "skep.workdir";
/// The annotation that lifts the sandbox of a local function: `off`.
pub const SANDBOX: &str = "skep.sandbox";

impl FunctionDeployment {
    /// Replicas at the start, from the label `com.openfaas.scale.min`; 1 without it, `Err` with the bad text.
    pub fn initial_replicas(&self) -> Result<u64, String> {
        let Some(text) = self.labels.get(SCALE_MIN) else {
            return Ok(1);
        };
        text.parse().map_err(|_| format!("label {SCALE_MIN} is {text:?}, not a whole number"))
    }

    /// How long one call may run: the annotation `skep.timeout`, else the variable `exec_timeout` unless it is 0.
    pub fn timeout(&self) -> Result<Option<Duration>, String> {
        if let Some(text) = self.annotations.get(TIMEOUT) {
            return match parse_duration(text) {
                Ok(timeout) if timeout.is_zero() => Err(format!("annotation {TIMEOUT} must be more than 0")),
                Ok(timeout) => Ok(Some(timeout)),
                Err(error) => Err(format!("annotation {TIMEOUT}: {error}")),
            };
        }
        let Some(text) = self.env_vars.get("exec_timeout") else {
            return Ok(None);
        };
        let timeout = parse_duration(text).map_err(|error| format!("variable exec_timeout: {error}"))?;
        Ok((!timeout.is_zero()).then_some(timeout))
    }

    /// How long results are kept, from the annotation `skep.result-ttl`; `None` is as long as the platform keeps them.
    pub fn result_ttl(&self) -> Result<Option<Duration>, String> {
        let Some(text) = self.annotations.get(RESULT_TTL) else { return Ok(None) };
        match parse_duration(text) {
            Ok(ttl) if ttl < MIN_RESULT_TTL => Err(format!("annotation {RESULT_TTL} must be 5m or more")),
            Ok(ttl) => Ok(Some(ttl)),
            Err(error) => Err(format!("annotation {RESULT_TTL}: {error}")),
        }
    }

    /// Whether a local function is kept in a sandbox: unless the annotation `skep.sandbox` is `off`.
    pub fn sandbox(&self) -> Result<bool, String> {
        match self.annotations.get(SANDBOX).map(String::as_str) {
            // A YAML file may say it without quotes.
            None | Some("on" | "true") => Ok(true),
            Some("off" | "false") => Ok(false),
            Some(other) => Err(format!("annotation {SANDBOX} is {other:?}, neither on nor off")),
        }
    }

    /// Whether callers need a token, from the annotation `skep.auth`: `required`, or `none` as without it.
    pub fn needs_token(&self) -> Result<bool, String> {
        match self.annotations.get(AUTH).map(String::as_str) {
            None | Some("none") => Ok(false),
            Some("required") => Ok(true),
            Some(other) => Err(format!("annotation {AUTH} is {other:?}: write required or none")),
        }
    }

    /// How many calls one replica takes at once, from the variable `max_inflight`; `None` is no limit.
    pub fn max_inflight(&self) -> Result<Option<usize>, String> {
        let Some(text) = self.env_vars.get("max_inflight") else {
            return Ok(None);
        };
        let limit: usize =
            text.parse().map_err(|_| format!("variable max_inflight is {text:?}, not a whole number"))?;
        Ok((limit > 0).then_some(limit))
    }
}

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
    /// Completed calls that this gateway has counted.
    pub invocation_count: f64,
    /// Replicas that are wanted.
    pub replicas: u64,
    /// Replicas that have answered.
    pub available_replicas: u64,
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
}

impl FunctionStatus {
    /// Reports a record; the labels that OpenFaaS clients look for are added.
    pub fn new(record: &FunctionRecord, invocation_count: f64) -> Self {
        let deployment = record.deployment.clone();
        let mut labels = deployment.labels;
        labels.insert("faas_function".to_owned(), deployment.service.clone());
        labels.insert("com.openfaas.function".to_owned(), deployment.service.clone());
        labels.insert("function".to_owned(), "true".to_owned());
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
            invocation_count,
            replicas: record.replicas,
            available_replicas: record.endpoints.len() as u64,
            queue_depth: None,
            queue_age_seconds: None,
            created_at: record.created_at,
            problem: record.problem.clone(),
        }
    }
}

pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
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
        let record = FunctionRecord {
            deployment: FunctionDeployment { service: "a".to_owned(), ..Default::default() },
            replicas: 1,
            endpoints: vec![],
            created_at: OffsetDateTime::UNIX_EPOCH,
            problem: None,
        };
        let status = serde_json::to_value(FunctionStatus::new(&record, 0.0)).unwrap();
        for absent in ["envVars", "constraints", "secrets", "requests", "limits"] {
            assert!(status.get(absent).is_none(), "{absent}");
        }
        assert_eq!(status["annotations"], serde_json::json!({}));
        assert_eq!(status["labels"]["faas_function"], "a");
    }

    #[test]
    fn numbers_in_labels_and_variables_are_checked() {
        let mut deployment = FunctionDeployment::default();
        assert_eq!(deployment.initial_replicas(), Ok(1));
        deployment.labels.insert(SCALE_MIN.to_owned(), "two".to_owned());
        assert!(deployment.initial_replicas().unwrap_err().contains(SCALE_MIN));
        deployment.env_vars.insert("max_inflight".to_owned(), "0".to_owned());
        assert_eq!(deployment.max_inflight(), Ok(None));
        for (ttl, is_good) in [("5m", true), ("299s", false), ("0", false), ("long", false)] {
            deployment.annotations.insert(RESULT_TTL.to_owned(), ttl.to_owned());
            assert_eq!(deployment.result_ttl().is_ok(), is_good, "{ttl}");
        }
        deployment.env_vars.insert("exec_timeout".to_owned(), "0s".to_owned());
        assert_eq!(deployment.timeout(), Ok(None));
    }
}
