//! How the engine and the controller find out whether a task can take calls.
//!
//! Swarm takes a task for started when its container runs, and ends the one that it replaces then.
//! In HTTP mode a container runs long before its program can serve, so such a service has a health check: until that is good the task is still starting, and if it never is, the update is taken back.

use std::time::Duration;

use bollard::models::HealthConfig;
use skep_protocol::FunctionDeployment;

use super::spec::nanoseconds;

/// All watchdogs that are compatible with OpenFaaS's know this path.
pub(super) const ALIVE: &str = "/_/health";
/// Only those that have an HTTP mode know this one; to others it is a call like any other.
const READY: &str = "/_/ready";

const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Engines from version 25 on ask more often until it is good for the first time.
const START_CHECK_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a program may take to become ready; as on one machine.
const START_TIMEOUT: Duration = Duration::from_secs(300);
const MAX_FAILURES: i64 = 3;

/// The path that tells whether a task of this function can take calls.
pub(super) fn path(deployment: &FunctionDeployment) -> &'static str {
    if speaks_http(deployment) { READY } else { ALIVE }
}

/// The health check of a function's service; without one that of the image counts.
pub(super) fn check(deployment: &FunctionDeployment) -> Option<HealthConfig> {
    speaks_http(deployment).then(|| HealthConfig {
        test: Some(["CMD", "fwatchdog", "--run-healthcheck"].map(str::to_owned).into()),
        interval: Some(nanoseconds(CHECK_INTERVAL)),
        timeout: Some(nanoseconds(CHECK_TIMEOUT)),
        retries: Some(MAX_FAILURES),
        start_period: Some(nanoseconds(START_TIMEOUT)),
        start_interval: Some(nanoseconds(START_CHECK_INTERVAL)),
    })
}

/// Whether the deployment says that the program speaks HTTP; what an image says by itself nobody can see here.
fn speaks_http(deployment: &FunctionDeployment) -> bool {
    let variable = |name: &str| deployment.env_vars.get(name).map(String::as_str).unwrap_or_default();
    variable("mode") == "http"
        || ["ready_path", "upstream_url", "http_upstream_url"].iter().any(|name| !variable(name).is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_whose_program_speaks_http_is_asked_for_the_program() {
        for (variable, value, expected) in [
            ("mode", "http", READY),
            ("ready_path", "/ready", READY),
            ("upstream_url", "http://127.0.0.1:5000", READY),
            ("mode", "streaming", ALIVE),
            ("upstream_url", "", ALIVE),
        ] {
            let env_vars = [(variable.to_owned(), value.to_owned())].into();
            let deployment = FunctionDeployment { env_vars, ..Default::default() };
            assert_eq!(path(&deployment), expected, "{variable}={value}");
            assert_eq!(check(&deployment).is_some(), expected == READY, "{variable}={value}");
        }
    }
}
