//! The metrics of a process that belong to none of its roles: this build, its machine, and its connections to NATS. All of them are read when they are asked for.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use prometheus::{
    Gauge, GaugeVec, IntCounter, IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use skep_bus::{Connection, Role};
use skep_http::Tls;
use skep_protocol::VersionInfo;

use crate::failure::{Failure, Result};

const BUILD: (&str, &str) = ("skep_build_info", "1, with the version and the commit of this program.");
const CLOCK: (&str, &str) = (
    "skep_nats_clock_ahead_seconds",
    "By how much the clock of the NATS server is ahead of this machine's; the server's clock decides when calls are due.",
);
const CONNECTED: (&str, &str) = ("skep_nats_connected", "1 while a role is connected to NATS, else 0.");
const RECONNECTS: (&str, &str) =
    ("gateway_nats_reconnect_total", "How often a role has connected to NATS again after it had lost it.");
const DURABILITY: (&str, &str) = ("skep_durability_info", "1, with what an accepted call survives, as a role sees it.");
const CONTROLLER: (&str, &str) =
    ("skep_controller_seen_seconds", "How long ago a controller renewed its lease, as a role sees it.");
const DISK_FREE: (&str, &str) = ("skep_disk_free_bytes", "Bytes that are free on the disk of the data folder.");
const DISK: (&str, &str) = ("skep_disk_bytes", "Bytes of the disk of the data folder.");
const TLS: (&str, &str) =
    ("skep_tls_not_after_seconds", "When the certificate of the gateway runs out, in seconds since 1970.");

/// Metrics that are brought up to date each time they are asked for.
struct Asked<Shown, Read> {
    shown: Shown,
    read: Read,
    turn: Mutex<()>,
}

impl<Shown: Collector, Read: Fn(&Shown) + Send + Sync> Collector for Asked<Shown, Read> {
    fn desc(&self) -> Vec<&Desc> {
        self.shown.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        (self.read)(&self.shown);
        self.shown.collect()
    }
}

fn show<Shown: Collector + 'static>(
    registry: &Registry,
    shown: prometheus::Result<Shown>,
    read: impl Fn(&Shown) + Send + Sync + 'static,
) -> Result<()> {
    let asked = shown.map(|shown| Asked { shown, read, turn: Mutex::default() });
    asked.and_then(|asked| registry.register(Box::new(asked))).map_err(Failure::internal)
}

/// The metrics of a process, with what each has.
pub(crate) fn registry() -> Result<Registry> {
    let registry = Registry::new();
    let build = VersionInfo::of_this_build();
    let opts = Opts::new(BUILD.0, BUILD.1).const_label("version", build.release).const_label("commit", build.sha);
    show(&registry, IntGauge::with_opts(opts), |gauge| gauge.set(1))?;
    show(&registry, Gauge::new(CLOCK.0, CLOCK.1), |gauge| gauge.set(skep_bus::server_clock_ahead().as_seconds_f64()))?;
    Ok(registry)
}

/// Shows the connection of a role, once for each role of a process.
pub(crate) fn show_connection(registry: &Registry, role: Role, connection: &Arc<Connection>) -> Result<()> {
    let opts = |(name, help): (&str, &str)| Opts::new(name, help).const_label("role", role.as_str());
    let read = reader(connection);
    show(registry, IntGauge::with_opts(opts(CONNECTED)), move |gauge| {
        gauge.set(0);
        read(&|connection| gauge.set(connection.is_connected().into()));
    })?;
    let read = reader(connection);
    show(registry, IntCounter::with_opts(opts(RECONNECTS)), move |counter| {
        read(&|connection| counter.inc_by(connection.reconnects().saturating_sub(counter.get())));
    })?;
    let read = reader(connection);
    show(registry, IntGaugeVec::new(opts(DURABILITY), &["tier"]), move |gauges| {
        gauges.reset();
        read(&|connection| gauges.with_label_values(&[connection.durability().tier.as_str()]).set(1));
    })?;
    let read = reader(connection);
    show(registry, GaugeVec::new(opts(CONTROLLER), &[]), move |gauges| {
        gauges.reset();
        read(&|connection| {
            if let Some(ago) = connection.controller_seen() {
                gauges.with_label_values::<&str>(&[]).set(ago.as_secs_f64());
            }
        });
    })
}

/// Reads a connection, as long as there is one: the metrics must not keep one that everyone else has let go.
fn reader(connection: &Arc<Connection>) -> impl Fn(&dyn Fn(&Connection)) + Send + Sync + use<> {
    let connection: Weak<Connection> = Arc::downgrade(connection);
    move |read| {
        if let Some(connection) = connection.upgrade() {
            read(&connection);
        }
    }
}

/// Shows the disk that a folder is on, once in a process.
pub(crate) fn show_disk(registry: &Registry, folder: PathBuf) -> Result<()> {
    let same = folder.clone();
    show(registry, Gauge::new(DISK_FREE.0, DISK_FREE.1), move |gauge| {
        if let Ok(disk) = rustix::fs::statvfs(&folder) {
            gauge.set(disk.f_bavail as f64 * disk.f_frsize as f64);
        }
    })?;
    show(registry, Gauge::new(DISK.0, DISK.1), move |gauge| {
        if let Ok(disk) = rustix::fs::statvfs(&same) {
            gauge.set(disk.f_blocks as f64 * disk.f_frsize as f64);
        }
    })
}

/// Shows when a certificate runs out, the one that is in use then.
pub(crate) fn show_certificate(registry: &Registry, tls: &Tls) -> Result<()> {
    let tls = tls.clone();
    show(registry, GaugeVec::new(Opts::new(TLS.0, TLS.1), &[]), move |gauges| {
        gauges.reset();
        if let Some(not_after) = tls.not_after() {
            gauges.with_label_values::<&str>(&[]).set(not_after as f64);
        }
    })
}
