//! Watches the NATS server that `skep up` has started.
//!
//! After an error of the disk the server takes nothing more into a stream until it is started again, also when the disk is well.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use skep_backoff::Backoff;
use skep_bus::SystemAccount;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::nats::RunningChild;

const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// While it makes a stream, a busy server may say for a moment that it cannot recover it: this look is the first that is reported.
const REPORTED_CHECK: u32 = 3;
/// It is left alone for this many looks.
const MIN_SICK_CHECKS: u32 = 5;
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// A disk that does not answer is not well.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// A disk that takes this much has space for a while.
const PROBE_BYTES: usize = 4 * 1024 * 1024;
/// Between two starts, when they do not help.
const RESTARTS: Backoff = Backoff::new(CHECK_INTERVAL, Duration::from_secs(60));

/// Starts the server again when it is sick and the disk is well.
pub(crate) async fn watch(server: SystemAccount, child: RunningChild, data_dir: PathBuf) {
    let mut looks = 0;
    let mut restarts = RESTARTS.delays();
    loop {
        sleep(CHECK_INTERVAL).await;
        let Some(reason) = server.complaint().await else {
            looks = 0;
            restarts.reset();
            continue;
        };
        looks += 1;
        if looks == REPORTED_CHECK {
            error!(reason, "nats-server is not well; calls to the queue are refused");
        }
        if looks >= MIN_SICK_CHECKS && takes_writes(&data_dir).await {
            warn!("the disk takes writes, so nats-server is started again");
            restart(&child).await;
            sleep(restarts.next_delay()).await;
        }
    }
}

async fn takes_writes(data_dir: &Path) -> bool {
    let file = data_dir.join("probe");
    let probe = tokio::task::spawn_blocking(move || {
        let written = File::create(&file).and_then(|mut probe| {
            probe.write_all(&vec![0; PROBE_BYTES])?;
            probe.sync_all()
        });
        // It was not even made, or it is only overwritten the next time.
        let _ = std::fs::remove_file(&file);
        written.is_ok()
    });
    matches!(timeout(PROBE_TIMEOUT, probe).await, Ok(Ok(true)))
}

/// Ends the process; its supervisor starts another one.
async fn restart(child: &RunningChild) {
    let before = child.id();
    child.signal(Signal::TERM);
    let ended = async {
        while before.is_some() && child.id() == before {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(STOP_TIMEOUT, ended).await.is_err() {
        child.signal(Signal::KILL);
    }
}
