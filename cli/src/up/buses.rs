//! The connections of the roles in one process.

use std::cell::Cell;

use skep_bus::{Bus, Error, Role, patiently};

use super::{
    Sockets,
    nats::{self, RunningChild},
    surroundings::DataDir,
};
use crate::{
    args::UpArgs,
    connection,
    failure::{Failure, Result, bad_setting},
    roles::Process,
};

/// Each role connects as itself, as it does in a process of its own.
pub(super) struct Buses {
    pub(super) controller: Bus,
    pub(super) gateway: Bus,
    pub(super) worker: Bus,
}

impl Buses {
    pub(super) async fn connect(
        args: &UpArgs,
        process: &Process,
        data_dir: &DataDir,
        sockets: &Sockets,
    ) -> Result<Self> {
        let connect = async |role, logs| {
            let bus = connect(role, args, sockets, logs).await.map_err(|error| match &sockets.nats_child {
                Some(_) => {
                    let log_file = nats::log_file(&data_dir.path);
                    bad_setting("--nats-server", format!("it does not answer; see {}", log_file.display()))
                }
                None => connection::not_connected(error),
            })?;
            connection::look_after(process, role, &bus)?;
            Ok::<_, Failure>(bus)
        };
        // First the one that makes and changes the streams.
        let controller = connect(Role::Controller, true).await?;
        let (gateway, worker) = tokio::try_join!(connect(Role::Gateway, false), connect(Role::QueueWorker, false))?;
        Ok(Self { controller, gateway, worker })
    }
}

/// Connects one role. A server of skep's own is waited for as long as it lives, and another one for `--nats-wait`.
async fn connect(role: Role, args: &UpArgs, sockets: &Sockets, logs: bool) -> skep_bus::Result<Bus> {
    let config = connection::bus_config(role, &sockets.nats, &args.bus, logs);
    let Some(server) = &sockets.nats_child else { return Bus::connect(&config).await };
    let before = Cell::new(None);
    let may_pass = |error: &Error| match error {
        Error::Connect { .. } => is_same(server, before.get()),
        other => other.may_pass(),
    };
    let step = || {
        before.set(server.id());
        Bus::connect(&config)
    };
    patiently("connection", may_pass, step).await
}

/// Whether the server that ran then, or has been started since, runs now. One that ends by itself is not waited for.
fn is_same(server: &RunningChild, before: Option<u32>) -> bool {
    server.id().is_some_and(|now| before.is_none_or(|before| now == before))
}
