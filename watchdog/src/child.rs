//! A process that was started, whose end can be waited for on any thread.

use std::{
    io,
    process::{self, ExitStatus},
    time::Duration,
};

use tokio::time::sleep;

#[cfg(target_os = "linux")]
type Watch = tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>;
#[cfg(not(target_os = "linux"))]
type Watch = std::convert::Infallible;

/// How often to check a process where the kernel does not report its end.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// Unlike tokio's it belongs to a runtime only from the first wait on: one that was started beforehand is waited for by the thread of its call.
#[derive(Debug)]
pub(crate) struct Child {
    child: process::Child,
    watch: Option<Watch>,
}

impl Child {
    pub(crate) fn new(child: process::Child) -> Self {
        Self { child, watch: None }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn streams(&mut self) -> &mut process::Child {
        &mut self.child
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Nothing is lost if this is dropped.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        if self.watch.is_none() {
            self.watch = watch(&self.child);
        }
        loop {
            self.changed().await?;
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
        }
    }

    #[cfg(target_os = "linux")]
    async fn changed(&self) -> io::Result<()> {
        match &self.watch {
            Some(watch) => watch.readable().await.map(|mut ready| ready.clear_ready()),
            None => {
                sleep(CHECK_INTERVAL).await;
                Ok(())
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    async fn changed(&self) -> io::Result<()> {
        sleep(CHECK_INTERVAL).await;
        Ok(())
    }
}

/// `None` on a kernel that has no such descriptor, or when there are too many.
#[cfg(target_os = "linux")]
#[expect(
    deprecated,
    reason = "what replaces it is unsafe, because of types whose descriptor may change; this one's does not"
)]
fn watch(child: &process::Child) -> Option<Watch> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use tokio::io::Interest;

    let pid = Pid::from_raw(i32::try_from(child.id()).ok()?)?;
    let descriptor = pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?;
    Watch::with_interest(descriptor, Interest::READABLE).ok()
}

#[cfg(not(target_os = "linux"))]
fn watch(_child: &process::Child) -> Option<Watch> {
    None
}
