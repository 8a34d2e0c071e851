//! A real browser, and a web server of somebody else's whose page it visits.

use std::{net::Ipv4Addr, process::Command, sync::Arc};

use axum::{
    Router,
    extract::State,
    response::Html,
    routing::{get, post},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};

use super::{Program, Site, wait_for};

/// A web site at `http://NAME:PORT`, whatever the name: the browser takes all names for this machine.
pub(crate) struct Attacker {
    pub(crate) port: u16,
    reported: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Attacker {
    /// Serves a page whose script posts what it found to `/report`.
    pub(crate) async fn start(page: impl Fn(u16) -> String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (page, reported) = (page(port), Arc::new(Mutex::new(None)));
        let take = async |State(reported): State<Arc<Mutex<Option<String>>>>, body: String| {
            reported.lock().await.replace(body);
        };
        let router = Router::new().route("/", get(async || Html(page))).route("/report", post(take));
        let router = router.with_state(Arc::clone(&reported));
        let task = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self { port, reported, task }
    }

    /// What the script posts when the browser opens an address.
    pub(crate) async fn report_of(&self, site: &Site, address: &str) -> Value {
        let _browser = open(site, address);
        self.report().await
    }

    /// What the script posts.
    pub(crate) async fn report(&self) -> Value {
        let report = wait_for("the report of the page", async || self.reported.lock().await.take()).await;
        serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"))
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens an address in Chromium, without the checks by which it may keep pages away from this machine: skep's own are to be seen.
fn open(site: &Site, address: &str) -> Program {
    let mut command = Command::new("chromium");
    command.env("TMPDIR", site.path("tmp")).env("HOME", site.folder());
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"]);
    command.arg("--disable-features=LocalNetworkAccessChecks,PrivateNetworkAccessSendPreflights");
    command.arg("--host-resolver-rules=MAP * 127.0.0.1").arg("--no-proxy-server");
    command.arg(format!("--user-data-dir={}", site.path("browser").display())).arg(address);
    Program::start("chromium", command, site.folder())
}
