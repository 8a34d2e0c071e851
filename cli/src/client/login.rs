//! `skep login`, `skep logout` and `skep context`: gateways and passwords that need not be named each time.

use std::io::{self, IsTerminal};

use clap::{ArgGroup, Args, Subcommand};
use reqwest::Url;
use serde_json::json;

use super::{
    api::Api,
    args::gateway,
    contexts::{Context, Contexts, name_of},
    print_json, table,
    target::{self, Target, is_loopback},
};
use crate::{
    failure::{Failure, Result},
    output,
    password::USER,
    terminal,
};

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// The gateway to log in to; OPENFAAS_URL counts where SKEP_GATEWAY is not set [default: http://127.0.0.1:8080]
    #[arg(short, long, env = "SKEP_GATEWAY", value_name = "URL", value_parser = gateway)]
    gateway: Option<Url>,
    /// Who logs in; any name where the password is a token
    #[arg(short, long, env = "SKEP_USER", default_value = USER)]
    user: String,
    /// Read the password, or a token, from STDIN; without this and --password-file you are asked for it
    #[arg(short = 's', long)]
    password_stdin: bool,
    /// A file with the password, or a token
    #[arg(long, env = "SKEP_PASSWORD_FILE", conflicts_with = "password_stdin")]
    password_file: Option<std::path::PathBuf>,
    /// The name of the context; by default the gateway's host and port
    #[arg(long)]
    name: Option<String>,
}

pub(crate) const LOGIN_EXAMPLES: &str = "Examples:
  skep login -g https://faas.example.com
  skep login --password-stdin < .skep/auth/basic-auth-password
  skep login -g https://faas.example.com -u ci --password-stdin < token.txt

The login is kept in $XDG_CONFIG_HOME/skep/contexts.json, which only you can read.";

#[derive(Debug, Args)]
pub(crate) struct LogoutArgs {
    /// The context to forget; by default the current one
    name: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List the gateways that you have logged in to
    List(ContextListArgs),
    /// Use another of them from now on
    Use(ContextUseArgs),
    /// Forget one of them, as skep logout does
    Remove(ContextRemoveArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ContextRemoveArgs {
    /// The context's name
    name: String,
}

#[derive(Debug, Args)]
pub(crate) struct ContextListArgs {
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["name", "none"]).required(true))]
pub(crate) struct ContextUseArgs {
    /// The context's name
    name: Option<String>,
    /// Use none, so that commands ask the gateway on this machine
    #[arg(long)]
    none: bool,
}

/// Checks the password with the gateway, and keeps it.
pub(crate) async fn login(args: LoginArgs) -> Result<()> {
    let mut contexts = Contexts::read()?;
    let gateway = args.gateway.map_or_else(target::default_gateway, Ok)?;
    let password = match &args.password_file {
        Some(file) => target::read(file, "--password-file")?,
        None if args.password_stdin => target::read_stdin()?,
        None => ask(&args.user, &gateway)?,
    };
    if password.is_empty() {
        return Err(Failure::setting("the password is empty"));
    }
    let target = Target { gateway: gateway.clone(), user: args.user.clone(), password: Some(password.clone()) };
    let api = Api::to(target, false)?;
    // It answers every role.
    api.send(api.get(&["info"])).await?;
    let name = args.name.unwrap_or_else(|| name_of(&gateway));
    let is_open = gateway.scheme() == "http" && !is_loopback(&gateway);
    contexts.keep(Context { name: name.clone(), gateway: gateway.clone(), user: args.user.clone(), password });
    contexts.write()?;
    output::line(format_args!(
        "logged in to {gateway} as {}; the login is in {}",
        args.user,
        contexts.file().display()
    ));
    output::line(format_args!("commands use it from now on, as context {name}"));
    if is_open {
        output::line("warning: the gateway is not reached over https, so others on the way can read the password");
    }
    Ok(())
}

/// Asks for the password, where somebody can be asked.
fn ask(user: &str, gateway: &Url) -> Result<String> {
    if !io::stdin().is_terminal() {
        let mended = "give the password on STDIN, as in: skep login --password-stdin < FILE";
        return Err(Failure::setting(mended));
    }
    let asked = terminal::ask_secret(&format!("Password or token of {user} at {gateway}: "));
    asked.map_err(|error| Failure::setting(format!("the terminal cannot be asked for a password: {error}")))
}

/// Forgets a login.
pub(crate) fn logout(args: LogoutArgs) -> Result<()> {
    let mut contexts = Contexts::read()?;
    let Some(name) = args.name.or_else(|| contexts.current.clone()) else {
        return Err(Failure::Missing("you are not logged in to any gateway".to_owned()));
    };
    if !contexts.forget(&name) {
        return Err(missing(&name));
    }
    contexts.write()?;
    output::line(format_args!("logged out of {name}"));
    Ok(())
}

/// Lists contexts, or chooses one.
pub(crate) fn context(command: ContextCommand) -> Result<()> {
    match command {
        ContextCommand::List(args) => list(&args),
        ContextCommand::Use(args) => choose(args.name),
        ContextCommand::Remove(args) => logout(LogoutArgs { name: Some(args.name) }),
    }
}

fn list(args: &ContextListArgs) -> Result<()> {
    let contexts = Contexts::read()?;
    let is_current = |context: &Context| contexts.current.as_ref() == Some(&context.name);
    if args.json {
        let shown = contexts.contexts.iter().map(|context| {
            let Context { name, gateway, user, .. } = context;
            json!({ "name": name, "gateway": gateway, "user": user, "current": is_current(context) })
        });
        return print_json(&shown.collect::<Vec<_>>());
    }
    if contexts.contexts.is_empty() {
        output::line("No contexts. skep login makes one.");
        return Ok(());
    }
    let rows = contexts.contexts.iter().map(|context| {
        let current = if is_current(context) { "yes" } else { "" };
        [context.name.clone(), context.gateway.to_string(), context.user.clone(), current.to_owned()]
    });
    table::print(["CONTEXT", "GATEWAY", "USER", "CURRENT"], rows);
    Ok(())
}

fn choose(name: Option<String>) -> Result<()> {
    let mut contexts = Contexts::read()?;
    if let Some(name) = &name
        && contexts.named(name).is_none()
    {
        return Err(missing(name));
    }
    let said = match &name {
        Some(name) => format!("commands use context {name} from now on"),
        None => "commands use no context from now on".to_owned(),
    };
    contexts.current = name;
    contexts.write()?;
    output::line(said);
    Ok(())
}

fn missing(name: &str) -> Failure {
    Failure::Missing(format!("there is no context {name:?}; skep context list shows them"))
}
