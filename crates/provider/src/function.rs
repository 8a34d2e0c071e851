//! One function: the single writer of its record, and the owner of its replicas.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use skep_protocol::{
    AlertStatus, FunctionDeployment, FunctionName, FunctionPolicy, FunctionRecord, PolicyDefaults, Scaling,
};
use time::OffsetDateTime;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::{info, warn};

use crate::{Change, Error, Replicas, Result, functions::Functions};

/// Between two attempts to write the registry.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Everyone has said by then, over a new connection, what is in use.
const HEARD_AFTER: Duration = Duration::from_secs(10);

/// What can be asked of a function.
pub(crate) enum Command {
    Deploy(FunctionDeployment),
    Update(FunctionDeployment),
    Delete,
    Scale(u64),
    /// Brings it to its minimum if it is at zero.
    Wake,
    Alert(AlertStatus),
}

impl Command {
    pub(crate) fn not_found(&self, name: &FunctionName) -> Error {
        Error::NotFound(match self {
            Self::Delete => format!("No such service found: {name}."),
            Self::Deploy(_) | Self::Update(_) | Self::Scale(_) | Self::Wake | Self::Alert(_) => {
                format!("function {name} not found")
            }
        })
    }
}

pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) reply: oneshot::Sender<Result<Value>>,
}

pub(crate) struct Function {
    functions: Arc<Functions>,
    name: FunctionName,
    /// What the registry holds, as far as it is known.
    record: Option<FunctionRecord>,
    /// How the record's deployment scales.
    scaling: Scaling,
    /// A write failed, so the registry may hold something else.
    doubtful: bool,
    /// The last time that something was done with it here.
    touched: Instant,
    replicas: Box<dyn Replicas>,
    requests: mpsc::Receiver<Request>,
}

impl Function {
    pub(crate) fn new(
        functions: Arc<Functions>,
        name: FunctionName,
        record: Option<FunctionRecord>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        let mut replicas = functions.provider.replicas(&name);
        if let Some(record) = &record {
            replicas.take_up(record);
        }
        let scaling = record.as_ref().map(|record| scaling(&record.deployment)).unwrap_or_default();
        Self { functions, name, record, scaling, doubtful: false, touched: Instant::now(), replicas, requests }
    }

    /// Keeps the replicas as they are wanted and the registry as they are, until deleted or the controller ends.
    pub(crate) async fn run(mut self) {
        let ending = self.functions.ending.clone();
        loop {
            self.replicas.converge();
            self.publish().await;
            if self.is_gone() && self.functions.forget(&self.name, &self.requests) {
                return;
            }
            let idle_at = self.idle_at();
            tokio::select! {
                biased;
                () = ending.cancelled() => break,
                request = self.requests.recv() => {
                    let Some(request) = request else { break };
                    let answer = self.handle(request.command).await;
                    // Whoever asked may be gone; what was done stays done.
                    let _ = request.reply.send(answer);
                }
                () = self.replicas.changed() => {}
                () = tokio::time::sleep(WRITE_AGAIN_AFTER), if self.doubtful => {}
                () = tokio::time::sleep_until(idle_at.unwrap_or(self.touched)), if idle_at.is_some() => self.rest().await,
            }
        }
        self.end().await;
    }

    async fn handle(&mut self, command: Command) -> Result<Value> {
        self.touched = Instant::now();
        match (self.record.clone(), command) {
            (None, Command::Deploy(mut deployment)) => {
                let replicas = self.admit(&deployment).await?;
                let registry_auth = std::mem::take(&mut deployment.registry_auth);
                let created_at = OffsetDateTime::now_utc();
                let deployment = Arc::new(deployment);
                let record = FunctionRecord { deployment, replicas, endpoints: Vec::new(), created_at, problem: None };
                self.put(record, Change::Deployed { registry_auth }).await
            }
            (Some(_), Command::Deploy(_)) => {
                Err(Error::Conflict(format!("function {} already exists: use PUT to update it", self.name)))
            }
            (Some(record), Command::Update(mut deployment)) => {
                let minimum = self.admit(&deployment).await?;
                let replicas = replicas_after_update(&record, self.scaling.min, minimum);
                let registry_auth = std::mem::take(&mut deployment.registry_auth);
                let deployment = Arc::new(deployment);
                self.put(FunctionRecord { deployment, replicas, ..record }, Change::Updated { registry_auth }).await
            }
            (Some(record), Command::Scale(replicas)) => self.scale(record, replicas).await,
            (Some(record), Command::Wake) => match record.replicas {
                0 => self.scale(record, self.scaling.awake()).await,
                _ => Ok(json!(0)),
            },
            (Some(record), Command::Alert(status)) => {
                let replicas = self.scaling.after_alert(record.replicas, status);
                if replicas == record.replicas { Ok(json!(0)) } else { self.scale(record, replicas).await }
            }
            (Some(_), Command::Delete) => self.delete().await,
            (None, command) => Err(command.not_found(&self.name)),
        }
    }

    async fn scale(&mut self, record: FunctionRecord, replicas: u64) -> Result<Value> {
        self.functions.provider.check_replicas(&self.name, replicas)?;
        self.put(FunctionRecord { replicas, ..record }, Change::Scaled).await
    }

