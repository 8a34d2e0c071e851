//! All functions that the controller looks after, and the operations on them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use skep_bus::{Bus, ControlCall, Lease};
use skep_protocol::{
    DeleteFunction, FunctionDeployment, FunctionName, FunctionRecord, LogLine, LogQuery, NamespaceInfo, Operation,
    ProviderInfo, ScaleFunction, ScalingAlert, Secret, VersionInfo, validate,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{
    Error, Provider, Result,
    function::{Command, Function, Request},
    in_use::InUse,
    namespaces::{Inside, Namespaces},
};

/// Operations that may wait for one function.
const MAX_WAITING: usize = 16;
/// What is killed at the end has to be gone by then.
const KILLED_WITHIN: Duration = Duration::from_secs(15);

/// All functions and what they share.
pub(crate) struct Functions {
    pub(crate) bus: Bus,
    pub(crate) lease: Arc<Lease>,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) ending: CancellationToken,
    pub(crate) in_use: InUse,
    pub(crate) version: VersionInfo,
    pub(crate) namespaces: Namespaces,
    pub(crate) running: Mutex<HashMap<FunctionName, mpsc::Sender<Request>>>,
    pub(crate) tasks: TaskTracker,
}

impl Functions {
    pub(crate) async fn answer(self: &Arc<Self>, call: &ControlCall) -> Result<Value> {
        match call.operation {
            Operation::Deploy => self.put(call.body()?, Command::Deploy).await,
            Operation::Update => self.put(call.body()?, Command::Update).await,
            Operation::Delete => {
                let asked: DeleteFunction = call.body()?;
                self.ask(self.named(&asked.function_name, &asked.namespace)?, Command::Delete).await
            }
            Operation::Scale => {
                let asked: ScaleFunction = call.body()?;
                let name = self.named(&asked.service_name, &asked.namespace)?;
                self.ask(name, Command::Scale(asked.replicas)).await
            }
            Operation::Wake => self.ask(call.body()?, Command::Wake).await,
            Operation::Alert => {
                let alert: ScalingAlert = call.body()?;
                self.ask(alert.function, Command::Alert(alert.status)).await
            }
            Operation::Info => Ok(json!(self.info())),
            Operation::Logs => self.logs(&call.body()?).await,
            Operation::ListNamespaces => Ok(json!(self.namespaces.list().await)),
            Operation::CreateNamespace => Ok(json!(self.namespaces.create(call.body()?).await?)),
            Operation::UpdateNamespace => Ok(json!(self.namespaces.update(call.body()?).await?)),
            Operation::DeleteNamespace => self.delete_namespace(&call.body()?).await,
            Operation::ListSecrets => self.list_secrets(&call.body()?).await,
            Operation::CreateSecret => {
                let (secret, _inside) = self.secret(call).await?;
                Ok(json!(self.provider.create_secret(secret).await?))
            }
            Operation::UpdateSecret => {
                let (secret, _inside) = self.secret(call).await?;
                Ok(json!(self.provider.update_secret(secret).await?))
            }
            Operation::DeleteSecret => {
                let (secret, _inside) = self.secret(call).await?;
                Ok(json!(self.provider.delete_secret(secret).await?))
            }
        }
    }

    async fn put(
        self: &Arc<Self>,
        mut deployment: FunctionDeployment,
        command: fn(FunctionDeployment) -> Command,
    ) -> Result<Value> {
        let name = validate::deployment(&mut deployment, self.bus.default_namespace())?;
        let _inside = self.namespaces.enter(name.namespace()).await?;
        self.ask(name, command(deployment)).await
    }

    fn named(&self, name: &str, namespace: &str) -> Result<FunctionName> {
        self.bus.default_namespace().function_in(name, namespace).map_err(|error| Error::Invalid(error.to_string()))
    }

    /// Hands a command to the function's task; only a deploy makes a new one.
    async fn ask(self: &Arc<Self>, name: FunctionName, command: Command) -> Result<Value> {
        let (reply, answer) = oneshot::channel();
        {
            let mut running = self.running();
            if !running.contains_key(&name) {
                if !matches!(command, Command::Deploy(_)) {
                    return Err(command.not_found(&name));
                }
                let (sender, requests) = mpsc::channel(MAX_WAITING);
                self.tasks.spawn(Function::new(Arc::clone(self), name.clone(), None, requests).run());
                running.insert(name.clone(), sender);
            }
            let Some(requests) = running.get(&name) else { return Err(Error::Busy) };
            requests.try_send(Request { command, reply }).map_err(|_| Error::Busy)?;
        }
        // The task answers every request it takes, or drops it when the controller ends.
        answer.await.unwrap_or(Err(Error::Busy))
    }

