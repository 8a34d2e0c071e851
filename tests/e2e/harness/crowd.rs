//! A gateway whose installation has a thousand functions that are called 200 times a second, as far as a page can see.
//!
//! It passes everything on to a real gateway but the figures, which it makes up: as many processes would be too many for a test.

use std::{convert::Infallible, net::Ipv4Addr, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::get,
};
use futures_util::stream;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

use super::{Gateway, http_client};

const FUNCTIONS: usize = 1000;
const CALLS: usize = 200;
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Crowd {
    pub(crate) origin: String,
    task: JoinHandle<()>,
}

impl Crowd {
    pub(crate) async fn start(gateway: &Gateway) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/system/stats/stream", get(async || Sse::new(stream::unfold(0, next))))
            .route("/system/status", get(async || Json(status())))
            .fallback(pass_on)
            .with_state((http_client(), gateway.url.clone()));
        let task = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { origin, task }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(State((http, url)): State<(Client, String)>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let answer = http.request(request.method().clone(), format!("{url}{path}")).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = (status, Body::from_stream(answer.bytes_stream())).into_response();
    *response.headers_mut() = headers;
    response
}

fn name(number: usize) -> String {
    format!("function-{number:04}")
}

/// All functions in the first second, and those that were called in each one after it.
async fn next(second: u64) -> Option<(Result<Event, Infallible>, u64)> {
    let called: Vec<usize> = match second {
        0 => (0..FUNCTIONS).collect(),
        _ => {
            sleep(INTERVAL).await;
            (0..CALLS).map(|_| fastrand::usize(0..FUNCTIONS)).collect()
        }
    };
    let rows: Vec<Value> = called.iter().map(|number| row(*number)).collect();
    let event = json!({
        "at": time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339).unwrap(),
        "state": "live", "ms": 1000, "all": second == 0, "functions": rows,
        "totals": { "done": CALLS, "waiting": 0, "senders": 2, "functions": FUNCTIONS },
    });
    Some((Ok(Event::default().data(event.to_string())), second + 1))
}

fn row(number: usize) -> Value {
    json!({
        "name": name(number), "arrived": 1, "done": 1, "failed": fastrand::u64(0..10) / 9, "busyMs": fastrand::u64(1..500),
        "inFlight": fastrand::u64(0..3), "waiting": fastrand::u64(0..5), "ageMs": fastrand::u64(0..900),
        "replicas": 2, "ready": 2, "starting": 0,
    })
}

fn status() -> Value {
    let functions = (0..FUNCTIONS).map(|number| {
        json!({
            "name": name(number), "replicas": 2, "availableReplicas": 2, "ended": 1, "failed": 0, "seconds": 0.1,
            "inFlight": 0, "queueDepth": 0, "queueAgeSeconds": 0.0, "deadLetters": 0,
        })
    });
    let at = time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339).unwrap();
    json!({ "at": at, "functions": functions.collect::<Vec<_>>(), "deadLetters": 0 })
}
