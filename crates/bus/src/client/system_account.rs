//! The account in which a NATS server answers what its monitoring port would.
//!
//! Such a port asks for no password, so a server that `skep up` starts has none.

use std::sync::Arc;

use async_nats::Client;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{sync::OnceCell, time::timeout};

use crate::{Login, ServerUrls, client::monitor::ANSWER_TIMEOUT, client::servers};

/// A user of that account; it connects when something is asked for the first time.
#[derive(Clone, Debug)]
pub struct SystemAccount {
    servers: ServerUrls,
    login: Login,
    client: Arc<OnceCell<Client>>,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Health {
    status_code: u16,
    #[serde(default)]
    error: String,
}

impl SystemAccount {
    pub fn new(servers: ServerUrls, login: Login) -> Self {
        Self { servers, login, client: Arc::default() }
    }

    /// What the server complains of; nothing if it is well, or away.
    pub async fn complaint(&self) -> Option<String> {
        let health = timeout(ANSWER_TIMEOUT, self.ask::<Health>("HEALTHZ")).await.ok()?.ok()?;
        (health.status_code != 200).then_some(health.error)
    }

    /// Asks the server for one of its reports.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, report: &str) -> Result<T, String> {
        let client = self.client.get_or_try_init(|| self.connect()).await?;
        let subject = format!("$SYS.REQ.SERVER.PING.{report}");
        let answer = client.request(subject, "".into()).await.map_err(|error| error.to_string())?;
        let answer: Answer<T> = serde_json::from_slice(&answer.payload).map_err(|error| error.to_string())?;
        Ok(answer.data)
    }

    async fn connect(&self) -> Result<Client, String> {
        let options = servers::options(&self.servers, Some(&self.login)).map_err(|error| error.to_string())?;
        let options = options.name("skep monitor").request_timeout(Some(ANSWER_TIMEOUT));
        options.connect(self.servers.addresses()).await.map_err(|error| error.to_string())
    }
}
