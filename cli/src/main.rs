//! The `skep` program: it reads its arguments and the environment, binds sockets, starts one or all roles, and drains them.

mod aliases;
mod args;
mod auth;
mod backup;
mod callbacks;
mod client;
mod connection;
mod controller;
mod dev;
mod doctor;
mod failure;
mod files;
mod guard;
mod healthcheck;
mod image_relay;
mod log_json;
mod metrics;
mod nats;
mod nats_program;
mod nats_users;
mod new;
mod output;
mod pages;
mod password;
mod roles;
mod seal;
mod signals;
mod sockets;
mod stack_file;
mod swarm;
mod telemetry;
mod terminal;
mod token;
mod traces;
mod up;

use std::{path::Path, process::ExitCode};

use clap::{FromArgMatches, parser::ValueSource};
use mimalloc::MiMalloc;
use skep_provider::WATCHDOG;

use crate::{
    args::{Cli, Command},
    dev::args::FolderCommand,
    failure::{Failure, Result},
};

/// Takes a tenth less time of the processor for a call than glibc's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What `skep dev` logs, unless it is said.
const WARNINGS: &str = "warn";

fn main() -> ExitCode {
    if is_started_as(WATCHDOG) {
        return skep_watchdog::program();
    }
    let matches = aliases::command().get_matches();
    let mut cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    if let Some(("dev", given)) = matches.subcommand()
        && given.value_source("log") == Some(ValueSource::DefaultValue)
    {
        // It shows calls, results and logs of functions; what skep itself does would hide them.
        WARNINGS.clone_into(&mut cli.log.log);
    }
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Whether this program was started by another name than its own.
fn is_started_as(name: &str) -> bool {
    std::env::args_os().next().is_some_and(|program| Path::new(&program).file_name().is_some_and(|last| last == name))
}

fn start(cli: Cli) -> Result<()> {
    if let Command::Guard(guard) = cli.command {
        return Err(guard::replace_this_process(&guard));
    }
    let shows_calls = matches!(cli.command, Command::Folder(FolderCommand::Dev(_)));
    telemetry::init(&cli.log, shows_calls)?;
    // The one provider of cryptography in this process; it can only be installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::internal)?;
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => Box::pin(up::run(*args)).await,
            Command::Gateway(args) => Box::pin(roles::gateway(*args)).await,
            Command::QueueWorker(args) => Box::pin(roles::queue_worker(*args)).await,
            Command::Controller(args) => Box::pin(roles::controller(*args)).await,
            Command::ImageRelay(args) => image_relay::run(args).await,
            Command::Swarm(command) => swarm::run(command).await,
            Command::Folder(command) => Box::pin(dev::run(command)).await,
            Command::Daily(command) => client::daily(command).await,
            Command::Login(args) => client::login::login(args).await,
            Command::Logout(args) => client::login::logout(args),
            Command::Context(command) => client::login::context(command),
            Command::Calls(command) => client::calls(command).await,
            Command::Dead(command) => client::dead(command).await,
            Command::Describe(args) => client::describe(args).await,
            Command::Sources(command) => Box::pin(client::sources(command)).await,
            Command::Audit(args) => client::audit(args).await,
            Command::AuditLog(args) => client::audit_log(args).await,
            Command::Backup(args) => Box::pin(backup::backup(args)).await,
            Command::Restore(args) => Box::pin(backup::restore(args)).await,
            Command::Token(command) => token::run(command),
            Command::NatsUsers(args) => {
                nats_users::print(&args);
                Ok(())
            }
            Command::Doctor(args) => doctor::run(args).await,
            Command::Completions(args) => pages::completions(&args),
            Command::Man(args) => pages::man(&args),
            Command::Healthcheck(args) => healthcheck::run(args).await,
            Command::Guard(_) => Ok(()),
            Command::RemoveVolumes(args) => swarm::volumes::remove_here(args).await,
        }
    });
    runtime.shutdown_background();
    ended
}
