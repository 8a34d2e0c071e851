//! What `skep swarm adopt` asks a gateway: which functions and secrets it knows, and to take a function.

use reqwest::Method;
use skep_protocol::{FunctionDeployment, Secret};

use super::{api::Api, args::ClientArgs};
use crate::failure::Result;

/// A gateway whose registry lacks functions.
pub(crate) struct Registry(Api);

impl Registry {
    pub(crate) fn new(args: ClientArgs) -> Result<Self> {
        Api::new(args).map(Self)
    }

    pub(crate) async fn knows(&self, function: &FunctionDeployment) -> Result<bool> {
        let asked = self.0.get(&["function", &function.service]).query(&[("namespace", &function.namespace)]);
        Ok(self.0.send_unless(asked, reqwest::StatusCode::NOT_FOUND).await?.is_some())
    }

    /// The secrets of a function that are not there.
    pub(crate) async fn missing_secrets(&self, function: &FunctionDeployment) -> Result<Vec<String>> {
        if function.secrets.is_empty() {
            return Ok(Vec::new());
        }
        let asked = self.0.get(&["secrets"]).query(&[("namespace", &function.namespace)]);
        let known: Vec<Secret> = self.0.json(asked).await?;
        let is_missing = |name: &&String| !known.iter().any(|secret| secret.name == **name);
        Ok(function.secrets.iter().filter(is_missing).cloned().collect())
    }

    pub(crate) async fn deploy(&self, function: &FunctionDeployment) -> Result<()> {
        self.0.send(self.0.request(Method::POST, &["functions"]).json(function)).await?;
        Ok(())
    }
}
