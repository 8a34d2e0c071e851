//! The task of one function: the only writer of its record, and the owner of its replicas.

use std::{sync::Arc, time::Duration};

use skep_protocol::{
    Author, FunctionDeployment, FunctionName, FunctionRecord, ReplicaStatus, Scaling,
    control::{Change, Revision},
};
use skep_provider::{Cause, Replicas};
use time::OffsetDateTime;
use tokio::{sync::mpsc, time::Instant};
use tracing::{info, warn};

use crate::{
    Error, Result,
    scaling::{self, Scaler},
};

use super::{
    Reconcilers,
    canary::{CanaryReplicas, JUDGE_INTERVAL},
    request::{Command, Request, no_such_service, not_found},
    versions,
};

/// Between two attempts to write the registry.
pub(super) const WRITE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Reconciler {
    pub(super) shared: Arc<Reconcilers>,
    pub(super) name: FunctionName,
    /// What the registry holds, as far as it is known.
    pub(super) record: Option<FunctionRecord>,
    /// How the record's deployment scales.
    pub(super) scaling: Scaling,
    /// The status that the registry has, as far as it is known.
    written_status: ReplicaStatus,
    pub(super) scaler: Scaler,
    /// A write failed, so the registry may hold something else.
    doubtful: bool,
    /// The last time that someone asked for something here.
    pub(super) touched: Instant,
    /// When the present update is rolled back if it is not ready.
    pub(super) update_deadline: Option<Instant>,
    pub(super) replicas: Box<dyn Replicas>,
    /// Of the canary, for as long as there are any.
    pub(super) canary: Option<CanaryReplicas>,
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
        let mut scaler = Scaler::new(shared.autoscale.clone(), name.clone());
        if let Some(record) = &record {
            scaler.hold(record.replicas, record.held_until);
        }
        shared.loads.watch(&name);
        let written_status = record.as_ref().map(FunctionRecord::status).unwrap_or_default();
        let mut reconciler = Self {
            shared,
            name,
            record,
            scaling,
            written_status,
            scaler,
            doubtful: false,
            touched: Instant::now(),
            update_deadline: None,
            replicas,
            canary: None,
            requests,
        };
        reconciler.adopt_canary();
        reconciler
    }

    /// Keeps the replicas as they are wanted and the registry as they are, until deleted or the controller ends.
    pub(super) async fn run(mut self) {
        let ending = self.shared.ending.clone();
        loop {
            self.judge_update().await;
            self.judge_canary().await;
            self.replicas.converge();
            self.converge_canary();
            self.publish().await;
            if self.is_gone() && self.shared.forget(&self.name, &self.requests) {
                return;
            }
            let (idle_at, update_deadline) = (self.idle_at(), self.update_deadline);
            let has_canary = self.record.as_ref().is_some_and(|record| record.canary.is_some());
            tokio::select! {
                biased;
                () = ending.cancelled() => break,
                request = self.requests.recv() => {
                    let Some(request) = request else { break };
                    self.handle(request).await;
                }
                () = self.replicas.changed() => {}
                () = CanaryReplicas::changed(&mut self.canary) => {}
                () = tokio::time::sleep(JUDGE_INTERVAL), if has_canary => {}
                () = tokio::time::sleep(WRITE_RETRY_INTERVAL), if self.doubtful => {}
                () = tokio::time::sleep_until(update_deadline.unwrap_or(self.touched)), if update_deadline.is_some() => {}
                () = tokio::time::sleep_until(idle_at.unwrap_or(self.touched)), if idle_at.is_some() => {
                    self.scale_down_if_idle().await;
                }
            }
        }
        self.end().await;
    }

    /// Does what is asked. The caller may be gone; what was done stays done.
    async fn handle(&mut self, request: Request) {
        if !matches!(request, Request::Decide(..) | Request::Judge | Request::Canary(_)) {
            self.touched = Instant::now();
        }
        match request {
            Request::Decide(load, reply) => self.decide(load, reply).await,
            Request::Apply(command, reply) => drop(reply.send(self.apply(*command).await)),
            Request::Delete(reply) => drop(reply.send(self.delete().await)),
            Request::Versions(reply) => drop(reply.send(self.versions().await)),
            Request::RollBack(version, author, reply) => drop(reply.send(self.go_back(version, author).await)),
            Request::Canary(reply) => drop(reply.send(Ok(self.canary_report()))),
            Request::Promote(reply) => drop(reply.send(self.promote().await)),
            Request::Judge => {}
        }
    }

    async fn apply(&mut self, command: Command) -> Result<Change> {
        match (self.record.clone(), command) {
            (None, Command::Deploy(deployment, author)) => self.deploy(deployment, author).await,
            (Some(_), Command::Deploy(..)) => {
                Err(Error::Conflict(format!("function {} already exists: use PUT to update it", self.name)))
            }
            (Some(record), Command::Update(deployment, author, mode)) => {
                self.update(record, deployment, author, mode).await
            }
            (Some(record), Command::Scale(replicas, held_until)) => self.set(record, replicas, held_until).await,
            (Some(record), Command::Wake) => self.wake(record).await,
            (Some(record), Command::Alert(status)) => self.alert(record, status).await,
            (None, Command::Update(..) | Command::Scale(..) | Command::Wake | Command::Alert(_)) => {
                Err(not_found(&self.name))
            }
        }
    }

    async fn deploy(&mut self, mut deployment: FunctionDeployment, author: Author) -> Result<Change> {
        let replicas = self.admit(&deployment).await?;
        let registry_auth = std::mem::take(&mut deployment.registry_auth);
        let record = FunctionRecord::without_replicas(deployment, replicas, OffsetDateTime::now_utc());
        self.put_version(record, versions::first(author), Cause::Deployed { registry_auth }).await
    }

    /// Checks a deployment and returns how many replicas it starts with.
    pub(super) async fn admit(&self, deployment: &FunctionDeployment) -> Result<u64> {
        let minimum = scaling::scaling(deployment).min;
        self.shared.provider.runtime.check_replicas(&self.name, minimum)?;
        self.shared.provider.runtime.admit(&self.name, deployment).await?;
        Ok(minimum)
    }

    /// Writes what is wanted from now on; the replicas follow. What they cannot be is taken back.
    pub(super) async fn put(&mut self, record: FunctionRecord, cause: Cause) -> Result<Change> {
        self.put_both(record, cause, Cause::Scaled).await
    }

    /// As [`Self::put`], with a cause of its own for the canary.
    pub(super) async fn put_both(&mut self, record: FunctionRecord, cause: Cause, of_canary: Cause) -> Result<Change> {
        let former = self.record.clone();
        let revision = match self.shared.lease.put_spec(&self.name, &record).await {
            Ok(revision) => revision,
            Err(error) => {
                self.take_back(former);
                return Err(error.into());
            }
        };
        let mut applied = self.replicas.apply(&record, cause).await;
        if applied.is_ok() {
            applied = self.apply_canary(&record, of_canary).await;
        }
        if let Err(error) = applied {
            self.take_back(former);
            self.publish().await;
            return Err(error);
        }
        info!(function = %self.name, replicas = record.replicas, revision, "function is set");
        self.scaling = scaling::scaling(&record.deployment);
        self.shared.loads.watch(&self.name);
        self.scaler.expect(former.map_or(0, |former| former.replicas), record.replicas);
        self.record = Some(record);
        Ok(Change::Written(Revision(revision)))
    }

    /// Goes on with what was before; the registry may hold something else until the next [`Self::publish`].
    fn take_back(&mut self, former: Option<FunctionRecord>) {
        match &former {
            Some(record) => self.replicas.adopt(record),
            None => self.replicas.remove(),
        }
        self.record = former;
        self.adopt_canary();
        self.doubtful = true;
    }

    async fn delete(&mut self) -> Result<()> {
        if self.record.is_none() {
            return Err(no_such_service(&self.name));
        }
        // First, so that they do not count for the next function of that name.
        self.shared.lease.remove_versions(&self.name).await?;
        if let Err(error) = self.shared.lease.remove_function(&self.name).await {
            self.doubtful = true;
            return Err(error.into());
        }
        info!(function = %self.name, "function is deleted");
        self.record = None;
        self.written_status = ReplicaStatus::default();
        self.replicas.remove();
        self.adopt_canary();
        Ok(())
    }

    /// Brings the registry up to date; only then do replicas end that nobody can be sent to any more.
    pub(super) async fn publish(&mut self) {
        let status = self.record.as_ref().map(|record| self.seen(record));
        let written = match (&mut self.record, status) {
            (Some(record), Some(status)) if self.doubtful || status != self.written_status => {
                if let Some(problem) =
                    status.problem.as_ref().filter(|problem| record.problem.as_ref() != Some(problem))
                {
                    warn!(function = %self.name, problem, "the function has a problem");
                }
                self.scaler.see_ready(record.endpoints.len() as u64, status.endpoints.len() as u64, record.replicas);
                *record = FunctionRecord::new(record.spec(), status.clone());
                let written = match self.doubtful {
                    true => self.shared.lease.put_function(&self.name, record).await.map(|_| ()),
                    false => self.shared.lease.put_status(&self.name, record).await,
                };
                self.written_status = if written.is_ok() { status } else { ReplicaStatus::default() };
                written
            }
            (None, _) if self.doubtful => self.shared.lease.remove_function(&self.name).await,
            _ => Ok(()),
        };
        self.doubtful = written.is_err();
        match written {
            Ok(()) => {
                self.replicas.retire();
                self.retire_canary();
            }
            Err(error) => warn!(error = error.chain(), function = %self.name, "endpoints were not written"),
        }
    }

    /// What there is of it now.
    fn seen(&self, record: &FunctionRecord) -> ReplicaStatus {
        let ready_version = if self.replicas.is_ready() { record.number() } else { record.ready_version };
        ReplicaStatus {
            endpoints: self.replicas.endpoints(),
            problem: self.replicas.problem(),
            ready_version,
            answered_version: record.answered_version,
            canary: self.canary_status(record),
        }
    }

    fn is_gone(&self) -> bool {
        self.record.is_none() && self.replicas.is_empty() && self.canary.is_none() && !self.doubtful
    }

    /// Keeps what is wanted, withdraws the endpoints of replicas that end with the controller, and waits for these.
    async fn end(mut self) {
        self.requests.close();
        self.replicas.detach();
        if let Some(canary) = &mut self.canary {
            canary.replicas.detach();
        }
        self.publish().await;
        self.replicas.retire();
        self.retire_canary();
        while !self.replicas.is_empty() {
            self.replicas.changed().await;
        }
        while self.canary.as_ref().is_some_and(|canary| !canary.replicas.is_empty()) {
            CanaryReplicas::changed(&mut self.canary).await;
        }
    }
}
