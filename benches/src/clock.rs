//! The time that all processes of this machine share, and a function that tells it.

use std::io::{Read, Write, stdin, stdout};

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock.
pub(crate) fn now_ns() -> Result<u64> {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec)?;
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec)?))
}

/// The function: takes the time when the first bytes of its request come, reads the rest, and answers with that time.
pub(crate) fn run() -> Result<()> {
    let mut input = stdin().lock();
    let length = input.read(&mut [0; 4096])?;
    let started = now_ns()?;
    ensure!(length > 0, "no request");
    input.read_to_end(&mut Vec::new())?;
    stdout().write_all(started.to_string().as_bytes())?;
    Ok(())
}

/// The time in an answer of [`run`].
pub(crate) fn reported(answer: &[u8]) -> Result<u64> {
    let text = String::from_utf8_lossy(answer);
    text.parse().with_context(|| format!("the function answered {text:?}, not a time"))
}
