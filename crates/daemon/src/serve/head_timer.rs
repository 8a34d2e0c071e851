//! The timer for the heads of one connection's requests.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};
use tokio::time;

/// hyper sets it for each request, and it seldom goes off.
/// So one timer of the runtime is kept from request to request, and moved on only when it went off too soon.
#[derive(Clone, Default)]
pub(super) struct HeadTimer(Arc<Mutex<Option<Pin<Box<time::Sleep>>>>>);

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let deadline = deadline.into();
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let kept = kept.filter(|kept| kept.deadline() <= deadline);
        let sleep = kept.unwrap_or_else(|| Box::pin(time::sleep_until(deadline)));
        Box::pin(HeadSleep { sleep: Some(sleep), deadline, timer: self.clone() })
    }

    fn now(&self) -> Instant {
        time::Instant::now().into()
    }
}

struct HeadSleep {
    /// `None` only when it is given back.
    sleep: Option<Pin<Box<time::Sleep>>>,
    deadline: time::Instant,
    timer: HeadTimer,
}

impl Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline;
        let Some(sleep) = &mut self.sleep else { return Poll::Ready(()) };
        loop {
            ready!(sleep.as_mut().poll(context));
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

impl Drop for HeadSleep {
    fn drop(&mut self) {
        *self.timer.0.lock().unwrap_or_else(PoisonError::into_inner) = self.sleep.take();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_kept_goes_off_when_it_was_set_for_and_not_before() {
        let timer = HeadTimer::default();
        let began = time::Instant::now();
        let mut first = timer.sleep(10 * SECOND);
        assert!(poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_pending())).await);
        time::advance(7 * SECOND).await;
        drop(first);
        timer.sleep(10 * SECOND).await;
        assert_eq!(began.elapsed(), 17 * SECOND);
        // It went off while it was not asked.
        drop(timer.sleep(SECOND));
        time::advance(5 * SECOND).await;
        timer.sleep(10 * SECOND).await;
        assert_eq!(began.elapsed(), 32 * SECOND);
        drop(timer.sleep(10 * SECOND));
        timer.sleep(SECOND).await;
        assert_eq!(began.elapsed(), 33 * SECOND, "sooner than the one before");
    }
}
