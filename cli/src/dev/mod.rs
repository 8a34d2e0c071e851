//! `skep dev`: `skep up` for one who writes functions. It builds them, follows their files, and shows what is called.

pub(crate) mod args;
mod build;
mod follow;
pub(crate) mod show;
mod snapshot;

use std::{ffi::OsString, path::Path};

use anyhow::anyhow;
use clap::Parser;
use skep_stack::Build;

use self::args::{BuildArgs, DevArgs, FolderCommand};
pub(crate) use self::follow::Follower;
use crate::{
    args::{Cli, Command, FetchArgs, UpArgs},
    failure::{Failure, Result, bad_setting},
    new, output, signals, stack_file, up,
};

pub(crate) async fn run(command: FolderCommand) -> Result<()> {
    match command {
        FolderCommand::New(args) => new::run(&args),
        FolderCommand::Dev(args) => dev(*args).await,
        FolderCommand::Build(args) => build(&args).await,
    }
}

async fn dev(args: DevArgs) -> Result<()> {
    if !args.file.exists() {
        let file = args.file.display();
        let reason = format!("{file} is not there; to make one with a function in it, run: skep new hello --lang bash");
        return Err(bad_setting("--file", reason));
    }
    let stack = stack_file::read(&args.file)?;
    build_all(&stack.builds).await?;
    let (follower, up) = (Follower::new(args.file.clone(), &stack), up_args(args)?);
    Box::pin(up::run_with(up, Some(follower))).await
}

/// The settings of the `skep up` inside.
fn up_args(args: DevArgs) -> Result<UpArgs> {
    let DevArgs { file, listen, data_dir, nats_server, fetch, allow_root, up } = args;
    let mut words: Vec<OsString> =
        ["skep", "up", "--nats-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"].map(OsString::from).into();
    let listen = listen.to_string();
    let mut option = |name: &str, value: &Path| words.extend([name.into(), value.into()]);
    option("--listen", Path::new(&listen));
    option("--file", &file);
    option("--data-dir", &data_dir);
    if let Some(program) = &nats_server {
        option("--nats-server", program);
    }
    words.push(format!("--allow-root={allow_root}").into());
    words.extend(up.into_iter().map(OsString::from));
    let parsed = Cli::try_parse_from(words).map_err(|error| Failure::setting(error.to_string()))?;
    let Command::Up(mut up) = parsed.command else {
        return Err(Failure::setting("write settings of skep up behind --"));
    };
    let FetchArgs { fetch_nats, nats_index } = fetch;
    up.fetch.fetch_nats |= fetch_nats;
    up.fetch.nats_index = nats_index.or(up.fetch.nats_index);
    Ok(*up)
}

/// `skep build`.
async fn build(args: &BuildArgs) -> Result<()> {
    let stack = stack_file::read(&args.file)?;
    let unknown = args.names.iter().find(|name| !stack.builds.iter().any(|build| build.function == **name));
    if let Some(unknown) = unknown {
        return Err(Failure::Missing(format!("{} has no function {unknown} with the key build", args.file.display())));
    }
    let wanted = |name: &String| args.names.is_empty() || args.names.contains(name);
    if stack.builds.is_empty() {
        output::line("No function has the key build.");
    }
    build_all(stack.builds.iter().filter(|build| wanted(&build.function))).await
}

/// Builds programs one after the other, until a signal. One that cannot be built does not keep the others from it.
pub(crate) async fn build_all(builds: impl IntoIterator<Item = &Build>) -> Result<()> {
    let all = async {
        let mut failures = Vec::new();
        for build in builds {
            failures.extend(build::build(build).await.err());
        }
        Failure::all(failures)
    };
    tokio::select! {
        built = all => built,
        failure = interrupted() => Err(failure),
    }
}

/// What to end with after a signal, which also ends the builds.
async fn interrupted() -> Failure {
    match signals::first_signal().await {
        Ok(()) => Failure::internal(anyhow!("interrupted")),
        Err(error) => Failure::internal(error),
    }
}
