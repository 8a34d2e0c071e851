//! Bodies of requests: piece by piece, whole, or thrown away.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;
use skep_http::Body;
use thiserror::Error;
use tokio::time::timeout;

use crate::answer::{Answer, Source, refusal};

/// How long a client may go on sending to a function that has answered.
const LINGER_TIMEOUT: Duration = Duration::from_secs(10);

/// The next piece of a body, for which the client has `idle` (0 is for ever); trailers count as an empty one.
pub(crate) async fn next_piece<B>(body: &mut B, idle: Duration) -> Result<Option<Bytes>, String>
where
    B: http_body::Body<Data = Bytes, Error: ToString> + Unpin,
{
    let frame = if idle.is_zero() { Ok(body.frame().await) } else { timeout(idle, body.frame()).await };
    match frame {
        Err(_) => Err("the client stopped sending".to_owned()),
        Ok(None) => Ok(None),
        Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        Ok(Some(Err(error))) => Err(error.to_string()),
    }
}

/// Why a body is not there as a whole.
#[derive(Debug, Error)]
pub(crate) enum NotCollected {
    #[error("the body is larger than input_buffer_size, {0} bytes")]
    TooLarge(usize),
    #[error("{0}")]
    Broken(String),
}

impl NotCollected {
    pub(crate) fn answer(&self, source: Source) -> Answer {
        let (status, code) = match self {
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::Broken(_) => (StatusCode::BAD_REQUEST, "bad_body"),
        };
        refusal(status, code, source, format!("{self}\n"))
    }
}

/// The whole body, of which no more than the limit is ever held.
pub(crate) async fn collect(mut body: Body, idle: Duration, limit: usize) -> Result<Bytes, NotCollected> {
    let mut whole = BytesMut::new();
    while let Some(data) = next_piece(&mut body, idle).await.map_err(NotCollected::Broken)? {
        if whole.len() + data.len() > limit {
            drop(whole);
            // A client that still sends would not see the answer on a connection that is closed to it.
            discard(body).await;
            return Err(NotCollected::TooLarge(limit));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// Reads the rest of a body that nobody wants.
pub(crate) async fn discard(mut body: Body) {
    let rest = async { while let Ok(Some(_)) = next_piece(&mut body, Duration::ZERO).await {} };
    // A client that sends for longer loses the connection.
    let _ = timeout(LINGER_TIMEOUT, rest).await;
}