    /// When it has been idle for long enough to be scaled to zero, if it is not used until then.
    fn idle_at(&self) -> Option<Instant> {
        self.record.as_ref().filter(|record| record.replicas > 0)?;
        let zero_after = self.scaling.zero_after?;
        Some(self.functions.in_use.last_of(&self.name).map_or(self.touched, |used| used.max(self.touched)) + zero_after)
    }

    /// Scales it to zero, unless it was used meanwhile, or nobody could tell that it was.
    async fn rest(&mut self) {
        if self.idle_at().is_none_or(|idle_at| idle_at > Instant::now()) {
            return;
        }
        self.touched = Instant::now();
        let Some(record) = self.record.clone() else { return };
        let bus = &self.functions.bus;
        if !bus.is_connected() || bus.connected_for() < HEARD_AFTER {
            return;
        }
        match self.scale(record, 0).await {
            Ok(_) => info!(function = %self.name, "function was idle"),
            Err(error) => warn!(%error, function = %self.name, "an idle function was not scaled to zero"),
        }
    }

    /// Checks a deployment and returns how many replicas it starts with.
    async fn admit(&self, deployment: &FunctionDeployment) -> Result<u64> {
        let minimum = scaling(deployment).min;
        self.functions.provider.check_replicas(&self.name, minimum)?;
        self.functions.provider.admit(&self.name, deployment).await?;
        Ok(minimum)
    }

    /// Writes what is wanted from now on; the replicas follow. What they cannot be is taken back.
    async fn put(&mut self, record: FunctionRecord, change: Change) -> Result<Value> {
        let former = self.record.clone();
        let revision = match self.functions.lease.put_spec(&self.name, &record).await {
            Ok(revision) => revision,
            Err(error) => {
                self.take_back(former);
                return Err(error.into());
            }
        };
        if let Err(error) = self.replicas.want(&record, change).await {
            self.take_back(former);
            self.publish().await;
            return Err(error);
        }
        info!(function = %self.name, replicas = record.replicas, revision, "function is set");
        self.scaling = scaling(&record.deployment);
        self.record = Some(record);
        Ok(json!(revision))
    }

    /// Goes on with what was before; the registry may hold something else until the next [`Self::publish`].
    fn take_back(&mut self, former: Option<FunctionRecord>) {
        match &former {
            Some(record) => self.replicas.take_up(record),
            None => self.replicas.want_none(),
        }
        self.record = former;
        self.doubtful = true;
    }

    async fn delete(&mut self) -> Result<Value> {
        if let Err(error) = self.functions.lease.remove_function(&self.name).await {
            self.doubtful = true;
            return Err(error.into());
        }
        info!(function = %self.name, "function is deleted");
        self.record = None;
        self.replicas.want_none();
        Ok(Value::Null)
    }

    /// Brings the registry up to date; only then do replicas end that nobody can be sent to any more.
    pub(crate) async fn publish(&mut self) {
        let (endpoints, problem) = (self.replicas.endpoints(), self.replicas.problem());
        let written = match &mut self.record {
            Some(record) if self.doubtful || record.endpoints != endpoints || record.problem != problem => {
                if let Some(problem) = problem.as_ref().filter(|problem| record.problem.as_ref() != Some(problem)) {
                    warn!(function = %self.name, problem, "the function is in trouble");
                }
                record.endpoints = endpoints;
                record.problem = problem;
                match self.doubtful {
                    true => self.functions.lease.put_function(&self.name, record).await.map(|_| ()),
                    false => self.functions.lease.put_status(&self.name, record).await,
                }
            }
            None if self.doubtful => self.functions.lease.remove_function(&self.name).await,
            Some(_) | None => Ok(()),
        };
        self.doubtful = written.is_err();
        match written {
            Ok(()) => self.replicas.release(),
            Err(error) => warn!(error = error.chain(), function = %self.name, "endpoints were not written"),
        }
    }

    fn is_gone(&self) -> bool {
        self.record.is_none() && self.replicas.is_empty() && !self.doubtful
    }

    /// Keeps what is wanted, withdraws the endpoints of replicas that end with the controller, and waits for these.
    async fn end(mut self) {
        self.requests.close();
        self.replicas.leave();
        self.publish().await;
        self.replicas.release();
        while !self.replicas.is_empty() {
            self.replicas.changed().await;
        }
    }
}

/// What a deployment that was checked says of scaling.
fn scaling(deployment: &FunctionDeployment) -> Scaling {
    FunctionPolicy::of_deployed(deployment, &PolicyDefaults::default()).0.scaling
}

/// An update goes back to the label's minimum, but not below what someone scaled up to.
fn replicas_after_update(record: &FunctionRecord, former_minimum: u64, minimum: u64) -> u64 {
    if record.replicas == former_minimum { minimum } else { record.replicas.max(minimum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_keeps_what_was_scaled_up_and_wakes_what_was_scaled_down() {
        let record = |replicas| FunctionRecord {
            deployment: Arc::default(),
            replicas,
            endpoints: Vec::new(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            problem: None,
        };
        assert_eq!(replicas_after_update(&record(1), 1, 3), 3);
        assert_eq!(replicas_after_update(&record(5), 1, 1), 5);
        assert_eq!(replicas_after_update(&record(0), 1, 1), 1);
    }
}
