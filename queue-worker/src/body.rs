//! Bodies of calls and answers, in memory or streamed from the bus.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use skep_bus::{Bodies, Result};
use skep_dispatch::{Body, BodyError};
use skep_protocol::CallBody;
use tokio::time::timeout;

/// Opens a body, of which the first piece must be there.
pub(crate) async fn streamed(bodies: &Bodies, body: &CallBody) -> Result<Body> {
    match body {
        CallBody::Whole(bytes) => Ok(Body::from(bytes.clone())),
        CallBody::Stored(stored) => {
            let pieces = bodies.open(stored).await?;
            Ok(Body::new(StreamBody::new(pieces.map_ok(Frame::data))))
        }
    }
}

/// An answer as it arrives; it breaks off when nothing arrives for this long.
pub(crate) fn answered(body: Body, idle_timeout: Duration) -> impl Stream<Item = Result<Bytes, BodyError>> {
    stream::try_unfold(body.into_data_stream(), move |mut data| async move {
        match timeout(idle_timeout, data.try_next()).await {
            Ok(piece) => Ok(piece?.map(|piece| (piece, data))),
            Err(_) => {
                let allowed = "longer than its timeout (skep.timeout) allows";
                Err(format!("nothing of its answer came for {idle_timeout:?}, {allowed}").into())
            }
        }
    })
}
