//! One GET over a connection of its own, as health checks send it.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty};
use tokio::net::TcpStream;

use crate::{Connection, Error, Outgoing, Result};

/// The longest answer that a health check reads.
const MAX_BODY: usize = 16 << 10;

/// Asks a server for a path, and reads its answer to the end, or as far as it may be long.
///
/// It has no time limit; dropping the future closes the connection.
pub async fn get(address: SocketAddr, path: &str) -> Result<Response<Bytes>> {
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Error::Body(error.into()))?;
    let connection = Connection::new(TcpStream::connect(address).await?);
    let answer = connection.send(Outgoing::new(request).await?).await.map_err(|failed| failed.error)?;
    let (parts, mut body) = answer.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() >= MAX_BODY {
            bytes.truncate(MAX_BODY);
            break;
        }
    }
    Ok(Response::from_parts(parts, bytes.freeze()))
}
