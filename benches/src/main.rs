//! `skep-benches`: measures skep against baselines on the same machine, in the same run, with the same load.
//!
//! It starts what it measures, prints one table, writes `bench.json`, and leaves no process and no folder behind.

mod args;
mod bench;
mod clock;
mod compare;
mod deploy;
mod figures;
mod http;
mod load;
mod measure;
mod nginx;
mod output;
mod paced;
mod platform;
mod process;
mod program;
mod publisher;
mod push;
mod relay;
mod report;
mod spawn;
mod tree;
mod up;
mod upstream;
mod watchdog;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use clap::Parser;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use crate::{
    args::{Args, Command},
    bench::Bench,
};

fn main() -> ExitCode {
    match start(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            output::progress(format_args!("skep-benches: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> Result<ExitCode> {
    if let Some(Command::Guard(guard)) = &args.command {
        return Err(process::replace_this_process(guard));
    }
    if let Some(Command::Relay(relay)) = &args.command {
        return relay::run(relay).map(|()| ExitCode::SUCCESS);
    }
    if let Some(Command::Clock) = args.command {
        return clock::run().map(|()| ExitCode::SUCCESS);
    }
    if let Some(Command::Compare { before, after }) = &args.command {
        output::result(compare::table(before, after)?);
        return Ok(ExitCode::SUCCESS);
    }
    // One thread, so that the load takes as little as possible from what it measures.
    let runtime: Runtime = Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let ended = runtime.block_on(async {
        match args.command {
            Some(Command::Upstream { port, delay_ms }) => {
                upstream::run(port, Duration::from_millis(delay_ms)).await.map(|()| ExitCode::SUCCESS)
            }
            Some(Command::Clock | Command::Compare { .. } | Command::Guard(_) | Command::Relay(_)) => {
                Ok(ExitCode::SUCCESS)
            }
            None => until_signal(args).await,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(3));
    ended
}

/// Measures until the end or a signal; either way all that was started is stopped when this returns.
async fn until_signal(args: Args) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let bench = Bench::prepare(&args)?;
    let code = tokio::select! {
        all_measured = Box::pin(bench::run(&bench, &args)) => u8::from(!all_measured?),
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    Ok(ExitCode::from(code))
}
