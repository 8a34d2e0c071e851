//! The request's body on its way to STDIN.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use bytes::Bytes;
use http_body::Body as _;
use skep_http::Body;

use crate::{body::next_piece, fork::pipes::Writer};

/// Writes a body as it arrives and as fast as the process reads, then closes STDIN. A process need not read all of it.
#[derive(Debug)]
pub(super) struct Feed {
    stdin: Option<Writer>,
    unsent: Bytes,
    /// The client did not send what it announced.
    broken: Option<String>,
}

impl Feed {
    /// Writes what has already arrived, without waiting. This happens before the process starts, so that it finds its input on STDIN.
    pub(super) async fn begin(stdin: Writer, body: &mut Body) -> Self {
        let mut feed = Self { stdin: Some(stdin), unsent: Bytes::new(), broken: None };
        while let Some(stdin) = &mut feed.stdin {
            let taken = stdin.write(&mut feed.unsent);
            if taken.is_err() || (feed.unsent.is_empty() && body.is_end_stream()) {
                feed.stdin = None;
            } else if !feed.unsent.is_empty() {
                break;
            } else {
                match poll_fn(|context| Poll::Ready(Pin::new(&mut *body).poll_frame(context))).await {
                    Poll::Pending => break,
                    Poll::Ready(None) => feed.stdin = None,
                    Poll::Ready(Some(Ok(frame))) => feed.unsent = frame.into_data().unwrap_or_default(),
                    Poll::Ready(Some(Err(error))) => {
                        feed.broken = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        feed
    }

    /// Writes the rest. If that fails because of the client, STDIN stays open.
    pub(super) async fn finish(&mut self, body: &mut Body, idle: Duration) -> Result<(), String> {
        if let Some(reason) = self.broken.take() {
            return Err(reason);
        }
        while let Some(stdin) = &mut self.stdin {
            if stdin.write_all(&mut self.unsent).await.is_err() {
                self.stdin = None;
                break;
            }
            match next_piece(body, idle).await? {
                Some(data) => self.unsent = data,
                None => self.stdin = None,
            }
        }
        Ok(())
    }
}
