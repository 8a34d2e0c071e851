//! skep's roles, each in a process of its own over a NATS server of its own.
//!
//! Normally there is no controller: the registry is written here, so that a function can be any address.

use std::{fs::OpenOptions, io::Write, net::SocketAddr, os::unix::fs::OpenOptionsExt, time::Duration};

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, context::ContextBuilder, kv, stream::Stream};
use futures_util::future::try_join_all;
use skep_protocol::{Endpoint, FunctionDeployment, FunctionRecord, Subjects};
use skep_sources::SealKey;
use time::OffsetDateTime;

use crate::{
    bench::Bench,
    http::Target,
    process::{Launch, Process, arguments, free_address},
};

/// The function that everything is measured with.
pub(crate) const FUNCTION: &str = "noop";
const DEADLINE: Duration = Duration::from_secs(10);
const SYNCED: &str = "sync_interval: always";
/// Functions that are registered at once.
const TOGETHER: usize = 64;

/// When NATS acknowledges a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// When the disk has it: the settings that skep ships.
    Synced,
    /// When it is in the page cache, as NATS does by itself.
    Cached,
}

/// A NATS server, and a gateway.
pub(crate) struct Platform {
    pub(crate) jetstream: jetstream::Context,
    functions: kv::Store,
    nats_url: String,
    pub(crate) gateway: SocketAddr,
    /// What the gateway opens secrets of sources with.
    pub(crate) seal_key: SealKey,
    // The gateway ends before its server does.
    gateway_process: Process,
    nats: Process,
}

impl Platform {
    pub(crate) async fn start(bench: &Bench, disk: Disk) -> Result<Self> {
        Self::start_with(bench, disk, &[]).await
    }

    /// The same with further settings of the gateway.
    pub(crate) async fn start_with(bench: &Bench, disk: Disk, settings: &[String]) -> Result<Self> {
        let (nats, nats_url, jetstream) = start_nats(bench, disk).await?;
        let (gateway, admin) = (free_address()?, free_address()?);
        let (seal_key, seal_file) = (SealKey::generate()?, bench.new_folder("seal")?.join("seal.key"));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&seal_file)?.write_all(seal_key.as_bytes())?;
        let mut launch = role(bench, "gateway", &nats_url, &["--listen".to_owned(), gateway.to_string()], admin);
        launch.arguments.extend(["--seal-key-file".into(), seal_file.into()]);
        launch.arguments.extend(settings.iter().map(Into::into));
        let mut process = Process::start(bench, launch)?;
        until_ready(&mut process, admin).await?;
        let functions = jetstream.get_key_value(Subjects::default().stream("FUNCTIONS")).await?;
        let seal_key = SealKey::parse(&seal_key)?;
        Ok(Self { jetstream, functions, nats_url, gateway, seal_key, gateway_process: process, nats })
    }

    /// Writes the function's record, as the controller would, and waits until the gateway knows it.
    pub(crate) async fn register(&self, address: Option<SocketAddr>) -> Result<()> {
        self.register_as(FUNCTION, address).await
    }

    pub(crate) async fn register_as(&self, name: &str, address: Option<SocketAddr>) -> Result<()> {
        self.register_replicas(name, address.as_slice()).await
    }

    /// The same with a replica at each address.
    pub(crate) async fn register_replicas(&self, name: &str, addresses: &[SocketAddr]) -> Result<()> {
        self.put(name, addresses).await?;
        self.until_known(name).await
    }

    /// Registers many functions.
    pub(crate) async fn register_all(&self, names: &[String], address: Option<SocketAddr>) -> Result<()> {
        for together in names.chunks(TOGETHER) {
            try_join_all(together.iter().map(|name| self.put(name, address.as_slice()))).await?;
        }
        match names.last() {
            Some(last) => self.until_known(last).await,
            None => Ok(()),
        }
    }

    async fn put(&self, name: &str, addresses: &[SocketAddr]) -> Result<()> {
        let replicas = addresses.iter().enumerate();
        let endpoints: Vec<Endpoint> = replicas
            .map(|(index, address)| Endpoint { instance: format!("{name}-{}", index + 1), address: *address })
            .collect();
        let deployment = FunctionDeployment { service: name.to_owned(), ..FunctionDeployment::default() };
        let record = FunctionRecord::without_replicas(deployment, endpoints.len() as u64, OffsetDateTime::now_utc());
        let record = FunctionRecord { endpoints, ..record };
        self.functions.put(format!("status.{name}"), serde_json::to_vec(&record.status())?.into()).await?;
        self.functions.put(format!("spec.{name}"), serde_json::to_vec(&record.spec())?.into()).await?;
        Ok(())
    }

    async fn until_known(&self, name: &str) -> Result<()> {
        let known = Target::new(self.gateway, format!("/system/function/{name}"));
        let wait = async {
            while !known.answers().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.context("the gateway does not learn of the function")
    }

    pub(crate) fn gateway_process(&self) -> &Process {
        &self.gateway_process
    }

    pub(crate) fn nats_process(&self) -> &Process {
        &self.nats
    }

    /// A call that waits for its answer.
    pub(crate) fn synchronous(&self) -> Target {
        self.synchronous_of(FUNCTION)
    }

    pub(crate) fn synchronous_of(&self, name: &str) -> Target {
        Target::new(self.gateway, format!("/function/{name}"))
    }

    /// Calls of each of these functions in turn.
    pub(crate) fn synchronous_of_all(&self, names: &[String]) -> Target {
        let paths = names.iter().map(|name| format!("/function/{name}")).collect();
        Target { paths, ..self.synchronous() }
    }

    /// A call that is stored.
    pub(crate) fn asynchronous(&self) -> Target {
        self.asynchronous_of(FUNCTION)
    }

    pub(crate) fn asynchronous_of(&self, name: &str) -> Target {
        let path = format!("/async-function/{name}");
        Target { expected: hyper::StatusCode::ACCEPTED, ..Target::new(self.gateway, path) }
    }

    /// Calls that are stored, of each of these functions in turn.
    pub(crate) fn asynchronous_of_all(&self, names: &[String]) -> Target {
        let paths = names.iter().map(|name| format!("/async-function/{name}")).collect();
        Target { paths, ..self.asynchronous() }
    }

    pub(crate) async fn start_worker(&self, bench: &Bench) -> Result<Process> {
        let admin = free_address()?;
        let mut process = Process::start(bench, role(bench, "queue-worker", &self.nats_url, &[], admin))?;
        until_ready(&mut process, admin).await?;
        Ok(process)
    }

    /// Starts a controller that runs functions on this machine; deploy them through the gateway.
    pub(crate) async fn start_controller(&self, bench: &Bench) -> Result<Process> {
        let (admin, data) = (free_address()?, bench.new_folder("data")?);
        let mut launch = role(bench, "controller", &self.nats_url, &["--allow-root".to_owned()], admin);
        launch.arguments.extend(["--data-dir".into(), data.into()]);
        let mut process = Process::start(bench, launch)?;
        until_ready(&mut process, admin).await?;
        Ok(process)
    }

    /// One of skep's streams: `INVOKE` or `CALLS`.
    pub(crate) async fn stream(&self, name: &str) -> Result<Stream> {
        Ok(self.jetstream.get_stream(Subjects::default().stream(name)).await?)
    }
}