    /// Goes on with a function of the registry, without endpoints that are none any more.
    pub(crate) async fn take_up(self: &Arc<Self>, name: FunctionName, record: FunctionRecord) {
        let (sender, requests) = mpsc::channel(MAX_WAITING);
        let mut function = Function::new(Arc::clone(self), name.clone(), Some(record), requests);
        function.publish().await;
        self.tasks.spawn(function.run());
        self.running().insert(name, sender);
    }

    /// Lets the task of a function that is gone end, unless something was asked of it meanwhile.
    pub(crate) fn forget(&self, name: &FunctionName, requests: &mpsc::Receiver<Request>) -> bool {
        let mut running = self.running();
        if !requests.is_empty() {
            return false;
        }
        running.remove(name);
        self.provider.forget(name);
        self.in_use.forget(name);
        true
    }

    fn info(&self) -> ProviderInfo {
        ProviderInfo {
            provider: self.provider.name().to_owned(),
            orchestration: self.provider.orchestration().to_owned(),
            version: self.version.clone(),
        }
    }

    async fn logs(&self, query: &LogQuery) -> Result<Value> {
        let name = self.named(&query.name, "")?;
        if !self.running().contains_key(&name) {
            return Err(Error::NotFound(format!("function {name} not found")));
        }
        if query.follow {
            self.provider.follow_logs(&name);
        }
        let lines = self.provider.past_lines(&name, query).await?;
        Ok(json!(last_that_fit(lines, self.bus.largest_message())))
    }

    async fn delete_namespace(&self, asked: &NamespaceInfo) -> Result<Value> {
        let contents = async || {
            let functions = self.bus.functions().await?;
            let inside = functions.iter().filter(|(name, _)| name.namespace() == Some(&asked.name));
            let mut contents: Vec<String> = inside.map(|(name, _)| format!("function {}", name.name())).collect();
            let secrets = self.provider.list_secrets(&asked.name).await?;
            contents.extend(secrets.into_iter().map(|secret| format!("secret {}", secret.name)));
            Ok(contents)
        };
        self.namespaces.delete(&asked.name, contents).await.map(|()| Value::Null)
    }

    async fn list_secrets(&self, asked: &NamespaceInfo) -> Result<Value> {
        let namespace = self.other_namespace(&asked.name)?;
        let entered = self.namespaces.enter(namespace.as_deref()).await;
        let _inside = entered.map_err(|error| Error::NotFound(error.to_string()))?;
        Ok(json!(self.provider.list_secrets(&namespace.unwrap_or_default()).await?))
    }

    /// The secret that an operation is about, and the hold on its namespace.
    async fn secret(&self, call: &ControlCall) -> Result<(Secret, Inside<'_>)> {
        let mut secret: Secret = call.body()?;
        let namespace = self.other_namespace(&secret.namespace)?;
        let inside = self.namespaces.enter(namespace.as_deref()).await?;
        secret.namespace = namespace.unwrap_or_default();
        validate::secret_name(&secret.name)?;
        Ok((secret, inside))
    }

    /// A namespace as it was given, `None` if it is the default one.
    fn other_namespace(&self, namespace: &str) -> Result<Option<String>> {
        let other = self.bus.default_namespace().other(namespace);
        other.map(|other| other.map(String::from)).map_err(|error| Error::Invalid(error.to_string()))
    }

    pub(crate) async fn end(&self, grace: Duration) {
        self.ending.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            warn!("replicas that still work are killed");
            self.provider.kill();
            if tokio::time::timeout(KILLED_WITHIN, self.tasks.wait()).await.is_err() {
                error!("some replicas did not end");
            }
        }
        self.provider.end().await;
        info!("the controller has ended");
    }

    fn running(&self) -> MutexGuard<'_, HashMap<FunctionName, mpsc::Sender<Request>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest lines that one answer on the bus can carry.
fn last_that_fit(lines: Vec<LogLine>, largest_message: usize) -> Vec<LogLine> {
    let mut room = largest_message.saturating_sub(4096);
    let mut first = lines.len();
    for line in lines.iter().rev() {
        let size = serde_json::to_vec(line).map_or(usize::MAX, |text| text.len().saturating_add(1));
        if size > room {
            break;
        }
        room -= size;
        first -= 1;
    }
    lines.into_iter().skip(first).collect()
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn an_answer_of_lines_stays_below_what_the_bus_carries() {
        let line = |number: usize| LogLine {
            name: "f".to_owned(),
            namespace: String::new(),
            instance: "f-1".to_owned(),
            timestamp: OffsetDateTime::UNIX_EPOCH,
            text: format!("{number}{}", "\u{0}".repeat(1000)),
        };
        let found = last_that_fit((0..100).map(line).collect(), 64 * 1024);
        assert!(serde_json::to_vec(&found).unwrap().len() < 64 * 1024);
        assert!(found.len() > 5 && found.last().unwrap().text.starts_with("99"));
        assert_eq!(last_that_fit(vec![line(1), line(2)], 64 * 1024).len(), 2);
    }
}
