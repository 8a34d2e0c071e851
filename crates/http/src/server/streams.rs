//! The streams of one HTTP/2 connection: how many are open, and whether their client takes what is sent on them.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep, timeout},
};

/// Data goes to the client in pieces of this size, so that a slow client is seen to take them.
const PIECE: usize = 16 << 10;

/// Runs the streams of one connection, and counts those that are open.
///
/// A stream whose client takes nothing of an answer that is ready is reset after a while.
#[derive(Clone)]
pub(super) struct Streams {
    count: Arc<watch::Sender<Count>>,
    taken_within: Duration,
}

#[derive(Default)]
struct Count {
    open: usize,
    /// There was one before.
    any: bool,
}

impl Streams {
    pub(super) fn new(taken_within: Duration) -> Self {
        Self { count: Arc::default(), taken_within }
    }

    /// Returns when no stream was open for this long: one time before the first stream, another after it.
    pub(super) async fn idle(&self, before_the_first: Duration, after: Duration) {
        let mut count = self.count.subscribe();
        loop {
            // The sender is `self`'s own.
            let _ = count.wait_for(|count| count.open == 0).await;
            let patience = if count.borrow().any { after } else { before_the_first };
            if timeout(patience, count.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (open, taken_within) = (Open::begin(&self.count), self.taken_within);
        // The drain waits for it by `count`.
        tokio::spawn(async move {
            let _open = open;
            let mut stream = pin!(stream);
            let mut untaken = Untaken { within: taken_within, timer: None };
            poll_fn(|context| untaken.poll(stream.as_mut(), context)).await;
        });
    }
}

struct Open(Arc<watch::Sender<Count>>);

impl Open {
    fn begin(count: &Arc<watch::Sender<Count>>) -> Self {
        count.send_modify(|count| *count = Count { open: count.open + 1, any: true });
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|count| count.open -= 1);
    }
}

/// What polling the answer of a stream has shown.
#[derive(Clone, Copy)]
enum Polled {
    /// It did not ask.
    Nothing,
    /// There was something to send.
    Something,
    /// There is nothing yet.
    Wait,
}

thread_local! {
    /// Of the stream that is polled by this thread.
    static POLLED: Cell<Polled> = const { Cell::new(Polled::Nothing) };
}

/// The timeout of a stream that has something to send.
struct Untaken {
    within: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Untaken {
    /// Ready when the stream is, or when it does not even ask for more of its answer.
    fn poll(&mut self, stream: Pin<&mut impl Future<Output = ()>>, context: &mut Context<'_>) -> Poll<()> {
        POLLED.set(Polled::Nothing);
        if stream.poll(context).is_ready() {
            return Poll::Ready(());
        }
        match POLLED.get() {
            Polled::Nothing => {}
            Polled::Something => self.restart(),
            Polled::Wait => self.timer = None,
        }
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(context))
    }

    fn restart(&mut self) {
        match (&mut self.timer, Instant::now().checked_add(self.within)) {
            (Some(timer), Some(deadline)) => timer.as_mut().reset(deadline),
            _ => self.timer = Some(Box::pin(sleep(self.within))),
        }
    }
}

/// Waits for an answer, so that its stream knows that it does.
pub(super) async fn answered<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    poll_fn(|context| {
        let polled = answer.as_mut().poll(context);
        POLLED.set(if polled.is_ready() { Polled::Something } else { Polled::Wait });
        polled
    })
    .await
}

/// The body of an answer, piece by piece.
pub(super) struct Pieces<B> {
    body: B,
    rest: Bytes,
}

impl<B> Pieces<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body, rest: Bytes::new() }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let polled = Pin::new(&mut self.body).poll_frame(context);
            POLLED.set(if polled.is_ready() { Polled::Something } else { Polled::Wait });
            match polled {
                Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(|data| data.len() > PIECE) => {
                    self.rest = frame.into_data().unwrap_or_default();
                }
                other => return other,
            }
        }
        POLLED.set(Polled::Something);
        let length = PIECE.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (of_body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, Full};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A stream that polls its answer at these seconds, with these results.
    async fn asks(times: &'static [(u64, Polled)]) {
        for (after, polled) in times {
            sleep(Duration::from_secs(*after)).await;
            POLLED.set(*polled);
        }
        std::future::pending::<()>().await;
    }

    /// When it is reset, in seconds.
    async fn reset_after(times: &'static [(u64, Polled)]) -> Option<u64> {
        let began = Instant::now();
        let mut untaken = Untaken { within: 60 * SECOND, timer: None };
        let mut stream = pin!(asks(times));
        let reset = poll_fn(|context| untaken.poll(stream.as_mut(), context));
        timeout(3600 * SECOND, reset).await.ok().map(|()| began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_client_that_takes_nothing_of_what_is_ready_is_given_up() {
        assert_eq!(reset_after(&[(0, Polled::Something)]).await, Some(60));
        assert_eq!(reset_after(&[(0, Polled::Something), (50, Polled::Something)]).await, Some(110));
        assert_eq!(reset_after(&[(0, Polled::Wait)]).await, None);
        assert_eq!(reset_after(&[(0, Polled::Something), (50, Polled::Wait)]).await, None);
        assert_eq!(reset_after(&[(0, Polled::Wait), (500, Polled::Something)]).await, Some(560));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_idle_when_no_stream_is_open_for_so_long() {
        let (streams, began) = (Streams::new(SECOND), Instant::now());
        streams.idle(10 * SECOND, 60 * SECOND).await;
        assert_eq!(began.elapsed(), 10 * SECOND);
        let began = Instant::now();
        streams.execute(sleep(100 * SECOND));
        // One that is over before anybody looks counts too.
        let again = async {
            sleep(130 * SECOND).await;
            streams.execute(async {});
        };
        tokio::join!(streams.idle(10 * SECOND, 60 * SECOND), again);
        assert_eq!(began.elapsed(), 190 * SECOND);
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_the_same_body() {
        let whole: Bytes = (0..100_000u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut body = Pieces::new(Full::new(whole.clone()));
        let mut read = Vec::new();
        while !body.is_end_stream() {
            assert_eq!(body.size_hint().exact(), Some((whole.len() - read.len()) as u64));
            let piece: Result<_, Infallible> = body.frame().await.unwrap();
            let piece = piece.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            read.extend_from_slice(&piece);
        }
        assert_eq!(read, whole);
    }
}
