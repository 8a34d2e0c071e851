//! The network that a function joins.

use bollard::models::Network;

use super::{ProviderContext, engine::EngineError};

/// The label of the functions' network, unless a setting names one.
const NETWORK_LABEL: &str = "openfaas=true";

impl ProviderContext {
    /// The id of the network that a function names, or of the default one; the inner error is a reason for the caller.
    ///
    /// A function may name only a network that is meant for functions, so that none can join the network of NATS.
    pub(super) async fn network(&self, named: &str) -> Result<Result<String, String>, EngineError> {
        let is_asked_for = !named.is_empty();
        let named = if named.is_empty() { self.function_network.as_deref().unwrap_or_default() } else { named };
        let (found, what) = if named.is_empty() {
            (self.engine.networks("label", NETWORK_LABEL).await?, format!("network with the label {NETWORK_LABEL}"))
        } else {
            let is_meant =
                |network: &Network| network.name.as_deref() == Some(named) || network.id.as_deref() == Some(named);
            let mut found = self.engine.networks("name", named).await?;
            found.extend(self.engine.networks("id", named).await?);
            found.retain(is_meant);
            (found, format!("network {named}"))
        };
        let mut found: Vec<Network> =
            found.into_iter().filter(|network| network.scope.as_deref() == Some("swarm")).collect();
        found.sort_by(|one, other| one.created.cmp(&other.created));
        let chosen = found.into_iter().next();
        if let Some(network) = chosen.as_ref().filter(|network| is_asked_for && !is_for_functions(network)) {
            let name = network.name.as_deref().unwrap_or(named);
            return Ok(Err(format!("network {name} is not for functions: it has no label {NETWORK_LABEL}")));
        }
        let id = chosen.and_then(|network| network.id);
        Ok(id.ok_or_else(|| {
            format!("the Swarm has no {what}: make one with docker network create -d overlay --attachable --label {NETWORK_LABEL} NAME")
        }))
    }
}

fn is_for_functions(network: &Network) -> bool {
    let label = NETWORK_LABEL.split_once('=');
    let labels = network.labels.as_ref();
    label.is_some_and(|(key, value)| labels.and_then(|labels| labels.get(key)).is_some_and(|found| found == value))
}
