//! The NATS server that `skep up` starts: a child on this machine, its data in the data folder, started again if it dies.

use std::{
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use skep_bus::{Monitors, ServerUrls, SystemAccount};
use skep_protocol::Subjects;
use skep_queue_worker::SubjectPattern;
use tokio::net::TcpListener;
use tracing::{debug, error};

use super::{
    encryption::Encryption,
    mqtt,
    users::{self, Users},
};
use crate::{
    failure::{Failure, Result, bad_setting},
    nats::{Logins, Nats},
};

const RESTART_DELAY: Duration = Duration::from_secs(1);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The same settings as on a Swarm.
const CONFIGURATION: &str = include_str!("../../../deploy/nats.conf");

/// Its setting by which an acknowledgement comes when the disk has what was stored.
const SYNCS: &str = "sync_interval: always";

/// Where the server writes its own log.
pub(crate) fn log_file(data_dir: &Path) -> PathBuf {
    data_dir.join("nats.log")
}

/// A running server, and the thread that owns it.
///
/// The thread matters: the kernel tells the child of its parent's death when the thread that started it ends.
pub(crate) struct NatsServer {
    pub(crate) address: SocketAddr,
    pub(crate) users: Users,
    pub(crate) system: SystemAccount,
    /// Where it takes MQTT, if it does.
    pub(crate) mqtt: Option<SocketAddr>,
    stopping: Arc<AtomicBool>,
    child: RunningChild,
    thread: Option<JoinHandle<()>>,
}

impl NatsServer {
    /// Starts the server on an address that was found free.
    ///
    /// One that does not sync each write is only for data that its user syncs in the end.
    pub(crate) async fn start(
        program: &Path,
        (listen, mqtt): (SocketAddr, Option<SocketAddr>),
        data_dir: &Path,
        subjects: &Subjects,
        callback_subjects: &[SubjectPattern],
        encryption: Option<Encryption>,
        syncs: bool,
    ) -> Result<Self> {
        let free = TcpListener::bind(listen).await;
        let free = free.map_err(|error| bad_setting("--nats-listen", format!("cannot listen on {listen}: {error}")))?;
        let address = free.local_addr().map_err(Failure::internal)?;
        drop(free);
        let mqtt = match mqtt {
            Some(listen) => Some(mqtt::reserve(listen).await?),
            None => None,
        };
        let configuration = data_dir.join("nats.conf");
        let users = Users::prepare(data_dir, mqtt.is_some())?;
        let bad = |error| bad_setting("--data-dir", format!("cannot write {}: {error}", configuration.display()));
        let settings = encryption.as_ref().map_or(CONFIGURATION.to_owned(), |_| Encryption::add_to(CONFIGURATION));
        let settings = if syncs { settings } else { settings.replace(SYNCS, "") };
        let settings = settings + &mqtt.map(mqtt::settings).unwrap_or_default();
        skep_secret_file::write_secret_file(&configuration, &(settings + &users.settings(subjects, callback_subjects)))
            .map_err(bad)?;
        users::adopt_streams(&data_dir.join("nats")).map_err(bad)?;
        users::note_address(data_dir, address).map_err(bad)?;
        let (program, data_dir) = (program.to_owned(), data_dir.to_owned());
        let this = std::env::current_exe().map_err(Failure::internal)?;
        let command = Launch { this, program, address, data_dir, configuration, encryption };
        let system = SystemAccount::new(ServerUrls::from(address), users.monitor());
        let (stopping, child) = (Arc::default(), RunningChild::default());
        let mut server = Self { address, users, system, mqtt, stopping, child, thread: None };
        let (stopping, child) = (Arc::clone(&server.stopping), server.child());
        let thread = std::thread::Builder::new().name("nats-server".to_owned());
        let thread = thread.spawn(move || keep_running(&command, &stopping, &child)).map_err(Failure::internal)?;
        server.thread = Some(thread);
        Ok(server)
    }

    /// How skep connects to it.
    pub(crate) fn nats(&self) -> Nats {
        Nats {
            servers: ServerUrls::from(self.address),
            logins: Logins::Each(self.users.logins()),
            monitors: Monitors::Own(self.system.clone()),
        }
    }

    /// The process of the server, whichever it is.
    pub(crate) fn child(&self) -> RunningChild {
        self.child.clone()
    }

    /// Stops the server and waits for its end.
    pub(crate) fn stop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.child.signal(Signal::TERM);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !thread.is_finished() {
            self.child.signal(Signal::KILL);
        }
        // The thread does not panic, and if it did the child is gone all the same.
        let _ = thread.join();
    }
}

/// The process that runs now; another one after it has ended.
#[derive(Clone, Default)]
pub(crate) struct RunningChild(Arc<Mutex<Option<Child>>>);

impl RunningChild {
    pub(crate) fn id(&self) -> Option<u32> {
        self.lock().as_ref().map(Child::id)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Launch {
    /// This program, as long as its file has its name: an update takes that away from a running one.
    this: PathBuf,
    program: PathBuf,
    address: SocketAddr,
    data_dir: PathBuf,
    configuration: PathBuf,
    encryption: Option<Encryption>,
}

impl Launch {
    fn spawn(&self) -> std::io::Result<Child> {
        Command::new(&self.this)
            .arg("__guard")
            .arg(std::process::id().to_string())
            .arg(&self.program)
            .arg("-c")
            .arg(&self.configuration)
            .args(["-a", &self.address.ip().to_string(), "-p", &self.address.port().to_string(), "-js"])
            .arg("-sd")
            .arg(self.data_dir.join("nats"))
            .arg("-l")
            .arg(log_file(&self.data_dir))
            .envs(self.encryption.as_ref().map(|encryption| (Encryption::VARIABLE, encryption.key())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            // Ctrl-C reaches the whole group of the terminal, and the server must outlast the drain.
            .process_group(0)
            .spawn()
    }
}

fn keep_running(launch: &Launch, stopping: &AtomicBool, shared: &RunningChild) {
    while !stopping.load(Ordering::SeqCst) {
        match launch.spawn() {
            Ok(child) => *shared.lock() = Some(child),
            Err(error) => error!(%error, "nats-server cannot be started"),
        }
        let ended = wait(shared, stopping);
        if stopping.load(Ordering::SeqCst) {
            debug!("nats-server has stopped");
            return;
        }
        error!(status = ended, log = %log_file(&launch.data_dir).display(), "nats-server ended unexpectedly and is restarted");
        std::thread::park_timeout(RESTART_DELAY);
    }
}

/// Waits for the child's end without holding the lock meanwhile, so that it can be signalled.
fn wait(shared: &RunningChild, stopping: &AtomicBool) -> Option<String> {
    loop {
        let ended = {
            let mut child = shared.lock();
            let ended = child.as_mut()?.try_wait();
            if !matches!(ended, Ok(None)) {
                *child = None;
            }
            ended
        };
        match ended {
            Ok(Some(status)) => return Some(status.to_string()),
            Err(error) => return Some(error.to_string()),
            Ok(None) => {}
        }
        let pause = if stopping.load(Ordering::SeqCst) { 5 } else { 100 };
        std::thread::park_timeout(Duration::from_millis(pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_a_restore_leaves_out_is_in_the_configuration() {
        assert_eq!(CONFIGURATION.matches(SYNCS).count(), 1);
    }
}
