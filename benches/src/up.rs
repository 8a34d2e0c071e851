//! `skep up` with a function, as a user starts it.

use std::net::SocketAddr;

use anyhow::Result;

use crate::{
    bench::Bench,
    http::Target,
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

pub(crate) struct Up {
    pub(crate) process: Process,
    pub(crate) gateway: SocketAddr,
}

impl Up {
    /// Starts it, and returns when its function answers.
    pub(crate) async fn start(bench: &Bench) -> Result<Self> {
        let folder = bench.new_folder("up")?;
        let stack = folder.join("stack.yml");
        std::fs::write(&stack, STACK)?;
        let data = folder.join("data");
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
                data.as_ref(),
                "--allow-root".as_ref(),
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
        let mut up = Self { process, gateway };
        let function = up.function();
        up.process.until_ready(async || function.answers().await).await?;
        Ok(up)
    }

    /// A call of its function.
    pub(crate) fn function(&self) -> Target {
        Target::new(self.gateway, "/function/noop")
    }
}
