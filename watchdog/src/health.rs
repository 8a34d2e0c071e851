//! Whether the watchdog takes calls: a state, and the lock file that images look for.

use std::{
    fs::{self, OpenOptions},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    time::Duration,
};

use tokio::time::timeout;

use crate::{config::Settings, log::Log};

const LOCK_FILE: &str = "/tmp/.lock";
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Its states, in their order.
const STARTING: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;

#[derive(Debug)]
pub(crate) struct Health {
    state: AtomicU8,
    /// There is to be a lock file.
    wants_lock: bool,
    /// There is one.
    has_lock: AtomicBool,
}

impl Health {
    pub(crate) fn starting(wants_lock: bool) -> Self {
        Self { state: AtomicU8::new(STARTING), wants_lock, has_lock: AtomicBool::new(false) }
    }

    /// Is good from now on, unless it was closed already, and says so with the lock file if there is to be one.
    ///
    /// Images may be read-only or without `/tmp`, so the watchdog reports a lock file that it cannot write and does without.
    pub(crate) fn open(&self, log: &Log) {
        if self.state.compare_exchange(STARTING, OPEN, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let log = |error: &io::Error| {
            log.say(&format!("Cannot write {LOCK_FILE}: {error}; continues without it, as with suppress_lock=true"));
        };
        let has_lock = self.wants_lock && write_lock_file().inspect_err(log).is_ok();
        self.has_lock.store(has_lock, Ordering::Relaxed);
    }

    /// With a lock file both must be there, so that an operator can take a replica out by removing it.
    pub(crate) fn is_good(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OPEN && (!self.has_lock.load(Ordering::Relaxed) || lock_file_exists())
    }

    pub(crate) fn accepts(&self) -> bool {
        self.state.load(Ordering::Relaxed) != CLOSED
    }

    pub(crate) fn close(&self) {
        self.state.store(CLOSED, Ordering::Relaxed);
        if self.has_lock.load(Ordering::Relaxed) {
            // Gone already is what is wanted.
            let _ = fs::remove_file(LOCK_FILE);
        }
    }
}

/// What `--run-healthcheck` finds: the lock file or, where there is none, what `/_/health` answers.
pub(crate) async fn is_healthy(settings: &Settings) -> bool {
    let locked = !settings.suppress_lock && lock_file_exists();
    locked || answers_well(settings.listen_address, settings.port).await
}

fn write_lock_file() -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o660).open(LOCK_FILE).map(drop)
}

fn lock_file_exists() -> bool {
    Path::new(LOCK_FILE).is_file()
}

async fn answers_well(address: IpAddr, port: u16) -> bool {
    let address = if address.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address };
    let answer = timeout(CHECK_TIMEOUT, skep_http::get(SocketAddr::new(address, port), "/_/health")).await;
    matches!(answer, Ok(Ok(answer)) if answer.status() == 200)
}
