//! The task of one function: the only writer of its record, and the owner of its replicas.

use std::{sync::Arc, time::Duration};

use skep_protocol::{
    FunctionDeployment, FunctionName, FunctionRecord, Scaling,
    control::{Change, Revision},
};
use skep_provider::{Cause, Replicas};
use time::OffsetDateTime;
use tokio::{sync::mpsc, time::Instant};
use tracing::{info, warn};

use crate::{Error, Result, scaling};

use super::{
    Reconcilers,
    request::{Command, Request, no_such_service, not_found},
};

/// Between two attempts to write the registry.
const WRITE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// After this time over a new connection, all gateways and workers have reported which functions are in use.
const USAGE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Reconciler {
    shared: Arc<Reconcilers>,
    name: FunctionName,
    /// What the registry holds, as far as it is known.
    record: Option<FunctionRecord>,
    /// How the record's deployment scales.
    scaling: Scaling,
    /// A write failed, so the registry may hold something else.
    doubtful: bool,
    /// The last time that someone asked for something here.
    touched: Instant,
    replicas: Box<dyn Replicas>,
    requests: mpsc::Receiver<Request>,
}

impl Reconciler {
    pub(super) fn new(
        shared: Arc<Reconcilers>,
        name: FunctionName,
        record: Option<FunctionRecord>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        let mut replicas = shared.provider.runtime.replicas(&name);
        if let Some(record) = &record {
            replicas.adopt(record);
        }
        let scaling = record.as_ref().map(|record| scaling::scaling(&record.deployment)).unwrap_or_default();
        Self { shared, name, record, scaling, doubtful: false, touched: Instant::now(), replicas, requests }
    }

    /// Keeps the replicas as they are wanted and the registry as they are, until deleted or the controller ends.
    pub(super) async fn run(mut self) {
        let ending = self.shared.ending.clone();
        loop {
            self.replicas.converge();
            self.publish().await;
            if self.is_gone() && self.shared.forget(&self.name, &self.requests) {
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
                () = tokio::time::sleep(WRITE_RETRY_INTERVAL), if self.doubtful => {}
                () = tokio::time::sleep_until(idle_at.unwrap_or(self.touched)), if idle_at.is_some() => {
                    self.scale_down_if_idle().await;
                }
            }
        }
        self.end().await;
    }

    /// Does what is asked. The caller may be gone; what was done stays done.
    async fn handle(&mut self, request: Request) {
        self.touched = Instant::now();
        match request {
            Request::Apply(command, reply) => drop(reply.send(self.apply(*command).await)),
            Request::Delete(reply) => drop(reply.send(self.delete().await)),
        }
    }

    async fn apply(&mut self, command: Command) -> Result<Change> {
        match (self.record.clone(), command) {
            (None, Command::Deploy(mut deployment)) => {
                let replicas = self.admit(&deployment).await?;
                let registry_auth = std::mem::take(&mut deployment.registry_auth);
                let created_at = OffsetDateTime::now_utc();
                let deployment = Arc::new(deployment);
                let record = FunctionRecord { deployment, replicas, endpoints: Vec::new(), created_at, problem: None };
                self.put(record, Cause::Deployed { registry_auth }).await
            }
            (Some(_), Command::Deploy(_)) => {
                Err(Error::Conflict(format!("function {} already exists: use PUT to update it", self.name)))
            }
            (Some(record), Command::Update(mut deployment)) => {
                let minimum = self.admit(&deployment).await?;
                let replicas = scaling::after_update(&self.scaling, record.replicas, minimum);
                let registry_auth = std::mem::take(&mut deployment.registry_auth);
                let deployment = Arc::new(deployment);
                self.put(FunctionRecord { deployment, replicas, ..record }, Cause::Updated { registry_auth }).await
            }
            (Some(record), Command::Scale(replicas)) => self.scale(record, replicas).await,
            (Some(record), Command::Wake) => match scaling::after_wake(&self.scaling, record.replicas) {
                Some(replicas) => self.scale(record, replicas).await,
                None => Ok(Change::Unchanged),
            },
            (Some(record), Command::Alert(status)) => {
                match scaling::after_alert(&self.scaling, record.replicas, status) {
                    Some(replicas) => self.scale(record, replicas).await,
                    None => Ok(Change::Unchanged),
                }
            }
            (None, Command::Update(_) | Command::Scale(_) | Command::Wake | Command::Alert(_)) => {
                Err(not_found(&self.name))
            }
        }
    }

    async fn scale(&mut self, record: FunctionRecord, replicas: u64) -> Result<Change> {
        self.shared.provider.runtime.check_replicas(&self.name, replicas)?;
        self.put(FunctionRecord { replicas, ..record }, Cause::Scaled).await
    }

