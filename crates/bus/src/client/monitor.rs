//! What NATS servers report about themselves; a connection of skep's own account does not show whether they sync.

use std::time::Duration;

use reqwest::{Client, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout;
use url::Url;

use crate::client::system_account::SystemAccount;

pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// How they are asked.
#[derive(Clone, Debug)]
pub enum Monitors {
    /// On their monitoring ports (`http://host:8222`), one for each server; without any, nothing is known.
    At(Vec<Url>),
    /// A server of our own, which has no such port.
    Own(SystemAccount),
}

/// What one server says of itself.
pub(crate) struct Monitored {
    /// Another one each time it is started.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) syncs_always: bool,
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

impl From<Varz> for Monitored {
    fn from(varz: Varz) -> Self {
        Self { id: varz.server_id, name: varz.server_name, syncs_always: varz.jetstream.config.sync_always }
    }
}

impl Monitors {
    /// The monitoring ports.
    pub fn addresses(&self) -> &[Url] {
        match self {
            Self::At(addresses) => addresses,
            Self::Own(_) => &[],
        }
    }

    /// Asks all servers; if one does not answer, the reason.
    pub(crate) async fn ask(&self) -> Result<Vec<Monitored>, String> {
        match self {
            Self::At(addresses) => ask_ports(addresses).await,
            Self::Own(account) => {
                let varz = timeout(ANSWER_TIMEOUT, account.ask::<Varz>("VARZ")).await;
                Ok(vec![varz.map_err(|error| error.to_string())??.into()])
            }
        }
    }
}

async fn ask_ports(addresses: &[Url]) -> Result<Vec<Monitored>, String> {
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let client = http_client()?;
    let mut servers = Vec::with_capacity(addresses.len());
    for address in addresses {
        let varz: Varz =
            get(&client, address, "varz").await.map_err(|reason| format!("{address} does not tell: {reason}"))?;
        servers.push(varz.into());
    }
    Ok(servers)
}

pub(super) fn http_client() -> Result<Client, String> {
    let client = || Client::builder().timeout(ANSWER_TIMEOUT).redirect(Policy::none()).no_proxy();
    skep_https::client(client).map_err(|error| error.to_string())
}

/// What a monitoring port answers to a path.
pub(super) async fn get<T: DeserializeOwned>(client: &Client, address: &Url, path: &str) -> Result<T, String> {
    let answer = async { client.get(address.join(path)?).send().await?.json().await.map_err(Failed::from) };
    answer.await.map_err(|Failed(reason)| reason)
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
