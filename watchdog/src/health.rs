//! Whether the watchdog takes calls: a flag, and the lock file that images look for.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{config::Settings, log::Log};

const LOCK_FILE: &str = "/tmp/.lock";
const CHECK_LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(crate) struct Health {
    accepting: AtomicBool,
    lock_file: bool,
}

impl Health {
    /// Takes calls from now on, and says so with the lock file if there is to be one.
    ///
    /// Images may be read-only or without `/tmp`, so a lock file that cannot be written is told and gone without.
    pub(crate) fn open(lock_file: bool, log: &Log) -> Self {
        let tell = |error: &io::Error| {
            log.say(&format!("Cannot write {LOCK_FILE}: {error}; goes without it, as with suppress_lock=true"));
        };
        let lock_file = lock_file && write_lock_file().inspect_err(tell).is_ok();
        Self { accepting: AtomicBool::new(true), lock_file }
    }

    /// With a lock file both must be there, so that an operator can take a replica out by removing it.
    pub(crate) fn is_good(&self) -> bool {
        self.accepts() && (!self.lock_file || lock_file_exists())
    }

    pub(crate) fn accepts(&self) -> bool {
        self.accepting.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.accepting.store(false, Ordering::Relaxed);
        if self.lock_file {
            // Gone already is what is wanted.
            let _ = fs::remove_file(LOCK_FILE);
        }
    }
}

/// What `--run-healthcheck` finds: the lock file or, where there is none, what `/_/health` answers.
pub fn is_healthy(settings: &Settings) -> bool {
    let locked = !settings.suppress_lock && lock_file_exists();
    locked || asks_well(settings.listen_address, settings.port)
}

fn write_lock_file() -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o660).open(LOCK_FILE).map(drop)
}

fn lock_file_exists() -> bool {
    Path::new(LOCK_FILE).is_file()
}

fn asks_well(address: IpAddr, port: u16) -> bool {
    let address = if address.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address };
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), CHECK_LIMIT)?;
        stream.set_read_timeout(Some(CHECK_LIMIT))?;
        stream.write_all(b"GET /_/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(String::from_utf8_lossy(&head).into_owned())
    };
    ask().is_ok_and(|head| head.ends_with(" 200"))
}
