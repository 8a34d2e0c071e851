//! Other programs' names for settings, most of them OpenFaaS's: each is read where skep's own variable is not set.

use clap::CommandFactory;

use crate::args::Cli;

const ALIASES: [(&str, &str); 12] = [
    ("gateway", "OPENFAAS_URL"),
    ("nats_index", "PIP_INDEX_URL"),
    ("scale_from_zero", "scale_from_zero"),
    ("function_namespace", "function_namespace"),
    ("upstream_timeout", "upstream_timeout"),
    ("basic_auth", "basic_auth"),
    ("secret_mount_path", "secret_mount_path"),
    ("attempts", "max_retry_attempts"),
    ("retry_codes", "retry_http_codes"),
    ("retry_min_wait", "initial_retry_wait"),
    ("retry_max_wait", "max_retry_wait"),
    ("retry_backoff", "backoff"),
];

/// The command line, with the variables of others where skep's are absent.
pub(crate) fn command() -> clap::Command {
    with_aliases(Cli::command())
}

fn with_aliases(command: clap::Command) -> clap::Command {
    let mut command = command.mut_subcommands(with_aliases);
    for (setting, alias) in ALIASES {
        let own_is_set =
            std::env::vars_os().any(|(name, _)| name == format!("SKEP_{}", setting.to_uppercase()).as_str());
        if !own_is_set && command.get_arguments().any(|arg| arg.get_id() == setting) {
            let alias_is_set = std::env::vars_os().any(|(name, _)| name == alias);
            if alias_is_set {
                command = command.mut_arg(setting, |arg| arg.env(alias));
            }
        }
    }
    command
}
