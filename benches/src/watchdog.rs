//! A watchdog on its own, as a container has it.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    bench::Bench,
    http::Target,
    process::{Launch, Process, free_address},
};

/// A process per request.
pub(crate) async fn fork(bench: &Bench, fprocess: &str) -> Result<(Process, Target)> {
    start(bench, "fork", fprocess.into()).await
}

/// One long-lived program: the trivial upstream.
pub(crate) async fn http(bench: &Bench) -> Result<(Process, Target)> {
    let mut fprocess = OsString::from("'");
    fprocess.push(&bench.programs.own);
    fprocess.push("' upstream");
    start(bench, "http", fprocess).await
}

async fn start(bench: &Bench, mode: &str, fprocess: OsString) -> Result<(Process, Target)> {
    let address = free_address()?;
    let mut process = Process::start(
        bench,
        Launch {
            name: "fwatchdog",
            program: &bench.programs.watchdog,
            arguments: vec![],
            variables: vec![
                ("fprocess", fprocess),
                ("mode", mode.into()),
                ("listen_address", address.ip().to_string().into()),
                ("port", address.port().to_string().into()),
                ("metrics_port", "0".into()),
                ("suppress_lock", "true".into()),
                ("healthcheck_interval", "0s".into()),
            ],
        },
    )?;
    let ready = Target::new(address, "/_/ready");
    process.until_ready(async || ready.answers().await).await?;
    Ok((process, Target::new(address, "/")))
}
