//! The settings of the controller: the provider, what local functions inherit, and the version.

use std::{collections::BTreeMap, time::Duration};

use prometheus::Registry;
use skep_controller::{Config as ControllerConfig, ControllerMetrics};
use skep_https::SigningKeys;
use skep_process::ProcessTag;
use skep_protocol::{CallId, VersionInfo};
use skep_provider::{Hardening, LocalConfig, NodesConfig, OwnImages, ProviderConfig, SwarmConfig};
use skep_sources::SealKey;
use tracing::warn;

use crate::{
    args::{CallArgs, ImagesKeepArgs, NodeArgs, ProviderArgs, SwarmArgs},
    failure::{Failure, Result, bad_setting},
    files::FileLimit,
    metrics::show_disk,
    sockets,
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
    collector: Option<String>,
) -> Result<ControllerConfig> {
    let watchdog = find_watchdog(args.watchdog.as_deref())?;
    show_disk(metrics, data_dir.path.clone())?;
    if args.sandbox {
        // Once for all functions, and not by each of their replicas.
        for gap in sandbox_gaps(&watchdog, &data_dir.path) {
            warn!("functions have a weaker sandbox: {gap}");
        }
    }
    let local = LocalConfig {
        watchdog,
        collector,
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
        autoscale: true,
        scale_from_zero: true,
        record_scaling: None,
        images_keep: None,
        metrics: registered(metrics)?,
    })
}

/// The images that skep keeps itself, if it does.
pub(crate) fn images(args: &ImagesKeepArgs, key: Option<&SealKey>) -> Result<Option<OwnImages>> {
    let Some(address) = args.at.images_address.clone() else { return Ok(None) };
    Ok(Some(OwnImages { address, login: sockets::images_login(key, "--images-address")? }))
}

pub(crate) fn swarm(
    args: &SwarmArgs,
    images: Option<OwnImages>,
    calls: &CallArgs,
    grace: Duration,
    metrics: &Registry,
    collector: Option<String>,
) -> Result<ControllerConfig> {
    let images_keep = images.as_ref().map(|_| args.images.images_keep);
    let swarm = SwarmConfig {
        docker_host: args.docker_host.clone(),
        function_network: args.function_network.clone().filter(|network| !network.is_empty()),
        hardening: Hardening { processes: args.function_processes, capabilities: args.function_capabilities.clone() },
        default_timeout: calls.upstream_timeout,
        collector,
        nodes: nodes(&args.nodes)?,
        images,
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
        autoscale: true,
        scale_from_zero: true,
        record_scaling: None,
        images_keep,
        metrics: registered(metrics)?,
    })
}

fn nodes(args: &NodeArgs) -> Result<Option<NodesConfig>> {
    let Some(hook) = args.node_hook.clone() else { return Ok(None) };
    let mut hook = hook.with_environment(inherited_environment());
    match &args.node_hook_key_file {
        Some(file) => {
            let keys = SigningKeys::read(file).map_err(|error| bad_setting("--node-hook-key-file", error))?;
            hook = hook.with_keys(keys);
        }
        None if hook.is_web() => {
            let reason = "is needed for an https:// address, so that its server knows who asks";
            return Err(bad_setting("--node-hook-key-file", reason));
        }
        None => {}
    }
    Ok(Some(NodesConfig { hook, max: args.nodes_max, start: args.node_start, idle: args.node_idle }))
}

fn registered(metrics: &Registry) -> Result<ControllerMetrics> {
    ControllerMetrics::register(metrics).map_err(Failure::internal)
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
