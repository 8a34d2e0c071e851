//! How a connection ends.

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use skep_http::FastPath;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::{Client, FAST_PATH, GET, SOON};

/// Tells when it is dropped.
struct Tell(Arc<Notify>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn hello() -> Response<Full<Bytes>> {
    Response::new("hello".into())
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_what_answers_it() {
    let (running, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell_running, tell) = (Arc::clone(&running), Arc::clone(&dropped));
    let answer = move |_: Request<Bytes>| {
        let (running, tell) = (Arc::clone(&tell_running), Tell(Arc::clone(&tell)));
        async move {
            let _tell = tell;
            running.notify_one();
            pending::<Response<Full<Bytes>>>().await
        }
    };
    let client = Client::of(FAST_PATH, answer).await.sends(GET).await;
    timeout(SOON, running.notified()).await.unwrap();
    assert!(timeout(Duration::from_millis(50), dropped.notified()).await.is_err(), "it is still there");
    drop(client);
    timeout(SOON, dropped.notified()).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_an_answer_that_is_being_sent() {
    let dropped = Arc::new(Notify::new());
    let tell = Arc::clone(&dropped);
    let answer = move |_: Request<Bytes>| {
        let tell = Tell(Arc::clone(&tell));
        let pieces = stream::unfold((0, tell), |(number, tell)| async move {
            if number > 0 {
                pending::<()>().await;
            }
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from("hello"))), (number + 1, tell)))
        });
        ready(Response::new(StreamBody::new(Box::pin(pieces))))
    };
    let mut client = Client::of(FAST_PATH, answer).await.sends(GET).await;
    client.reads_to("hello\r\n").await;
    drop(client);
    timeout(SOON, dropped.notified()).await.unwrap();
}

#[tokio::test]
async fn what_comes_while_a_request_is_answered_waits_for_its_turn() {
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let answer = move |request: Request<Bytes>| {
        let wait = Arc::clone(&wait);
        async move {
            wait.notified().await;
            Response::new(Full::from(request.uri().path().to_owned()))
        }
    };
    let mut client = Client::of(FAST_PATH, answer).await.sends(GET).await;
    client = client.sends(GET.replace("/ ", "/second ")).await;
    sleep(Duration::from_millis(50)).await;
    go.notify_one();
    client.reads_to("\r\n\r\n/").await;
    go.notify_one();
    client.reads_to("\r\n\r\n/second").await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    const IDLE: Duration = Duration::from_millis(100);
    let answer = async |_| {
        sleep(2 * IDLE).await;
        hello()
    };
    let client = Client::of(FastPath { idle: Some(IDLE), ..FAST_PATH }, answer).await;
    let asked = Instant::now();
    let mut client = client.sends(GET).await;
    client.reads_to("hello").await;
    assert_eq!(client.until_closed().await, (String::new(), None));
    // It is silent only after the answer.
    assert!(asked.elapsed() >= 3 * IDLE);
}

#[tokio::test]
async fn from_the_end_on_idle_connections_are_closed_and_answers_are_the_last() {
    let mut idle = Client::of(FAST_PATH, |_| ready(hello())).await.sends(GET).await;
    assert!(!idle.reads_to("hello").await.contains("connection"));
    idle.end.notify_one();
    assert_eq!(idle.until_closed().await, (String::new(), None));
    let (running, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&running), Arc::clone(&go));
    let answer = move |_: Request<Bytes>| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            hello()
        }
    };
    let busy = Client::of(FAST_PATH, answer).await.sends(GET).await;
    timeout(SOON, running.notified()).await.unwrap();
    busy.end.notify_one();
    go.notify_one();
    let (answered, given_back) = busy.until_closed().await;
    assert!(answered.contains("connection: close\r\n") && answered.ends_with("hello"), "{answered}");
    assert_eq!(given_back, None);
}
