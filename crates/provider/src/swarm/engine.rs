//! The Docker engine of a Swarm manager, limited to what functions need. Nothing else in skep talks to Docker.

use std::{collections::HashMap, future::Future, time::Duration};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    auth::DockerCredentials,
    errors::Error as DockerError,
    models::{EventMessage, Network, Node, NodeSpec, Secret, SecretSpec, Service, ServiceSpec},
    query_parameters::{
        DeleteNodeOptionsBuilder, EventsOptionsBuilder, ListNetworksOptionsBuilder, ListSecretsOptionsBuilder,
        ListServicesOptionsBuilder, UpdateNodeOptionsBuilder, UpdateServiceOptionsBuilder,
    },
};
use futures_util::Stream;
use thiserror::Error;

use super::{
    socket::{DockerHost, Socket},
    task::Task,
};

/// How long to wait for an answer from the engine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the engine did not do what it was asked.
#[derive(Debug, Error)]
pub(super) enum EngineError {
    /// It will refuse again; the text is for the caller.
    #[error("{message}")]
    Refused { status: u16, message: String },
    /// Another writer has changed the service in the meantime.
    #[error("the service was changed by someone else at the same time")]
    OutOfSequence,
    /// It does not answer, or the answer makes no sense.
    #[error("the Docker engine cannot be used: {0}")]
    Away(String),
}

impl EngineError {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

pub(super) type Result<T, E = EngineError> = std::result::Result<T, E>;

pub(super) struct Engine {
    docker: Docker,
    socket: Socket,
}

impl Engine {
    /// Connects, negotiates the API version, and checks that this is a manager.
    pub(super) async fn connect(host: &DockerHost) -> Result<Self> {
        let timeout = ANSWER_TIMEOUT.as_secs();
        let docker = match host {
            DockerHost::Unix(path) => Docker::connect_with_unix(&path.to_string_lossy(), timeout, API_DEFAULT_VERSION),
            DockerHost::Tcp(address) => Docker::connect_with_http(address, timeout, API_DEFAULT_VERSION),
        };
        let docker = docker.map_err(EngineError::from)?.with_request_modifier(url_safe_credentials);
        let docker = within(docker.negotiate_version()).await?;
        let swarm = within(docker.info()).await?.swarm.unwrap_or_default();
        if swarm.control_available != Some(true) {
            return Err(EngineError::Away("it is not a manager of a Swarm; see docker swarm init".to_owned()));
        }
        let socket = Socket::new(host.clone(), docker.client_version().to_string());
        Ok(Self { docker, socket })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// A service by its exact name.
    pub(super) async fn service(&self, name: &str) -> Result<Option<Service>> {
        found(within(self.docker.inspect_service(name, None)).await)
    }

    /// All services with a label.
    pub(super) async fn services(&self, label: &str) -> Result<Vec<Service>> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListServicesOptionsBuilder::default().filters(&filters).build();
        within(self.docker.list_services(Some(options))).await
    }

    pub(super) async fn create_service(&self, spec: ServiceSpec, auth: Option<DockerCredentials>) -> Result<()> {
        within(self.docker.create_service(spec, auth)).await.map(|_| ())
    }

    /// Replaces the version of a service that was last seen; without credentials the service keeps its own.
    pub(super) async fn update_service(
        &self,
        id: &str,
        version: u64,
        spec: ServiceSpec,
        auth: Option<DockerCredentials>,
    ) -> Result<()> {
        let version = i32::try_from(version).map_err(|_| EngineError::Away("its versions are too high".to_owned()))?;
        let options = UpdateServiceOptionsBuilder::default().version(version).build();
        within(self.docker.update_service(id, spec, options, auth)).await.map(|_| ())
    }

    /// Removes a service; it is no error if it is gone.
    pub(super) async fn remove_service(&self, id: &str) -> Result<()> {
        found(within(self.docker.delete_service(id)).await).map(|_| ())
    }

    /// All tasks that should run, of services with a label.
    pub(super) async fn wanted_tasks(&self, label: &str) -> Result<Vec<Task>> {
        let filters = HashMap::from([("label", vec![label]), ("desired-state", vec!["running"])]);
        self.tasks(&filters).await
    }

    /// All known tasks, including failed ones, of one service or of services with a label.
    pub(super) async fn all_tasks(&self, (filter, value): (&str, &str)) -> Result<Vec<Task>> {
        self.tasks(&HashMap::from([(filter, vec![value])])).await
    }

    /// All tasks that the Swarm knows, of all services.
    pub(super) async fn every_task(&self) -> Result<Vec<Task>> {
        self.tasks(&HashMap::new()).await
    }

    pub(super) async fn nodes(&self) -> Result<Vec<Node>> {
        within(self.docker.list_nodes(None)).await
    }

