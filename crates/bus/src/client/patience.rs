//! Steps of a start, which wait for NATS.

use std::{fmt::Display, time::Duration};

use skep_backoff::Backoff;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

/// After this time a step fails whose cause might pass: something else is wrong.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
const RETRIES: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(2));

/// Takes a step of a start again and again while it fails for a cause that may pass, for ten minutes.
///
/// A server whose disk is slow, or that is started again, does not answer for a while.
pub async fn patiently<T, E: Display, Step: Future<Output = Result<T, E>>>(
    what: &str,
    may_pass: impl Fn(&E) -> bool,
    mut step: impl FnMut() -> Step,
) -> Result<T, E> {
    let (began, mut delays, mut is_logged) = (Instant::now(), RETRIES.delays(), false);
    loop {
        let error = match step().await {
            Err(error) if may_pass(&error) && began.elapsed() < PATIENCE => error,
            ended => {
                if is_logged && ended.is_ok() {
                    info!(step = what, "the start goes on");
                }
                return ended;
            }
        };
        if !std::mem::replace(&mut is_logged, true) {
            warn!(step = what, %error, "the start waits for NATS");
        }
        sleep(delays.next_delay()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Takes a step that fails this often with this error; returns how it ended, and how often it was taken.
    async fn taken(error: &'static str, failures: u32) -> (Result<(), &'static str>, u32) {
        let steps = Cell::new(0);
        let step = || {
            steps.set(steps.get() + 1);
            std::future::ready(if steps.get() <= failures { Err(error) } else { Ok(()) })
        };
        let ended = patiently("step", |error| *error == "away", step).await;
        (ended, steps.get())
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_taken_again_until_it_succeeds() {
        assert_eq!(taken("away", 19).await, (Ok(()), 20));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_ends_at_once_and_what_might_in_the_end() {
        assert_eq!(taken("wrong", u32::MAX).await, (Err("wrong"), 1));
        let began = Instant::now();
        let (ended, steps) = taken("away", u32::MAX).await;
        assert_eq!(ended, Err("away"));
        assert!(steps > 100 && began.elapsed() >= PATIENCE);
    }
}
