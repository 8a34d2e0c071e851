//! Bodies of requests: passed on as a stream, gathered up to a limit, or stored as they come; a caller that stalls is given up.

use std::{error::Error as StdError, pin::Pin, time::Duration};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use skep_bus::{Bodies, NotKept};
use skep_dispatch::{Awaited, Stalled};
use skep_protocol::{BodyKind, CallBody, CallId, causes};
use tokio::time::{Instant, timeout, timeout_at};

use crate::{Error, Result};

/// A gathered body must be complete within this time, plus one second for each of these many bytes, however steadily it trickles.
const GATHER_TIMEOUT: Duration = Duration::from_secs(300);
const MIN_BYTES_PER_SECOND: u64 = 64 * 1024;

/// What is read at most of a body that is refused.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// How much is gathered at most, and what an error says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit {
    pub(crate) bytes: u64,
    /// Where the limit comes from, so that the reader knows what to change.
    pub(crate) origin: &'static str,
}

/// The body as a function gets it: as it comes.
pub(crate) fn streamed<B>(body: B, idle: Duration) -> skep_http::Body
where
    B: HttpBody<Data = Bytes, Error: Into<skep_dispatch::BodyError>> + Send + Unpin + 'static,
{
    if body.is_end_stream() {
        return skep_http::Body::empty();
    }
    skep_http::Body::new(Awaited::new(body, idle))
}

/// The same of a body that may be here already: that one keeps nobody waiting.
pub(crate) fn passed_on(body: skep_http::Body, idle: Duration) -> skep_http::Body {
    if body.is_whole() { body } else { streamed(body, idle) }
}

/// All of the body; of one that is too large no more than the limit is ever held. `take` may refuse it when more of it comes.
pub(crate) async fn gathered(
    headers: &HeaderMap,
    body: Body,
    limit: BodyLimit,
    idle: Duration,
    mut take: impl FnMut(&Bytes) -> Result<()>,
) -> Result<Bytes> {
    let mut arriving = Arriving::begin(headers, body, limit, idle).await?;
    let mut gathered = Vec::new();
    let mut left = limit.bytes;
    let mut data = arriving.data();
    while let Some(frame) = data.try_next().await? {
        let Some(rest) = left.checked_sub(frame.len() as u64) else {
            drop(data);
            return Err(arriving.too_large().await);
        };
        left = rest;
        if let Err(refused) = take(&frame) {
            drop(data);
            arriving.discard().await;
            return Err(refused);
        }
        gathered.push(frame);
    }
    Ok(match gathered.len() {
        1 => gathered.remove(0),
        _ => gathered.concat().into(),
    })
}

/// The body of a call that is queued: all of it, or stored as it comes if it is large; each piece goes to `seen` too.
pub(crate) async fn kept(
    bodies: &Bodies,
    call_id: &CallId,
    headers: &HeaderMap,
    body: Body,
    limit: BodyLimit,
    idle: Duration,
    mut seen: impl FnMut(&Bytes) + Send,
) -> Result<CallBody> {
    let mut arriving = Arriving::begin(headers, body, limit, idle).await?;
    let kept =
        bodies.keep(BodyKind::Request, call_id, limit.bytes, arriving.data().inspect_ok(|data| seen(data))).await;
    match kept {
        Ok(kept) => Ok(kept),
        Err(NotKept::TooLarge) => Err(arriving.too_large().await),
        Err(NotKept::Broken(error)) => Err(error),
        Err(NotKept::Bus(error)) => {
            arriving.discard().await;
            Err(error.into())
        }
    }
}

/// A body that is on its way.
struct Arriving {
    body: Awaited<Body>,
    limit: BodyLimit,
    idle: Duration,
}

impl Arriving {
    /// Refuses a body at once that says it is too large.
    async fn begin(headers: &HeaderMap, body: Body, limit: BodyLimit, idle: Duration) -> Result<Self> {
        let arriving = Self { body: Awaited::new(body, idle), limit, idle };
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > limit.bytes) {
            return Err(arriving.too_large().await);
        }
        Ok(arriving)
    }

    /// Its data as it comes; a caller that stalls, or is too slow on the whole, is given up.
    fn data(&mut self) -> Pin<Box<impl Stream<Item = Result<Bytes>> + use<'_>>> {
        let (began, idle, body) = (Instant::now(), self.idle, &mut self.body);
        Box::pin(stream::try_unfold((body, 0), move |(body, came)| async move {
            let deadline = began + GATHER_TIMEOUT + Duration::from_secs(came / MIN_BYTES_PER_SECOND);
            let data = match timeout_at(deadline, data_of(body)).await {
                Ok(Ok(Some(data))) => data,
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) if is_stalled(error.as_ref()) => return Err(Error::SlowBody(idle)),
                Ok(Err(_)) => return Err(Error::BrokenBody),
                Err(_) => return Err(Error::SlowBody(deadline - began)),
            };
            let came = came + data.len() as u64;
            Ok(Some((data, (body, came))))
        }))
    }

    async fn too_large(mut self) -> Error {
        self.discard().await;
        Error::BodyTooLarge { limit: self.limit.bytes, origin: self.limit.origin }
    }

    /// Reads some of a body that is refused: a caller that still sends does not see an answer on a connection that is closed to it.
    async fn discard(&mut self) {
        let mut left = MAX_DISCARDED;
        let rest = async {
            while let Ok(Some(data)) = data_of(&mut self.body).await {
                match left.checked_sub(data.len()) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        // The answer is the same, however much came.
        let _ = timeout(DISCARD_TIMEOUT, rest).await;
    }
}

/// The next data of a body; trailers are passed over.
async fn data_of(body: &mut Awaited<Body>) -> Result<Option<Bytes>, skep_dispatch::BodyError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Whether an error of a body, wherever it surfaces, began with a caller that stalled.
pub(crate) fn is_stalled(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<Stalled>())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    const LIMIT: BodyLimit = BodyLimit { bytes: 4, origin: "a test" };

    async fn gather(body: Body) -> Result<Bytes> {
        gathered(&HeaderMap::new(), body, LIMIT, Duration::from_millis(20), |_| Ok(())).await
    }

    #[tokio::test]
    async fn a_body_is_gathered_up_to_its_limit() {
        assert_eq!(gather(Body::from("1234")).await.unwrap(), "1234");
        let error = gather(Body::from("12345")).await.unwrap_err();
        assert_eq!(error.to_string(), "body is larger than 4 bytes, a test");
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 5.into());
        let early = gathered(
            &headers,
            Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()),
            LIMIT,
            Duration::MAX,
            |_| Ok(()),
        );
        assert!(matches!(early.await, Err(Error::BodyTooLarge { .. })));
    }

    #[tokio::test]
    async fn a_body_that_stalls_is_slow_and_one_that_breaks_is_broken() {
        let stalled = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        assert!(matches!(gather(stalled).await, Err(Error::SlowBody(_))));
        let broken = Body::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]));
        assert!(matches!(gather(broken).await, Err(Error::BrokenBody)));
    }
}
