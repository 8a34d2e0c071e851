//! A watchdog on its own, as a container has it.

use std::{
    ffi::OsString,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use tokio::time::{sleep, timeout};

use crate::{
    bench::Bench,
    http::Target,
    process::{Launch, Process, free_address},
};

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// A process per request.
pub(crate) async fn fork(bench: &Bench, fprocess: &str) -> Result<(Process, Target)> {
    start(bench, fprocess.into(), &[]).await
}

/// The same in the sandbox that `skep up` has it enter.
pub(crate) async fn sandboxed(bench: &Bench, fprocess: &str) -> Result<(Process, Target)> {
    let launched = launch_with(bench, vec!["--sandbox".into()], fprocess.into(), &[])?;
    until_ready(launched).await
}

/// A process per request that was started before it.
pub(crate) async fn prefork(bench: &Bench, fprocess: &str) -> Result<(Process, Target)> {
    start(bench, fprocess.into(), &[("prefork", "8")]).await
}

/// The same before the function that tells the time.
pub(crate) async fn prefork_clock(bench: &Bench) -> Result<(Process, Target)> {
    start(bench, own(bench, "clock"), &[("prefork", "8")]).await
}

/// A process per request whose output goes out as it comes.
pub(crate) async fn streaming(bench: &Bench, fprocess: &str) -> Result<(Process, Target)> {
    start(bench, fprocess.into(), &[("mode", "streaming")]).await
}

/// One long-lived program: the trivial upstream.
pub(crate) async fn http(bench: &Bench, settings: &[(&'static str, &str)]) -> Result<(Process, Target)> {
    start(bench, own(bench, "upstream"), &[&[("mode", "http")], settings].concat()).await
}

/// Milliseconds from the start of a watchdog to its first answer; it is asked again every millisecond.
pub(crate) async fn cold_start_ms(bench: &Bench, fprocess: &str) -> Result<f64> {
    let started = Instant::now();
    let (_process, address) = launch(bench, fprocess.into(), &[])?;
    let target = Target::new(address, "/");
    let answered = timeout(ANSWERS_WITHIN, async {
        while !target.answers().await {
            sleep(ASK_AGAIN).await;
        }
    });
    answered.await.context("the watchdog does not answer")?;
    Ok(started.elapsed().as_secs_f64() * 1000.0)
}

/// This program with a subcommand, as `fprocess`.
fn own(bench: &Bench, command: &str) -> OsString {
    let mut fprocess = OsString::from("'");
    fprocess.push(&bench.programs.own);
    fprocess.push("' ");
    fprocess.push(command);
    fprocess
}

async fn start(bench: &Bench, fprocess: OsString, settings: &[(&'static str, &str)]) -> Result<(Process, Target)> {
    until_ready(launch(bench, fprocess, settings)?).await
}

async fn until_ready((mut process, address): (Process, SocketAddr)) -> Result<(Process, Target)> {
    let ready = Target::new(address, "/_/ready");
    process.until_ready(async || ready.answers().await).await?;
    Ok((process, Target::new(address, "/")))
}

fn launch(bench: &Bench, fprocess: OsString, settings: &[(&'static str, &str)]) -> Result<(Process, SocketAddr)> {
    launch_with(bench, vec![], fprocess, settings)
}

fn launch_with(
    bench: &Bench,
    arguments: Vec<OsString>,
    fprocess: OsString,
    settings: &[(&'static str, &str)],
) -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let mut variables = vec![
        ("fprocess", fprocess),
        ("listen_address", address.ip().to_string().into()),
        ("port", address.port().to_string().into()),
        ("metrics_port", "0".into()),
        ("suppress_lock", "true".into()),
    ];
    variables.extend(settings.iter().map(|(name, value)| (*name, OsString::from(value))));
    let launch = Launch { name: "fwatchdog", program: &bench.programs.watchdog, arguments, variables };
    Ok((Process::start(bench, launch)?, address))
}
