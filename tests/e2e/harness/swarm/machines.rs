//! A node hook that is a server: it knows machines, and says what it was asked. Making them is the test's business.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{Router, extract::State, routing::post, serve::Listener};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
    server::TlsStream,
};

use super::super::wait_for;

pub(crate) struct Machines {
    pub(crate) url: String,
    /// Who vouches for it.
    pub(crate) certificate: String,
    state: Arc<Mutex<Known>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Known {
    machines: Vec<String>,
    asked: Vec<Value>,
    refuses: bool,
    hangs: bool,
}

impl Machines {
    /// What requests are signed with.
    pub(crate) const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    pub(crate) async fn start(address: Ipv4Addr) -> Self {
        let _ = ring::default_provider().install_default();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([address.to_string()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let url = format!("https://{}/machines", listener.local_addr().unwrap());
        let listener = Encrypted { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        let state = Arc::<Mutex<Known>>::default();
        let router = Router::new().route("/machines", post(answer)).with_state(Arc::clone(&state));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, certificate: cert.pem(), state, task }
    }

    /// Whether it accepts nothing from now on.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.known().refuses = refuses;
    }

    /// Whether it answers nothing but lists from now on.
    pub(crate) fn hang(&self, hangs: bool) {
        self.known().hangs = hangs;
    }

    /// It knows this machine from now on.
    pub(crate) fn add(&self, hostname: &str) {
        self.known().machines.push(hostname.to_owned());
    }

    pub(crate) fn remove(&self, hostname: &str) {
        self.known().machines.retain(|machine| machine != hostname);
    }

    /// What it was asked to do with this action, accepted or not.
    pub(crate) fn asked(&self, action: &str) -> Vec<Value> {
        self.known().asked.iter().filter(|ask| ask["action"] == action).cloned().collect()
    }

    /// Waits until it was asked so often.
    pub(crate) async fn wait_for(&self, action: &str, times: usize) -> Vec<Value> {
        let what = format!("{times} times {action}");
        wait_for(&what, async || Some(self.asked(action)).filter(|asked| asked.len() >= times)).await
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap()
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(state): State<Arc<Mutex<Known>>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    if Webhook::new(Machines::KEY).unwrap().verify(&body, &headers).is_err() {
        return (StatusCode::UNAUTHORIZED, "who are you?".to_owned());
    }
    let ask: Value = serde_json::from_slice(&body).unwrap();
    if ask["action"] == "list" {
        // A machine holds one task of a function that needs more than half of it.
        let cores = std::thread::available_parallelism().unwrap();
        let size = json!({ "cpus": cores, "memory": 1_u64 << 40 });
        return (StatusCode::OK, json!({ "machines": state.lock().unwrap().machines, "size": size }).to_string());
    }
    assert_eq!(headers["webhook-id"], ask["key"].as_str().unwrap());
    state.lock().unwrap().asked.push(ask);
    while state.lock().unwrap().hangs {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if state.lock().unwrap().refuses {
        return (StatusCode::SERVICE_UNAVAILABLE, "the quota is used up".to_owned());
    }
    (StatusCode::NO_CONTENT, String::new())
}

struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
