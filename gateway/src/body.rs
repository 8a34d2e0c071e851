//! Bodies of requests: passed on as a stream, or gathered up to a limit; a caller that stalls is given up.

use std::{error::Error as StdError, time::Duration};

use axum::body::{Body, HttpBody};
use bytes::{Buf, Bytes};
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;
use tower_http::timeout::{TimeoutBody, TimeoutError};

use crate::{Error, Result};

/// A body that is gathered must be all there within this, however steadily it trickles.
const GATHERED_WITHIN: Duration = Duration::from_secs(300);

/// What is read at most of a body that is refused.
const MOST_DISCARDED: usize = 64 * 1024 * 1024;
const DISCARDED_WITHIN: Duration = Duration::from_secs(2);

/// How much is gathered at most, and what an error says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit {
    pub(crate) bytes: usize,
    /// Where the limit comes from, so that the reader knows what to change.
    pub(crate) origin: &'static str,
}

/// The body as a function gets it: as it comes.
pub(crate) fn streamed<B>(body: B, idle: Duration) -> skep_dispatch::Body
where
    B: HttpBody<Data = Bytes, Error: Into<skep_dispatch::BodyError>> + Send + 'static,
{
    if body.is_end_stream() {
        return skep_dispatch::empty_body();
    }
    TimeoutBody::new(idle, body).boxed_unsync()
}

/// All of the body; of one that is too large no more than the limit is ever held.
pub(crate) async fn gathered(headers: &HeaderMap, body: Body, limit: BodyLimit, idle: Duration) -> Result<Bytes> {
    let too_large = || Error::BodyTooLarge { limit: limit.bytes, origin: limit.origin };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let mut body = Box::pin(TimeoutBody::new(idle, body));
    if announced.is_some_and(|length| length > limit.bytes as u64) {
        discard(&mut body).await;
        return Err(too_large());
    }
    match timeout(GATHERED_WITHIN, Limited::new(&mut body, limit.bytes).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(&mut body).await;
            Err(too_large())
        }
        Ok(Err(error)) if is_stalled(error.as_ref()) => Err(Error::SlowBody(idle)),
        Ok(Err(_)) => Err(Error::BrokenBody),
        Err(_) => Err(Error::SlowBody(GATHERED_WITHIN)),
    }
}

/// Reads some of a body that is refused: a caller that still sends does not see an answer on a connection that is closed to it.
async fn discard<B: HttpBody + Unpin>(body: &mut B) {
    let mut left = MOST_DISCARDED;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Buf::remaining);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // The answer is the same, however much came.
    let _ = timeout(DISCARDED_WITHIN, rest).await;
}

/// Whether an error of a body, wherever it surfaces, began with a caller that stalled.
pub(crate) fn is_stalled(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<TimeoutError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    const LIMIT: BodyLimit = BodyLimit { bytes: 4, origin: "a test" };

    async fn gather(body: Body) -> Result<Bytes> {
        gathered(&HeaderMap::new(), body, LIMIT, Duration::from_millis(20)).await
    }

    #[tokio::test]
    async fn a_body_is_gathered_up_to_its_limit() {
        assert_eq!(gather(Body::from("1234")).await.unwrap(), "1234");
        let error = gather(Body::from("12345")).await.unwrap_err();
        assert_eq!(error.to_string(), "body is larger than 4 bytes, a test");
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 5.into());
        let early =
            gathered(&headers, Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()), LIMIT, Duration::MAX);
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