    /// When it will have been idle for long enough to be scaled to zero.
    fn idle_at(&self) -> Option<Instant> {
        let idle_timeout = scaling::idle_timeout(&self.scaling, self.record.as_ref()?.replicas)?;
        let used = self.shared.usage.last_use(&self.name);
        Some(used.map_or(self.touched, |used| used.max(self.touched)) + idle_timeout)
    }

    /// Scales it to zero, unless it was used meanwhile, or its use could not be reported.
    async fn scale_down_if_idle(&mut self) {
        if self.idle_at().is_none_or(|idle_at| idle_at > Instant::now()) {
            return;
        }
        self.touched = Instant::now();
        let Some(record) = self.record.clone() else { return };
        let bus = &self.shared.bus;
        if !bus.connection.is_connected() || bus.connection.connected_for() < USAGE_TIMEOUT {
            return;
        }
        match self.scale(record, 0).await {
            Ok(_) => info!(function = %self.name, "function was idle"),
            Err(error) => warn!(%error, function = %self.name, "an idle function was not scaled to zero"),
        }
    }

    /// Checks a deployment and returns how many replicas it starts with.
    async fn admit(&self, deployment: &FunctionDeployment) -> Result<u64> {
        let minimum = scaling::scaling(deployment).min;
        self.shared.provider.runtime.check_replicas(&self.name, minimum)?;
        self.shared.provider.runtime.admit(&self.name, deployment).await?;
        Ok(minimum)
    }

    /// Writes what is wanted from now on; the replicas follow. What they cannot be is taken back.
    async fn put(&mut self, record: FunctionRecord, cause: Cause) -> Result<Change> {
        let former = self.record.clone();
        let revision = match self.shared.lease.put_spec(&self.name, &record).await {
            Ok(revision) => revision,
            Err(error) => {
                self.roll_back(former);
                return Err(error.into());
            }
        };
        if let Err(error) = self.replicas.apply(&record, cause).await {
            self.roll_back(former);
            self.publish().await;
            return Err(error);
        }
        info!(function = %self.name, replicas = record.replicas, revision, "function is set");
        self.scaling = scaling::scaling(&record.deployment);
        self.record = Some(record);
        Ok(Change::Written(Revision(revision)))
    }

    /// Goes on with what was before; the registry may hold something else until the next [`Self::publish`].
    fn roll_back(&mut self, former: Option<FunctionRecord>) {
        match &former {
            Some(record) => self.replicas.adopt(record),
            None => self.replicas.remove(),
        }
        self.record = former;
        self.doubtful = true;
    }

    async fn delete(&mut self) -> Result<()> {
        if self.record.is_none() {
            return Err(no_such_service(&self.name));
        }
        if let Err(error) = self.shared.lease.remove_function(&self.name).await {
            self.doubtful = true;
            return Err(error.into());
        }
        info!(function = %self.name, "function is deleted");
        self.record = None;
        self.replicas.remove();
        Ok(())
    }

    /// Brings the registry up to date; only then do replicas end that nobody can be sent to any more.
    pub(super) async fn publish(&mut self) {
        let (endpoints, problem) = (self.replicas.endpoints(), self.replicas.problem());
        let written = match &mut self.record {
            Some(record) if self.doubtful || record.endpoints != endpoints || record.problem != problem => {
                if let Some(problem) = problem.as_ref().filter(|problem| record.problem.as_ref() != Some(problem)) {
                    warn!(function = %self.name, problem, "the function has a problem");
                }
                record.endpoints = endpoints;
                record.problem = problem;
                match self.doubtful {
                    true => self.shared.lease.put_function(&self.name, record).await.map(|_| ()),
                    false => self.shared.lease.put_status(&self.name, record).await,
                }
            }
            None if self.doubtful => self.shared.lease.remove_function(&self.name).await,
            Some(_) | None => Ok(()),
        };
        self.doubtful = written.is_err();
        match written {
            Ok(()) => self.replicas.retire(),
            Err(error) => warn!(error = error.chain(), function = %self.name, "endpoints were not written"),
        }
    }

    fn is_gone(&self) -> bool {
        self.record.is_none() && self.replicas.is_empty() && !self.doubtful
    }

    /// Keeps what is wanted, withdraws the endpoints of replicas that end with the controller, and waits for these.
    async fn end(mut self) {
        self.requests.close();
        self.replicas.detach();
        self.publish().await;
        self.replicas.retire();
        while !self.replicas.is_empty() {
            self.replicas.changed().await;
        }
    }
}
