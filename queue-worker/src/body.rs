//! The body that a function is given: from memory, or streamed from where it is kept.

use futures_util::TryStreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use skep_bus::{Bus, Result};
use skep_dispatch::{Body, full_body};
use skep_protocol::CallBody;

/// Opens a body, of which the first piece must be there.
pub(crate) async fn streamed(bus: &Bus, body: &CallBody) -> Result<Body> {
    match body {
        CallBody::Whole(bytes) => Ok(full_body(bytes.clone())),
        CallBody::Stored(stored) => {
            let pieces = bus.open_body(stored).await?;
            Ok(StreamBody::new(pieces.map_ok(Frame::data).map_err(Into::into)).boxed_unsync())
        }
    }
}
