//! Bytes on their way to hyper, which is less strict than the fast path: it takes a line that ends without CR, and drops a `Content-Length` beside `Transfer-Encoding`.
//! Here such a line, or the end of such a head, is spoiled, so that hyper answers 400 and closes the connection.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::headers::digits;

/// No head and no trailer may hold it.
const SPOILED: u8 = 0;

/// A connection whose requests are looked at as they are read.
pub(super) struct StrictHeads<S> {
    stream: S,
    place: Place,
    /// The line that has not ended yet.
    line: Vec<u8>,
    max_head_bytes: usize,
    is_upgraded: Arc<AtomicBool>,
}

/// What the next byte belongs to, for requests that hyper takes; it closes the connection after all others.
enum Place {
    /// A head, with what it has said so far.
    Head {
        began: bool,
        body: Option<Framing>,
    },
    /// A body, or a chunk and the end of its line: so many bytes.
    Body {
        left: u64,
        is_chunk: bool,
    },
    ChunkSize,
    Trailers,
    /// It is no HTTP, or nothing that is still answered.
    Passed,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
    /// Both, so it is ambiguous.
    Both,
    /// hyper refuses it.
    Invalid,
}

impl<S> StrictHeads<S> {
    /// Once `is_upgraded` is true, what comes is no longer HTTP.
    pub(super) fn new(stream: S, max_head_bytes: usize, is_upgraded: Arc<AtomicBool>) -> Self {
        Self { stream, place: Place::NEXT, line: Vec::new(), max_head_bytes, is_upgraded }
    }

    fn look_at(&mut self, mut bytes: &mut [u8]) {
        if self.is_upgraded.load(Ordering::Relaxed) {
            self.place = Place::Passed;
        }
        while !bytes.is_empty() {
            let seen = match &mut self.place {
                Place::Passed => return,
                Place::Body { left, is_chunk } => {
                    let seen = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= seen as u64;
                    if *left == 0 {
                        self.place = if *is_chunk { Place::ChunkSize } else { Place::NEXT };
                    }
                    seen
                }
                Place::Head { .. } | Place::ChunkSize | Place::Trailers => self.look_at_line(bytes),
            };
            bytes = bytes.get_mut(seen..).unwrap_or_default();
        }
    }

    /// How many bytes belong to the line.
    fn look_at_line(&mut self, bytes: &mut [u8]) -> usize {
        let end = memchr(b'\n', bytes);
        let seen = end.map_or(bytes.len(), |end| end + 1);
        if self.line.len() + seen > self.max_head_bytes {
            // Too long for hyper, too.
            self.place = Place::Passed;
            return seen;
        }
        self.line.extend_from_slice(bytes.get(..seen).unwrap_or_default());
        let Some(end) = end else { return seen };
        let next = self.line.strip_suffix(b"\r\n").and_then(|line| self.place.after(line));
        if next.is_none() {
            bytes.get_mut(end).into_iter().for_each(|byte| *byte = SPOILED);
        }
        self.place = next.unwrap_or(Place::Passed);
        self.line.clear();
        seen
    }
}

impl Place {
    const NEXT: Self = Self::Head { began: false, body: None };

    /// What follows a line; `None` if it may be understood in two ways.
    fn after(&self, line: &[u8]) -> Option<Self> {
        Some(match *self {
            Self::Head { began: false, .. } if line.is_empty() => Self::NEXT,
            Self::Head { began: true, body } if line.is_empty() => match body {
                None | Some(Framing::Length(0)) => Self::NEXT,
                Some(Framing::Length(left)) => Self::Body { left, is_chunk: false },
                Some(Framing::Chunked) => Self::ChunkSize,
                Some(Framing::Both) => return None,
                Some(Framing::Invalid) => Self::Passed,
            },
            Self::Head { body, .. } => Self::Head { began: true, body: Framing::with(body, line) },
            Self::ChunkSize => match chunk_size(line) {
                Some(0) => Self::Trailers,
                Some(size) => Self::Body { left: size.saturating_add(2), is_chunk: true },
                None => Self::Passed,
            },
            Self::Trailers if line.is_empty() => Self::NEXT,
            Self::Trailers => Self::Trailers,
            Self::Body { .. } | Self::Passed => Self::Passed,
        })
    }
}