    /// Changes a node as it is now.
    pub(super) async fn change_node(&self, id: &str, change: impl FnOnce(&mut NodeSpec)) -> Result<()> {
        let node = within(self.docker.inspect_node(id)).await?;
        let version = node.version.and_then(|version| version.index).unwrap_or_default();
        let version = i64::try_from(version).map_err(|_| EngineError::Away("its versions are too high".to_owned()))?;
        let mut spec = node.spec.unwrap_or_default();
        change(&mut spec);
        let options = UpdateNodeOptionsBuilder::default().version(version).build();
        within(self.docker.update_node(id, spec, options)).await
    }

    /// Removes a node, whether or not it is up; it is no error if it is gone.
    pub(super) async fn remove_node(&self, id: &str) -> Result<()> {
        let options = DeleteNodeOptionsBuilder::default().force(true).build();
        found(within(self.docker.delete_node(id, Some(options))).await).map(|_| ())
    }

    async fn tasks(&self, filters: &HashMap<&str, Vec<&str>>) -> Result<Vec<Task>> {
        let filters = serde_json::to_string(filters).unwrap_or_default();
        let query = [("filters", filters.as_str())];
        match tokio::time::timeout(ANSWER_TIMEOUT, self.socket.get_json("tasks", &query)).await {
            Ok(answer) => answer,
            Err(_) => Err(EngineError::Away(format!("no answer within {ANSWER_TIMEOUT:?}"))),
        }
    }

    /// Networks by name or id, or by a label.
    pub(super) async fn networks(&self, filter: &str, value: &str) -> Result<Vec<Network>> {
        let filters = HashMap::from([(filter, vec![value])]);
        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        within(self.docker.list_networks(Some(options))).await
    }

    /// All secrets with a label.
    pub(super) async fn secrets(&self, label: &str) -> Result<Vec<Secret>> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListSecretsOptionsBuilder::default().filters(&filters).build();
        within(self.docker.list_secrets(Some(options))).await
    }

    pub(super) async fn create_secret(&self, spec: SecretSpec) -> Result<()> {
        within(self.docker.create_secret(spec)).await.map(|_| ())
    }

    pub(super) async fn remove_secret(&self, id: &str) -> Result<()> {
        found(within(self.docker.delete_secret(id)).await).map(|_| ())
    }

    /// Changes to services and nodes as they happen, and to this node's containers.
    pub(super) fn events(&self) -> impl Stream<Item = Result<EventMessage, DockerError>> + use<> {
        let filters = HashMap::from([("type", vec!["service", "node", "container"])]);
        self.docker.events(Some(EventsOptionsBuilder::default().filters(&filters).build()))
    }
}

async fn within<T>(asked: impl Future<Output = Result<T, DockerError>>) -> Result<T> {
    match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(EngineError::from),
        Err(_) => Err(EngineError::Away(format!("no answer within {ANSWER_TIMEOUT:?}"))),
    }
}

fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

impl From<DockerError> for EngineError {
    fn from(error: DockerError) -> Self {
        match error {
            DockerError::DockerResponseServerError { status_code, message } => said(status_code, &message),
            other => Self::Away(other.to_string()),
        }
    }
}

/// What an error status means.
pub(super) fn said(status: u16, message: &str) -> EngineError {
    // `rpc error: code = InvalidArgument desc = name must be valid as a DNS name component`
    let text = message.rsplit_once(" desc = ").map_or(message, |(_, text)| text).trim();
    if text.contains("update out of sequence") {
        return EngineError::OutOfSequence;
    }
    match status {
        400..=499 => EngineError::Refused { status, message: text.to_owned() },
        _ => EngineError::Away(text.to_owned()),
    }
}

/// The engine reads credentials in the URL-safe alphabet, but bollard writes the standard one.
fn url_safe_credentials(mut request: bollard::BollardRequest) -> bollard::BollardRequest {
    const HEADER: &str = "x-registry-auth";
    let written = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    if let Some(safe) = written.map(|text| text.replace('+', "-").replace('/', "_"))
        && let Ok(value) = http::HeaderValue::from_str(&safe)
    {
        request.headers_mut().insert(HEADER, value);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_written_in_the_alphabet_that_the_engine_reads() {
        let request =
            http::Request::post("/").header("X-Registry-Auth", "a+b/c=").body(bollard::body_full(bytes::Bytes::new()));
        let sent = url_safe_credentials(request.unwrap());
        assert_eq!(sent.headers()["x-registry-auth"], "a-b_c=");
    }

    #[test]
    fn what_the_engine_says_is_told_without_its_wrapping() {
        let text = |status, message| said(status, message).to_string();
        assert_eq!(text(400, "rpc error: code = InvalidArgument desc = bad name"), "bad name");
        assert_eq!(text(409, "name conflicts"), "name conflicts");
        let clash = "rpc error: code = Unknown desc = update out of sequence";
        assert!(matches!(said(500, clash), EngineError::OutOfSequence));
        assert!(matches!(said(503, "This node is not a swarm manager."), EngineError::Away(_)));
        assert!(said(404, "service f not found").is_missing());
    }
}
