//! How the engine and the controller find out whether a task can take calls.
//!
//! Swarm counts a task as started when its container runs, and then stops the one that it replaces.
//! In HTTP mode a container runs long before its program can serve, so such a service has a health check: until it passes, the task is still starting, and if it never passes, the update is rolled back.

use std::time::Duration;

use bollard::models::HealthConfig;
use skep_protocol::FunctionDeployment;

use super::spec::nanoseconds;

/// All watchdogs that are compatible with OpenFaaS's know this path.
pub(super) const ALIVE: &str = "/_/health";
/// Only watchdogs with an HTTP mode know this path; for others it is an ordinary call.
const READY: &str = "/_/ready";

const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// From version 25 on, engines check more often until the first success.
const START_CHECK_INTERVAL: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a program may take to become ready; the same as with the local provider.
const START_TIMEOUT: Duration = Duration::from_secs(300);
const MAX_FAILURES: i64 = 3;

/// The path that tells whether a task of this function can take calls.
pub(super) fn path(deployment: &FunctionDeployment) -> &'static str {
    if speaks_http(deployment) { READY } else { ALIVE }
}

/// The health check of a function's service; without one, the image's own applies.
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

/// Whether the deployment says that the program speaks HTTP; the image's own settings are not visible here.
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
