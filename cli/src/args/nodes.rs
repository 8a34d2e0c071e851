//! The settings of machines that come and go.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use skep_provider::NodeHook;

use super::values::duration;

#[derive(Clone, Debug, Args)]
pub(crate) struct NodeArgs {
    /// What adds and removes machines: a program, such as exec:/usr/local/bin/machines, or the HTTPS address of a server. It is called when tasks wait for resources, and when a machine that it has made has been idle
    #[arg(long, env = "SKEP_NODE_HOOK")]
    pub(crate) node_hook: Option<NodeHook>,
    /// Sign requests to such a server (Standard Webhooks) with the keys in this file, one whsec_… a line
    #[arg(long, env = "SKEP_NODE_HOOK_KEY_FILE")]
    pub(crate) node_hook_key_file: Option<PathBuf>,
    /// The most machines that the hook may have made at once
    #[arg(long, env = "SKEP_NODES_MAX", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) nodes_max: u32,
    /// How long a machine may take until it has joined; until then, the same shortage adds no more
    #[arg(long, env = "SKEP_NODE_START", default_value = "5m", value_parser = duration)]
    pub(crate) node_start: Duration,
    /// How long a machine that the hook has made must be idle before it is removed
    #[arg(long, env = "SKEP_NODE_IDLE", default_value = "10m", value_parser = duration)]
    pub(crate) node_idle: Duration,
}
