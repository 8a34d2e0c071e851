//! Bodies of requests: piece by piece, whole, or thrown away.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use tokio::time::timeout;

/// A request's body as it comes, or the whole.
pub(crate) type CallBody = Either<Incoming, Full<Bytes>>;

/// How long a client may go on sending to a function that has answered.
const LINGER: Duration = Duration::from_secs(10);

/// The next piece of a body, for which the client has `idle` (0 is for ever); trailers count as an empty one.
pub(crate) async fn next_piece<B>(body: &mut B, idle: Duration) -> Result<Option<Bytes>, String>
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    let frame = if idle.is_zero() { Ok(body.frame().await) } else { timeout(idle, body.frame()).await };
    match frame {
        Err(_) => Err("the client stopped sending".to_owned()),
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        Ok(Some(Err(error))) => Err(error.to_string()),
    }
}

/// The whole body.
pub(crate) async fn collect(mut body: CallBody, idle: Duration) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(data) = next_piece(&mut body, idle).await? {
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reads the rest of a body that nobody wants.
pub(crate) async fn discard(mut body: CallBody) {
    let rest = async { while let Ok(Some(_)) = next_piece(&mut body, Duration::ZERO).await {} };
    // Whoever sends for longer loses the connection.
    let _ = timeout(LINGER, rest).await;
}
