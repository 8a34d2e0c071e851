//! SIGTERM and SIGINT: the first begins an orderly end, the second ends at once.

use std::{io, process};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Cancels `shutdown` at the first signal and ends the process at the second, with 128 plus the signal's number.
///
/// It returns only if signals cannot be listened to, so it is meant to be one branch of `main`'s `select!`.
pub(crate) async fn shutdown_signal(shutdown: CancellationToken) -> io::Error {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return error,
    };
    let first = signals.next().await;
    info!(signal = first.as_raw_value(), "shutting down; a second signal ends at once");
    shutdown.cancel();
    let second = signals.next().await;
    warn!(signal = second.as_raw_value(), "ended by a second signal");
    process::exit(128 + second.as_raw_value());
}

/// Returns at the first SIGTERM or SIGINT.
pub(crate) async fn first_signal() -> io::Result<()> {
    Signals::listen()?.next().await;
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}
