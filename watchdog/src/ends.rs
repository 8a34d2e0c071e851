//! What ends the process from outside: signals, and the end of its owner.

use std::{io, thread};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::server::Shutdown;

/// The first SIGTERM or SIGINT drains, the second ends at once. Both handlers live as long as the runtime.
pub(crate) fn on_signals(shutdown: &Shutdown) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        for step in [shutdown.drain, shutdown.now] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            step.cancel();
        }
    });
    Ok(())
}

/// Reads STDIN, which nobody writes to, until it ends. The thread waits in the kernel and ends with the process.
pub(crate) fn with_stdin(gone: CancellationToken) -> io::Result<()> {
    thread::Builder::new().name("lifeline".to_owned()).spawn(move || {
        // An error is an end as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        gone.cancel();
    })?;
    Ok(())
}
