//! Calls that are due wait while the places of calls are copied, because they would go back from a stream that is copied later to one that was copied before.
//!
//! The server itself ends the pause soon after this process is gone.

use std::time::Duration;

use async_nats::jetstream::{context::ConsumerInfoErrorKind, stream::Stream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{BackupError, Operator};
use crate::{
    Error, Result,
    client::clock,
    queue::{ACK_TIMEOUT, overdue::DUE},
};

/// How long a pause lasts that is not renewed.
const PAUSE_TTL: Duration = Duration::from_secs(30);
const RENEW_INTERVAL: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Holds back the calls that are due.
pub(super) struct Pause {
    /// The stream of delayed calls; `None` if nobody takes calls from it yet.
    delayed: Option<Stream>,
}

impl Pause {
    /// Begins it, and waits until no worker moves a call any more that it was given before.
    pub(super) async fn begin(operator: &Operator) -> Result<Self, BackupError> {
        let name = operator.subjects.stream("DELAYED");
        let delayed = match operator.jetstream.get_stream(&name).await {
            Ok(stream) => stream,
            Err(error) if crate::streams::is_missing(error.kind()) => return Ok(Self { delayed: None }),
            Err(error) => return Err(Error::unavailable(error).into()),
        };
        match delayed.consumer_info(DUE).await {
            Ok(_) => {}
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => return Ok(Self { delayed: None }),
            Err(error) => return Err(Error::unavailable(error).into()),
        }
        pause(&delayed).await?;
        let deadline = Instant::now() + ACK_TIMEOUT;
        // What is not acknowledged at its deadline has no worker any more.
        while consumer(&delayed).await?.num_ack_pending > 0 && Instant::now() < deadline {
            sleep(LOOK_INTERVAL).await;
        }
        Ok(Self { delayed: Some(delayed) })
    }

    /// Goes on with it until the work is done; returns what came of that, and whether the pause was kept: a worker that starts ends it.
    pub(super) async fn hold<F: Future>(&self, work: F) -> Result<(F::Output, bool), BackupError> {
        let Some(delayed) = &self.delayed else { return Ok((work.await, true)) };
        let mut renew = interval(RENEW_INTERVAL);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renew.tick().await;
        let mut was_kept = true;
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return Ok((output, was_kept && consumer(delayed).await?.paused)),
                _ = renew.tick() => {
                    was_kept &= consumer(delayed).await?.paused;
                    pause(delayed).await?;
                }
            }
        }
    }

    pub(super) async fn end(self) -> Result<()> {
        let Some(delayed) = self.delayed else { return Ok(()) };
        delayed.resume_consumer(DUE).await.map_err(Error::unavailable)?;
        Ok(())
    }
}

async fn pause(delayed: &Stream) -> Result<(), BackupError> {
    let paused = delayed.pause_consumer(DUE, clock::now() + PAUSE_TTL).await.map_err(Error::unavailable)?;
    if paused.paused {
        return Ok(());
    }
    Err(BackupError::Refused(
        "calls that are due cannot be held back: the clocks of this machine and of the NATS server differ".to_owned(),
    ))
}

async fn consumer(delayed: &Stream) -> Result<async_nats::jetstream::consumer::Info> {
    delayed.consumer_info(DUE).await.map_err(Error::unavailable)
}
