//! What is deployed and where it can be reached: the value of one key in the bucket `SKEP_FUNCTIONS`.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::FunctionDeployment;

/// One function in the registry; written only by the controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionRecord {
    pub deployment: FunctionDeployment,
    /// Replicas that are wanted.
    pub replicas: u64,
    /// Replicas that have answered, and only those.
    pub endpoints: Vec<Endpoint>,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Why there are fewer replicas than are wanted, if there is anything to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
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
