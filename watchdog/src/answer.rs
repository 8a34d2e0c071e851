//! Answers: their body, and those that the watchdog makes itself.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use skep_protocol::headers::{OPENFAAS_INTERNAL, SKEP_ERROR};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower_http::services::fs::ServeFileSystemResponseBody;

use crate::{
    fork::StreamedBody,
    http::{ProxiedBody, Tunnel},
    limit::Limit,
    metrics::Running,
};

pub(crate) type Answer = Response<AnswerBody>;
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Which watchdog of OpenFaaS an answer's `X-OpenFaaS-Internal` names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Classic,
    OfWatchdog,
    Middleware,
}

pub(crate) struct AnswerBody {
    content: Content,
    in_flight: Option<InFlight>,
}

/// What makes a call one that is running, kept until the last byte of its answer.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// A place among the calls that may run at a time.
    pub(crate) _place: Option<OwnedSemaphorePermit>,
    pub(crate) _running: Running,
    pub(crate) _call: TaskTrackerToken,
}

enum Content {
    Whole(Full<Bytes>),
    Streamed(StreamedBody),
    Proxied(ProxiedBody),
    File(ServeFileSystemResponseBody),
    /// What follows a 101.
    Tunnel(Tunnel),
}

impl AnswerBody {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Content::Whole(Full::new(bytes.into())).into()
    }

    pub(crate) fn proxied(body: ProxiedBody) -> Self {
        Content::Proxied(body).into()
    }

    pub(crate) fn streamed(body: StreamedBody) -> Self {
        Content::Streamed(body).into()
    }

    pub(crate) fn file(body: ServeFileSystemResponseBody) -> Self {
        Content::File(body).into()
    }

    pub(crate) fn tunnel(tunnel: Tunnel) -> Self {
        Content::Tunnel(tunnel).into()
    }

    /// What is to run after a 101 was sent; it keeps the call in flight.
    pub(crate) fn take_tunnel(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        if !matches!(self.content, Content::Tunnel(_)) {
            return None;
        }
        let Content::Tunnel(tunnel) = mem::replace(&mut self.content, Content::Whole(Full::default())) else {
            return None;
        };
        let in_flight = self.in_flight.take();
        Some(async move {
            tunnel.join().await;
            drop(in_flight);
        })
    }

    pub(crate) fn keep(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }
}

impl From<Content> for AnswerBody {
    fn from(content: Content) -> Self {
        Self { content, in_flight: None }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().content {
            Content::Whole(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Content::Streamed(body) => Pin::new(body).poll_frame(context),
            Content::Proxied(body) => Pin::new(body).poll_frame(context),
            Content::File(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Content::Tunnel(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(body) => body.is_end_stream(),
            Content::Streamed(body) => body.is_end_stream(),
            Content::Proxied(body) => body.is_end_stream(),
            Content::File(body) => body.is_end_stream(),
            Content::Tunnel(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(body) => body.size_hint(),
            Content::Streamed(body) => body.size_hint(),
            Content::Proxied(body) => body.size_hint(),
            Content::File(body) => body.size_hint(),
            Content::Tunnel(_) => SizeHint::with_exact(0),
        }
    }
}

/// A plain text answer of the watchdog's own that is no error.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(AnswerBody::whole(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// An error that the watchdog made and not the function; `code` is for programs.
pub(crate) fn refusal(status: StatusCode, code: &'static str, source: Source, body: impl Into<Bytes>) -> Answer {
    let mut answer = text(status, body);
    insert(&mut answer, SKEP_ERROR, code);
    insert(&mut answer, OPENFAAS_INTERNAL, source.name());
    answer
}

pub(crate) fn too_many(limit: &Limit) -> Answer {
    let text = format!("Concurrent request limit exceeded. Max concurrent requests: {}\n", limit.size());
    refusal(StatusCode::TOO_MANY_REQUESTS, "max_inflight", Source::Middleware, text)
}

pub(crate) fn insert(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic-watchdog",
            Self::OfWatchdog => "of-watchdog",
            Self::Middleware => "faas-middleware",
        }
    }
}
