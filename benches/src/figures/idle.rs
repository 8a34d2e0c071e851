//! Memory of `skep up` while nothing happens: gateway, queue-worker and controller in one process, without NATS and watchdogs.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::{
    bench::Bench,
    http::Target,
    measure::{Row, Side, tell},
    platform,
    process::{Launch, Process, arguments, free_address},
};

const STACK: &str = "version: 1.0
provider:
  name: openfaas
functions:
  noop:
    fprocess: cat
";
/// What the start took is given back in this time.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn memory(bench: &Bench, name: &str) -> Result<Vec<Row>> {
    let mut sides = [Side::new("skep up")];
    for run in 1..=bench.runs {
        let value = measure(bench).await?;
        sides[0].values.push(value);
        tell(name, run, bench.runs, &sides);
    }
    let [side] = sides;
    Ok(vec![Row { name: name.to_owned(), unit: "MB", values: side.values, baseline: None }])
}

async fn measure(bench: &Bench) -> Result<f64> {
    let folder = bench.new_folder("up")?;
    let stack = folder.join("stack.yml");
    std::fs::write(&stack, STACK)?;
    let (gateway, admin) = (free_address()?, free_address()?);
    let (listen, admin_listen) = (gateway.to_string(), admin.to_string());
    let launch = Launch {
        name: "up",
        program: &bench.programs.skep,
        arguments: arguments([
            "up".as_ref(),
            "--file".as_ref(),
            stack.as_ref(),
            "--data-dir".as_ref(),
            folder.as_ref(),
            "--nats-server".as_ref(),
            bench.programs.nats_server.as_ref(),
            "--nats-listen".as_ref(),
            "127.0.0.1:0".as_ref(),
            "--listen".as_ref(),
            listen.as_ref(),
            "--admin-listen".as_ref(),
            admin_listen.as_ref(),
        ]),
        variables: vec![],
    };
    let mut process = Process::start(bench, launch)?;
    platform::until_ready(&mut process, admin).await?;
    let function = Target::new(gateway, "/function/noop");
    process.until_ready(async || function.answers().await).await?;
    sleep(SETTLES_WITHIN).await;
    process.memory_mb("VmRSS")
}
