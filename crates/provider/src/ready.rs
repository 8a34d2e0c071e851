//! Asks a watchdog whether it can serve.

use std::{net::SocketAddr, time::Duration};

use http::StatusCode;
use skep_backoff::Backoff;

/// A watchdog that does not answer within this time is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at one that serves.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// How soon it is asked again, at first and at most.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(250));

/// Returns when the watchdog has answered that it can serve; the caller bounds it.
pub(crate) async fn until_ready(address: SocketAddr, path: &str) {
    let mut delays = BACKOFF.delays();
    loop {
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, ask(address, path)).await;
        if let Ok(Ok(true)) = asked {
            return;
        }
        tokio::time::sleep(delays.next_delay()).await;
    }
}

/// Returns when the watchdog has answered that it cannot serve now, as when the program of its http mode is down.
///
/// One that does not answer in time is busy, and one that is gone is noticed by its end.
pub(crate) async fn until_unready(address: SocketAddr, path: &str) {
    loop {
        tokio::time::sleep(PROBE_INTERVAL).await;
        let asked = tokio::time::timeout(ANSWER_TIMEOUT, ask(address, path)).await;
        if let Ok(Ok(false)) = asked {
            return;
        }
    }
}

/// One GET; 429 means that it is busy, and so alive. An error is no answer.
async fn ask(address: SocketAddr, path: &str) -> skep_http::Result<bool> {
    let answer = skep_http::get(address, path).await?;
    Ok(matches!(answer.status(), StatusCode::OK | StatusCode::TOO_MANY_REQUESTS))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn only_200_and_429_are_ready() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(true)),
            ("HTTP/1.1 429 Too Many Requests\r\n\r\n", Some(true)),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some(false)),
            ("HTTP/1.1 2", None),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
                drop(stream);
            };
            let (asked, ()) = tokio::join!(ask(address, "/"), server);
            assert_eq!(asked.ok(), expected, "{answer}");
        }
    }
}
