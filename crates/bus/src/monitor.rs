//! What NATS servers say of themselves on their monitoring ports; a connection does not tell whether they sync.

use std::{path::PathBuf, time::Duration};

use reqwest::{Client, redirect::Policy};
use serde::Deserialize;
use tokio::time::{sleep, timeout};
use url::Url;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Where the monitoring ports are.
#[derive(Clone, Debug)]
pub enum Monitors {
    /// At these addresses (`http://host:8222`), one for each server; without any, nothing is known.
    At(Vec<Url>),
    /// Where a server of our own says, which writes its ports into this folder (`ports_file_dir`).
    PortsIn(PathBuf),
}

/// What one server says of itself.
pub(crate) struct Monitored {
    /// Another one each time it is started.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) syncs_always: bool,
}

#[derive(Deserialize)]
struct Ports {
    #[serde(default)]
    monitoring: Vec<Url>,
}

#[derive(Deserialize)]
struct Varz {
    server_id: String,
    server_name: String,
    #[serde(default)]
    jetstream: JetStream,
}

#[derive(Default, Deserialize)]
struct JetStream {
    #[serde(default)]
    config: Config,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    sync_always: bool,
}

impl Monitors {
    pub fn addresses(&self) -> Vec<Url> {
        match self {
            Self::At(addresses) => addresses.clone(),
            Self::PortsIn(folder) => {
                let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
                let ports = files.filter_map(|file| std::fs::read(file.path()).ok());
                let ports = ports.filter_map(|ports| serde_json::from_slice::<Ports>(&ports).ok());
                ports.flat_map(|ports| ports.monitoring).collect()
            }
        }
    }

    /// Asks all servers; if one does not answer, the reason.
    pub(crate) async fn ask(&self) -> Result<Vec<Monitored>, String> {
        self.wait_for_ports().await;
        let addresses = self.addresses();
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let client = Client::builder().timeout(ANSWER_WITHIN).redirect(Policy::none()).no_proxy().build();
        let client = client.map_err(|error| error.to_string())?;
        let mut servers = Vec::with_capacity(addresses.len());
        for address in addresses {
            let varz =
                async { client.get(address.join("varz")?).send().await?.json::<Varz>().await.map_err(Failed::from) };
            let varz = varz.await.map_err(|Failed(reason)| format!("{address} does not tell: {reason}"))?;
            let syncs_always = varz.jetstream.config.sync_always;
            servers.push(Monitored { id: varz.server_id, name: varz.server_name, syncs_always });
        }
        Ok(servers)
    }

    /// A server of our own writes its ports a moment after it listens.
    async fn wait_for_ports(&self) {
        let written = async {
            while matches!(self, Self::PortsIn(_)) && self.addresses().is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        // Without them it is not known what it does.
        let _ = timeout(ANSWER_WITHIN, written).await;
    }
}

struct Failed(String);

impl From<reqwest::Error> for Failed {
    fn from(error: reqwest::Error) -> Self {
        Self(error.without_url().to_string())
    }
}

impl From<url::ParseError> for Failed {
    fn from(error: url::ParseError) -> Self {
        Self(error.to_string())
    }
}
