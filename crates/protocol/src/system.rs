//! The other bodies of the system API of OpenFaaS.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Durability, FunctionName, deployment::null_is_default};

/// `DELETE /system/functions`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteFunction {
    #[serde(default, deserialize_with = "null_is_default")]
    pub function_name: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// `POST /system/scale-function/NAME`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleFunction {
    #[serde(default, deserialize_with = "null_is_default")]
    pub service_name: String,
    /// Replicas that are wanted; 0 is allowed.
    pub replicas: u64,
    /// How long they are kept although the use of the function would change them, such as `10m`; empty: as long as usual.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub hold: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub namespace: String,
}

/// `/system/secrets`; a list never carries values.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Base64 of the bytes; counts when `value` is empty.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub raw_value: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VersionInfo {
    pub commit_message: String,
    pub sha: String,
    pub release: String,
}

impl VersionInfo {
    /// The version of this build.
    pub fn of_this_build() -> Self {
        Self { commit_message: String::new(), sha: COMMIT.to_owned(), release: VERSION.to_owned() }
    }
}

/// The release of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit of this build, if `SKEP_COMMIT` named it at build time.
const COMMIT: &str = match option_env!("SKEP_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// What runs the functions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProviderInfo {
    pub provider: String,
    pub orchestration: String,
    pub version: VersionInfo,
    /// The gateways and queue-workers that the controller knows of.
    #[serde(default)]
    pub parts: Vec<Parts>,
}

/// The role and the build of a gateway or a queue-worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// `gateway`, `queue-worker`, or `all` for a `skep up`.
    pub role: String,
    pub release: String,
    pub sha: String,
}

impl Part {
    /// A part of this build.
    pub fn of_this_build(role: &str) -> Self {
        let VersionInfo { sha, release, .. } = VersionInfo::of_this_build();
        Self { role: role.to_owned(), release, sha }
    }
}

/// Parts with the same role and build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    #[serde(flatten)]
    pub part: Part,
    pub count: u64,
}

/// `GET /system/info`; `provider` is null while the controller is away.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GatewayInfo {
    pub provider: Option<ProviderInfo>,
    pub version: VersionInfo,
    pub arch: String,
    /// What an accepted call survives.
    pub durability: Durability,
    /// Who asks; always there in answers of this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerInfo>,
    /// What web pages may do here: `off`, `read` or `full`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ui: Option<String>,
    /// Where traces can be seen; `{traceId}` stands for the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_url: Option<String>,
    /// When the certificate of the gateway that answers runs out, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub certificate_ends_at: Option<OffsetDateTime>,
}

/// What a gateway knows of who asks it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerInfo {
    /// As the audit log has it.
    pub name: String,
    /// `read`, `invoke`, `deploy` or `admin`.
    pub role: String,
    /// Those that it is limited to; empty for all.
    pub namespaces: Vec<String>,
}

/// One line of a function's log, one JSON object a line on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    pub name: String,
    #[serde(default)]
    pub namespace: String,
    pub instance: String,
    #[serde(with = "time::serde::rfc3339")]
    pub timestamp: OffsetDateTime,
    /// The call that it is of, where that is known: of a process that runs for one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// `stdout` or `stderr`, of what a function writes; missing in lines of its watchdog.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    pub text: String,
}

/// Asks the controller for the past lines of a function's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogQuery {
    pub function: FunctionName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The number of last lines; if missing, all that are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<usize>,
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub since: Option<OffsetDateTime>,
    /// The caller subscribes to new lines; it asks again within a minute to go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follow: bool,
}
