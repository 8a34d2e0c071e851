//! `skep up` with a function, as a user starts it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use hyper::{Method, StatusCode, body::Bytes};
use tokio::time::{sleep, timeout};

use crate::{
    bench::Bench,
    http::{Target, with_requests},
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

const ASLEEP_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

pub(crate) struct Up {
    pub(crate) process: Process,
    pub(crate) gateway: SocketAddr,
    /// Where it tells its metrics.
    pub(crate) admin: SocketAddr,
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
                "--basic-auth=false".as_ref(),
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
        let mut up = Self { process, gateway, admin };
        let function = up.function();
        up.process.until_ready(async || function.answers().await).await?;
        Ok(up)
    }

    /// A call of its function.
    pub(crate) fn function(&self) -> Target {
        Target::new(self.gateway, "/function/noop")
    }

    /// Scales its function to zero, and waits until it is.
    pub(crate) async fn put_to_sleep(&self) -> Result<()> {
        let scale =
            Target { expected: StatusCode::ACCEPTED, ..Target::new(self.gateway, "/system/scale-function/noop") };
        let body = Bytes::from_static(br#"{"serviceName":"noop","replicas":0}"#);
        with_requests(&scale, async |requests| requests.send(Method::POST, body).await).await?;
        let status = Target::new(self.gateway, "/system/function/noop");
        let asleep = timeout(ASLEEP_WITHIN, async {
            while !status.read().await.is_ok_and(|text| text.contains(r#""availableReplicas":0"#)) {
                sleep(LOOK_AGAIN).await;
            }
        });
        asleep.await.context("the function was not scaled to zero")
    }
}
