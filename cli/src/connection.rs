//! The connection of a role to NATS.

use std::time::Duration;

use skep_bus::{Budget, Bus, BusConfig, Kept, Role};

use crate::{
    args::BusArgs,
    failure::{Failure, Result, bad_setting},
    metrics,
    nats::Nats,
    roles::Process,
};

/// Connects a role; `logs` as in [`BusConfig::logs`].
pub(crate) async fn connect(process: &Process, role: Role, nats: &Nats, args: &BusArgs, logs: bool) -> Result<Bus> {
    let bus = Bus::connect(&bus_config(role, nats, args, logs)).await.map_err(not_connected)?;
    look_after(process, role, &bus)?;
    Ok(bus)
}

pub(crate) fn bus_config(role: Role, nats: &Nats, args: &BusArgs, logs: bool) -> BusConfig {
    BusConfig {
        servers: nats.servers.clone(),
        login: nats.logins.of(role),
        role,
        logs,
        subjects: args.subject_prefix.clone(),
        default_namespace: args.function_namespace.clone(),
        name: format!("skep {}", role.as_str()),
        patience: if args.nats_wait.is_zero() { Duration::MAX } else { args.nats_wait },
        kept: Kept {
            replicas: args.nats_replicas,
            records: Budget { age: args.result_ttl, bytes: args.result_bytes },
            event_bytes: args.event_bytes,
            letters: Budget { age: args.dead_ttl, bytes: args.dead_bytes },
            audit_log: Some(Budget { age: args.audit_log_ttl, bytes: args.audit_log_bytes })
                .filter(|budget| !budget.age.is_zero()),
            versions: args.versions_kept,
            published: args.publish_bytes,
            bodies: args.body_bytes,
            large_body: args.large_body,
            strip_credentials: args.strip_credentials,
        },
        monitors: nats.monitors.clone(),
    }
}

pub(crate) fn not_connected(error: skep_bus::Error) -> Failure {
    match error {
        skep_bus::Error::Connect { .. } | skep_bus::Error::ServerTooOld { .. } | skep_bus::Error::Differs { .. } => {
            bad_setting("--nats-url", error.chain())
        }
        other => Failure::internal(other),
    }
}

/// Shows a role's connection in the metrics, and looks after the streams until the process ends.
pub(crate) fn look_after(process: &Process, role: Role, bus: &Bus) -> Result<()> {
    metrics::show_connection(&process.metrics, role, &bus.connection)?;
    process.tasks.spawn(bus.clone().supervise(process.ending.clone()));
    Ok(())
}
