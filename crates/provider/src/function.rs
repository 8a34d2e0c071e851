//! One function: the single writer of its record, and the owner of its replicas.

use std::{sync::Arc, time::Duration};

use skep_protocol::{
    AlertStatus, FunctionDeployment, FunctionName, FunctionRecord, Scaling,
    control::{Change, Revision},
};
use time::OffsetDateTime;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tracing::{info, warn};

use crate::{Cause, Error, Replicas, Result, functions::Functions};

/// Between two attempts to write the registry.
const WRITE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Everyone has said by then, over a new connection, what is in use.
const HEARD_AFTER: Duration = Duration::from_secs(10);

/// A request to the task of a function.
pub(crate) enum Request {
    Apply(Command, oneshot::Sender<Result<Change>>),
    Delete(oneshot::Sender<Result<()>>),
}

/// What a function is to be from now on.
pub(crate) enum Command {
    Deploy(FunctionDeployment),
    Update(FunctionDeployment),
    Scale(u64),
    /// Brings it to its minimum if it is at zero.
    Wake,
    Alert(AlertStatus),
}

impl Request {
    pub(crate) fn not_found(&self, name: &FunctionName) -> Error {
        match self {
            Self::Apply(..) => not_found(name),
            Self::Delete(_) => no_such_service(name),
        }
    }
}

pub(crate) fn not_found(name: &FunctionName) -> Error {
    Error::NotFound(format!("function {name} not found"))
}

/// The words that `faas-cli` expects.
fn no_such_service(name: &FunctionName) -> Error {
    Error::NotFound(format!("No such service found: {name}."))
}

pub(crate) struct Function {
    functions: Arc<Functions>,
    name: FunctionName,
    /// What the registry holds, as far as it is known.
    record: Option<FunctionRecord>,
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
        Self { functions, name, record, doubtful: false, touched: Instant::now(), replicas, requests }
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
                    self.handle(request).await;
                }
                () = self.replicas.changed() => {}
                () = tokio::time::sleep(WRITE_AGAIN_AFTER), if self.doubtful => {}
                () = tokio::time::sleep_until(idle_at.unwrap_or(self.touched)), if idle_at.is_some() => self.rest().await,
            }
        }
        self.end().await;
    }

    /// Does what is asked. The caller may be gone; what was done stays done.
    async fn handle(&mut self, request: Request) {
        self.touched = Instant::now();
        match request {
            Request::Apply(command, reply) => drop(reply.send(self.apply(command).await)),
            Request::Delete(reply) => drop(reply.send(self.delete().await)),
        }
    }

    async fn apply(&mut self, command: Command) -> Result<Change> {
        match (self.record.clone(), command) {
            (None, Command::Deploy(mut deployment)) => {
                let replicas = self.admit(&deployment).await?;
                let registry_auth = std::mem::take(&mut deployment.registry_auth);
                let created_at = OffsetDateTime::now_utc();
                let record = FunctionRecord { deployment, replicas, endpoints: Vec::new(), created_at, problem: None };
                self.put(record, Cause::Deployed { registry_auth }).await
            }
            (Some(_), Command::Deploy(_)) => {
                Err(Error::Conflict(format!("function {} already exists: use PUT to update it", self.name)))
            }
            (Some(record), Command::Update(mut deployment)) => {
                let minimum = self.admit(&deployment).await?;
                let replicas = replicas_after_update(&record, minimum);
                let registry_auth = std::mem::take(&mut deployment.registry_auth);
                self.put(FunctionRecord { deployment, replicas, ..record }, Cause::Updated { registry_auth }).await
            }
            (Some(record), Command::Scale(replicas)) => self.scale(record, replicas).await,
            (Some(record), Command::Wake) => match record.replicas {
                0 => {
                    let replicas = scaling(&record)?.awake();
                    self.scale(record, replicas).await
                }
                _ => Ok(Change::Unchanged),
            },
            (Some(record), Command::Alert(status)) => {
                let replicas = scaling(&record)?.after_alert(record.replicas, status);
                if replicas == record.replicas { Ok(Change::Unchanged) } else { self.scale(record, replicas).await }
            }
            (None, Command::Update(_) | Command::Scale(_) | Command::Wake | Command::Alert(_)) => {
                Err(not_found(&self.name))
            }
        }
    }

    async fn scale(&mut self, record: FunctionRecord, replicas: u64) -> Result<Change> {
        self.functions.provider.check_replicas(&self.name, replicas)?;
        self.put(FunctionRecord { replicas, ..record }, Cause::Scaled).await
    }

    /// When it has been idle for long enough to be scaled to zero, if it is not used until then.
    fn idle_at(&self) -> Option<Instant> {
        let record = self.record.as_ref().filter(|record| record.replicas > 0)?;
        let zero_after = scaling(record).ok()?.zero_after?;
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
        let minimum = deployment.initial_replicas().map_err(Error::Invalid)?;
        self.functions.provider.check_replicas(&self.name, minimum)?;
        self.functions.provider.admit(&self.name, deployment).await?;
        Ok(minimum)
    }

    /// Writes what is wanted from now on; the replicas follow. What they cannot be is taken back.
    async fn put(&mut self, record: FunctionRecord, cause: Cause) -> Result<Change> {
        let former = self.record.clone();
        let revision = match self.functions.lease.put_function(&self.name, &record).await {
            Ok(revision) => revision,
            Err(error) => {
                self.take_back(former);
                return Err(error.into());
            }
        };
        if let Err(error) = self.replicas.want(&record, cause).await {
            self.take_back(former);
            self.publish().await;
            return Err(error);
        }
        info!(function = %self.name, replicas = record.replicas, revision, "function is set");
        self.record = Some(record);
        Ok(Change::Written(Revision(revision)))
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

    async fn delete(&mut self) -> Result<()> {
        if self.record.is_none() {
            return Err(no_such_service(&self.name));
        }
        if let Err(error) = self.functions.lease.remove_function(&self.name).await {
            self.doubtful = true;
            return Err(error.into());
        }
        info!(function = %self.name, "function is deleted");
        self.record = None;
        self.replicas.want_none();
        Ok(())
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
                self.functions.lease.put_function(&self.name, record).await.map(|_| ())
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

/// The controller checks labels before it writes them, so a bad one is only possible after a change of skep itself.
fn scaling(record: &FunctionRecord) -> Result<Scaling> {
    Scaling::of(&record.deployment).map_err(Error::Invalid)
}

/// An update goes back to the label's minimum, but not below what someone scaled up to.
fn replicas_after_update(record: &FunctionRecord, minimum: u64) -> u64 {
    let scaled = record.deployment.initial_replicas() != Ok(record.replicas);
    if scaled { record.replicas.max(minimum) } else { minimum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_keeps_what_was_scaled_up_and_wakes_what_was_scaled_down() {
        let record = |replicas| FunctionRecord {
            deployment: FunctionDeployment::default(),
            replicas,
            endpoints: Vec::new(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            problem: None,
        };
        assert_eq!(replicas_after_update(&record(1), 3), 3);
        assert_eq!(replicas_after_update(&record(5), 1), 5);
        assert_eq!(replicas_after_update(&record(0), 1), 1);
    }
}
