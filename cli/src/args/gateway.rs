//! The settings of the gateway.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use skep_gateway::{TrustedProxies, UiMode};
use skep_protocol::{Pages, parse_size};

use super::{LimitArgs, SourcesArgs, TraceLinkArgs, values::host};

#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// The gateway listens here
    #[arg(long, env = "SKEP_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The admin API (/system and /ui) listens here and not where functions are called
    #[arg(long, env = "SKEP_ADMIN_API_LISTEN")]
    pub(crate) admin_api_listen: Option<SocketAddr>,
    /// Let everybody who reaches the gateway deploy functions: no authentication on an address that other machines reach
    #[arg(long, env = "SKEP_INSECURE_OPEN_ADMIN", num_args = 0..=1, default_missing_value = "true", default_value = "false")]
    pub(crate) insecure_open_admin: bool,
    /// Metrics and health listen here
    #[arg(long, env = "SKEP_ADMIN_LISTEN", default_value = "127.0.0.1:8082")]
    pub(crate) admin_listen: SocketAddr,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Ask for a user and a password on /system and /ui. skep up does by default, skep gateway does not
    #[arg(long, env = "SKEP_BASIC_AUTH", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) basic_auth: Option<bool>,
    /// The folder of the files basic-auth-user and basic-auth-password. By default skep up makes a password in the folder auth of its data folder, and skep gateway reads /run/secrets
    #[arg(long, env = "SKEP_SECRET_MOUNT_PATH", value_name = "FOLDER")]
    pub(crate) secret_mount_path: Option<PathBuf>,
    /// The file of tokens, as skep token writes it; it is read again when it changes. By default tokens.json beside the two basic auth files
    #[arg(long, env = "SKEP_TOKENS_FILE", value_name = "FILE")]
    pub(crate) tokens_file: Option<PathBuf>,
    /// Host names under which /system and /ui may be reached, separated by commas; by default, without authentication, only localhost, loopback addresses and the listen address
    #[arg(long, env = "SKEP_ALLOWED_HOSTS", value_delimiter = ',', value_parser = host)]
    pub(crate) allowed_hosts: Vec<String>,
    /// The web UI at /ui/: off, read (web pages change nothing) or full
    #[arg(long, env = "SKEP_UI", default_value = "full")]
    pub(crate) ui: UiMode,
    #[command(flatten)]
    pub(crate) trace_link: TraceLinkArgs,
    /// Proxies that are trusted to say where a call came from (X-Forwarded-…, X-Real-IP, Forwarded): addresses, networks, loopback and private, separated by commas, or none
    #[arg(long, env = "SKEP_TRUSTED_PROXIES", default_value = "loopback")]
    pub(crate) trusted_proxies: TrustedProxies,
    /// What answers of functions may do that a browser shows as pages, unless the annotation skep.pages says: sandboxed (scripts run, but without the gateway's origin) or trusted
    #[arg(long, env = "SKEP_FUNCTION_PAGES", default_value = "sandboxed")]
    pub(crate) function_pages: Pages,
    /// Show /metrics on the gateway's port too, to everybody
    #[arg(long, env = "SKEP_OPEN_METRICS", num_args = 0..=1, default_missing_value = "true", default_value = "false")]
    pub(crate) open_metrics: bool,
    /// The largest body of an asynchronous call
    #[arg(long, env = "SKEP_ASYNC_BODY_LIMIT", default_value = "1GiB", value_parser = parse_size)]
    pub(crate) async_body_limit: u64,
    /// Connections at once; further ones wait to be accepted. There are fewer if the limit of open files is low (ulimit -Hn): a call takes two
    #[arg(long, env = "SKEP_MAX_CONNECTIONS", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections: u32,
    #[command(flatten)]
    pub(crate) sources: SourcesArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Serve HTTPS with the certificate in this PEM file, the chain behind it; it is read again when it changes
    #[arg(long, env = "SKEP_TLS_CERT", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, env = "SKEP_TLS_KEY", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Route POST / with an Alexa request to the function of its intent
    #[arg(long, env = "SKEP_ALEXA_ROUTING", num_args = 0..=1, default_missing_value = "true", default_value = "false")]
    pub(crate) alexa_routing: bool,
}
