//! A timeout that often starts again, and seldom expires.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// The runtime's timer is moved on only when it went off too soon.
pub(crate) struct LazySleep {
    timer: Pin<Box<Sleep>>,
    began: Instant,
    lasts: Duration,
}

impl LazySleep {
    pub(crate) fn new(lasts: Duration) -> Self {
        Self { timer: Box::pin(sleep(lasts)), began: Instant::now(), lasts }
    }

    pub(crate) fn restart(&mut self) {
        self.began = Instant::now();
    }

    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            // A time that the clock does not reach never comes.
            let Some(deadline) = self.began.checked_add(self.lasts) else { return Poll::Pending };
            if self.timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_goes_off_so_long_after_it_was_begun_last() {
        let mut sleep = LazySleep::new(10 * SECOND);
        let began = Instant::now();
        advance(7 * SECOND).await;
        sleep.restart();
        advance(4 * SECOND).await;
        assert!(poll_fn(|context| Poll::Ready(sleep.poll(context).is_pending())).await);
        poll_fn(|context| sleep.poll(context)).await;
        assert_eq!(began.elapsed(), 17 * SECOND);
        sleep.restart();
        poll_fn(|context| sleep.poll(context)).await;
        assert_eq!(began.elapsed(), 27 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lasts_longer_than_the_clock_does_not_end() {
        let mut sleep = LazySleep::new(Duration::MAX);
        assert!(poll_fn(|context| Poll::Ready(sleep.poll(context).is_pending())).await);
    }
}
