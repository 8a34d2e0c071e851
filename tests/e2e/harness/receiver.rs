//! Someone who is called back: an HTTP server that keeps what it got.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use tokio::{net::TcpListener, task::JoinHandle};

use super::wait_until;

pub(crate) struct Receiver {
    pub(crate) url: String,
    state: Arc<Received>,
    task: JoinHandle<()>,
}

#[derive(Clone, Debug)]
pub(crate) struct Callback {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

struct Received {
    callbacks: Mutex<Vec<Callback>>,
    refusal: StatusCode,
    refusals_left: AtomicUsize,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::refusing(0, StatusCode::OK).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        Self::listen(address, 0, StatusCode::OK).await
    }

    /// This many callbacks get this status at first.
    pub(crate) async fn refusing(times: usize, refusal: StatusCode) -> Self {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), times, refusal).await
    }

    async fn listen(address: SocketAddr, times: usize, refusal: StatusCode) -> Self {
        let state = Arc::new(Received { callbacks: Mutex::default(), refusal, refusals_left: times.into() });
        let router =
            Router::new().fallback(post(take)).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&state));
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, state, task }
    }

    /// All that came so far, refused or not.
    pub(crate) fn callbacks(&self) -> Vec<Callback> {
        self.state.callbacks.lock().unwrap().clone()
    }

    /// Waits until this many have come, for each of them until the deadline: many take long on a busy machine.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Callback> {
        for more in 1..=count {
            wait_until(&format!("callback {more} of {count} comes"), async || {
                self.state.callbacks.lock().unwrap().len() >= more
            })
            .await;
        }
        self.callbacks()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Callback {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn take(State(state): State<Arc<Received>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    state.callbacks.lock().unwrap().push(Callback { path: uri.to_string(), headers, body });
    let left = state.refusals_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if left.is_ok() { state.refusal } else { StatusCode::OK }
}