/// A NATS server with the settings that skep ships, and its URL and a client of it.
pub(crate) async fn start_nats(bench: &Bench, disk: Disk) -> Result<(Process, String, jetstream::Context)> {
    let folder = bench.new_folder("nats")?;
    let configuration = folder.join("nats.conf");
    let shipped = include_str!("../../deploy/nats.conf");
    ensure!(shipped.contains(SYNCED), "nats.conf does not say {SYNCED}");
    std::fs::write(
        &configuration,
        match disk {
            Disk::Synced => shipped.to_owned(),
            Disk::Cached => shipped.replace(SYNCED, ""),
        },
    )?;
    let address = free_address()?;
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let launch = Launch {
        name: "nats-server",
        program: &bench.programs.nats_server,
        arguments: arguments([
            "-c".as_ref(),
            configuration.as_ref(),
            "-a".as_ref(),
            host.as_ref(),
            "-p".as_ref(),
            port.as_ref(),
            "-sd".as_ref(),
            folder.as_ref(),
        ]),
        variables: vec![],
    };
    let mut process = Process::start(bench, launch)?;
    process.until_ready(async || tokio::net::TcpStream::connect(address).await.is_ok()).await?;
    let url = format!("nats://{address}");
    let client = async_nats::connect(&url).await?;
    let jetstream = ContextBuilder::new().timeout(DEADLINE).ack_timeout(DEADLINE).build(client);
    Ok((process, url, jetstream))
}

fn role<'program>(
    bench: &'program Bench,
    name: &'static str,
    nats_url: &str,
    more: &[String],
    admin: SocketAddr,
) -> Launch<'program> {
    let mut arguments: Vec<_> = [name, "--nats-url", nats_url].map(Into::into).to_vec();
    arguments.extend(["--admin-listen".into(), admin.to_string().into()]);
    arguments.extend(more.iter().map(Into::into));
    Launch { name, program: &bench.programs.skep, arguments, variables: vec![] }
}

/// Waits until the admin port of a role says that it is ready.
pub(crate) async fn until_ready(process: &mut Process, admin: SocketAddr) -> Result<()> {
    let ready = Target::new(admin, "/readyz");
    process.until_ready(async || ready.answers().await).await
}
