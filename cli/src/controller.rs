//! The settings of the controller: the provider, what local functions inherit, and the version.

use std::{collections::BTreeMap, time::Duration};

use prometheus::Registry;
use skep_controller::{Config as ControllerConfig, ControllerMetrics};
use skep_process::ProcessTag;
use skep_protocol::{CallId, VersionInfo};
use skep_provider::{Hardening, LocalConfig, ProviderConfig, SwarmConfig};
use tracing::warn;

use crate::{
    args::{CallArgs, ProviderArgs, SwarmArgs},
    failure::{Failure, Result},
    files::FileLimit,
    up::surroundings::{DataDir, find_watchdog, sandbox_gaps},
};

/// What functions of this machine inherit from the environment of skep, beside all `LC_…`.
const INHERITED: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TMPDIR", "TZ"];

/// What functions of this machine inherit.
pub(crate) fn inherited_environment() -> BTreeMap<String, String> {
    let is_inherited = |name: &str| INHERITED.contains(&name) || name.starts_with("LC_");
    environment().into_iter().filter(|(name, _)| is_inherited(name)).collect()
}

/// All variables that are text.
pub(crate) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

pub(crate) fn local(
    args: &ProviderArgs,
    data_dir: &DataDir,
    calls: &CallArgs,
    grace: Duration,
    files: &FileLimit,
    metrics: &Registry,
) -> Result<ControllerConfig> {
    let watchdog = find_watchdog(args.watchdog.as_deref())?;
    if args.sandbox {
        // Once for all functions, and not by each of their replicas.
        for gap in sandbox_gaps(&watchdog, &data_dir.path) {
            warn!("functions have a weaker sandbox: {gap}");
        }
    }
    let local = LocalConfig {
        watchdog,
        sandbox: args.sandbox,
        data_dir: data_dir.path.clone(),
        default_timeout: calls.upstream_timeout,
        environment: inherited_environment(),
        file_limit: files.given(),
        process_tag: ProcessTag::new(environment().get(ProcessTag::VARIABLE).map(String::as_str)),
    };
    // The directory is locked, so the process that had this name has ended.
    let holder = format!("{} {}", host(), data_dir.path.display());
    Ok(ControllerConfig {
        version: VersionInfo::of_this_build(),
        grace,
        holder,
        provider: ProviderConfig::Local(local),
        audit: None,
        schedules: None,
        seal_key: None,
        public_url: None,
        metrics: registered(metrics)?,
    })
}

pub(crate) fn swarm(
    args: &SwarmArgs,
    calls: &CallArgs,
    grace: Duration,
    metrics: &Registry,
) -> Result<ControllerConfig> {
    let swarm = SwarmConfig {
        docker_host: args.docker_host.clone(),
        function_network: args.function_network.clone().filter(|network| !network.is_empty()),
        hardening: Hardening { processes: args.function_processes, capabilities: args.function_capabilities.clone() },
        default_timeout: calls.upstream_timeout,
    };
    let holder = format!("{} {}", host(), CallId::generate());
    let provider = ProviderConfig::Swarm(swarm);
    Ok(ControllerConfig {
        version: VersionInfo::of_this_build(),
        grace,
        holder,
        provider,
        audit: None,
        schedules: None,
        seal_key: None,
        public_url: None,
        metrics: registered(metrics)?,
    })
}

fn registered(metrics: &Registry) -> Result<ControllerMetrics> {
    ControllerMetrics::register(metrics).map_err(Failure::internal)
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