impl Framing {
    /// What a line adds to it.
    fn with(before: Option<Self>, line: &[u8]) -> Option<Self> {
        let Some(colon) = memchr(b':', line) else { return before };
        let (name, value) = line.split_at(colon);
        let found = if name.eq_ignore_ascii_case(b"transfer-encoding") {
            Self::Chunked
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
            digits(value).map_or(Self::Invalid, Self::Length)
        } else {
            return before;
        };
        Some(match (before, found) {
            (Some(Self::Chunked | Self::Both), Self::Length(_) | Self::Invalid)
            | (Some(Self::Length(_) | Self::Invalid | Self::Both), Self::Chunked) => Self::Both,
            (_, found) => found,
        })
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    u64::from_str_radix(str::from_utf8(line.get(..digits)?).ok()?, 16).ok()
}

impl<S: AsyncRead + Unpin> AsyncRead for StrictHeads<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.look_at(buffer.filled_mut().get_mut(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StrictHeads<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Mutex};

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt, Empty};
    use hyper::{body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use proptest::{prelude::*, sample::select};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What hyper reads of bytes that come in pieces of this length, and what it answers.
    async fn read_by_hyper(raw: &[u8], piece: usize, is_strict: bool) -> (Vec<String>, String) {
        let found = Mutex::new(Vec::new());
        let (client, server) = duplex(piece);
        let service = service_fn(async |request: Request<Incoming>| {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| (body.trailers().cloned(), body.to_bytes()));
            found.lock().unwrap().push(format!("{} {} {:?} {body:?}", head.method, head.uri, head.headers));
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        });
        let (mut reader, mut writer) = tokio::io::split(client);
        let mut answers = Vec::new();
        let talk = async {
            let send = async {
                // hyper may have closed.
                let _ = writer.write_all(raw).await;
                let _ = writer.shutdown().await;
            };
            tokio::join!(send, reader.read_to_end(&mut answers)).1.unwrap();
        };
        if is_strict {
            let strict = StrictHeads::new(server, 64 << 10, Arc::default());
            let _ = tokio::join!(
                http1::Builder::new().half_close(true).serve_connection(TokioIo::new(strict), service),
                talk
            );
        } else {
            let _ = tokio::join!(
                http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service),
                talk
            );
        }
        (found.into_inner().unwrap(), String::from_utf8_lossy(&answers).into_owned())
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// Requests that mean one thing only, with line feeds in their bodies.
    fn good() -> impl Strategy<Value = Vec<u8>> {
        let body = prop::collection::vec(select(b"\r\n:0a\0".to_vec()), 0..20);
        let start =
            select(vec!["POST / HTTP/1.1\r\n", "\r\nPUT /a HTTP/1.1\r\nX: y\r\n", "GET / HTTP/1.1\r\nTE: a\r\n"]);
        let end = select(vec!["\r\n", "Digest: a\r\n\r\n"]);
        let extension = select(vec!["", " ", ";a=b"]);
        (start, prop::collection::vec(body, 0..4), end, extension, any::<bool>()).prop_map(
            |(start, bodies, end, extension, is_chunked)| {
                if !is_chunked {
                    let body = bodies.concat();
                    let head = format!("{start}content-Length:\t{} \r\n\r\n", body.len());
                    return [head.as_bytes(), &body].concat();
                }
                let mut raw = format!("{start}Transfer-encoding: chunked\r\n\r\n").into_bytes();
                for body in bodies.iter().filter(|body| !body.is_empty()) {
                    raw.extend(format!("{:x}{extension}\r\n", body.len()).bytes());
                    raw.extend([body, b"\r\n".as_slice()].concat());
                }
                raw.extend(format!("000{extension}\r\n{end}").bytes());
                raw
            },
        )
    }

    fn bad() -> impl Strategy<Value = &'static str> {
        select(vec![
            "\nGET /bad HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /bad HTTP/1.1\nHost: a\r\n\r\n",
            "GET /bad HTTP/1.1\r\nHost: a\n\r\n",
            "GET /bad HTTP/1.1\r\nHost: a\r\n\n",
            "GET /bad HTTP/1.1\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET /bad HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET /bad HTTP/1.1\r\ntransfer-encoding: chunked\r\nX: y\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        ])
    }

    proptest! {
        #[test]
        fn hyper_reads_good_requests_as_it_would_without(
            requests in prop::collection::vec(good(), 1..5), piece in 1_usize..60,
        ) {
            let (raw, number) = (requests.concat(), requests.len());
            let (found, answers) = block_on(read_by_hyper(&raw, piece, true));
            prop_assert_eq!(found.len(), number, "{}", &answers);
            prop_assert_eq!((found, answers.matches(" 200 OK").count()), (block_on(read_by_hyper(&raw, piece, false)).0, number));
        }

        #[test]
        fn a_head_that_can_be_read_in_two_ways_is_400_and_the_last_one(
            requests in prop::collection::vec(good(), 0..4), bad in bad(), piece in 1_usize..60,
        ) {
            let raw = [&requests.concat(), bad.as_bytes(), b"GET /smuggled HTTP/1.1\r\n\r\n"].concat();
            let (found, answers) = block_on(read_by_hyper(&raw, piece, true));
            prop_assert_eq!((found.len(), answers.matches(" 200 OK").count()), (requests.len(), requests.len()));
            prop_assert_eq!(answers.matches(" 400 Bad Request").count(), 1, "{}", &answers);
        }

        #[test]
        fn whatever_comes_hyper_reads_no_more_and_nothing_else_than_it_would_without(
            pieces in prop::collection::vec(prop_oneof![
                good(),
                bad().prop_map(|bad| bad.as_bytes().to_vec()),
                prop::collection::vec(select(b"\r\n:0a; GET/".to_vec()), 0..6),
                select(vec![
                    "POST / HTTP/1.1\r\n", "Content-Length: 3\r\n", "Content-Length: 03\r\n", "Transfer-Encoding: chunked\r\n",
                    "Transfer-Encoding: gzip, chunked\r\n", "content-length : 1\r\n", "\r\n", "3\r\n", "0\r\n", "abc", "X: y\n",
                ]).prop_map(|line| line.as_bytes().to_vec()),
            ], 1..10),
            piece in 1_usize..60,
        ) {
            let raw = pieces.concat();
            let (strict, plain) = (block_on(read_by_hyper(&raw, piece, true)).0, block_on(read_by_hyper(&raw, piece, false)).0);
            // The body of the last one may not have come whole.
            let whole = strict.iter().filter(|one| one.contains("Ok(")).count();
            prop_assert_eq!(strict.get(..whole), plain.get(..whole));
            prop_assert!(strict.len() <= plain.len());
        }
    }

    #[test]
    fn trailers_with_a_bare_line_feed_are_refused() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
        let (found, _) = block_on(read_by_hyper(format!("{head}X: a\nY: b\r\n\r\n").as_bytes(), 99, true));
        assert!(found.len() == 1 && found[0].contains("Err("), "{found:?}");
    }
}
