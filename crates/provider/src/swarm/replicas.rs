//! The replicas of one function: its service is kept as wanted, and its tasks get calls once their watchdogs have answered.

mod settled;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use skep_protocol::{Endpoint, FunctionName, FunctionRecord};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};
use tracing::warn;

use crate::{Cause, Error, Replicas, Result};

use super::{
    ProviderContext,
    choice::{self, Candidate},
    cluster_view::{Convergence, ServiceView},
    health,
    probe::{Probe, TaskAddress},
    problem,
    sync::{DesiredState, Order, Renew, SyncError, Synced, sync},
    task::Task,
};

/// When a refused request is tried again: a missing secret or network may have been created in the meantime.
const REFUSED_RETRY_INTERVAL: Duration = Duration::from_secs(15);
const AWAY_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// A service that has not been seen this long after its creation is gone.
const SHOW_TIMEOUT: Duration = Duration::from_secs(3);
/// A running task that does not answer for this long has a problem.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct SwarmReplicas {
    context: Arc<ProviderContext>,
    name: FunctionName,
    view: watch::Receiver<ServiceView>,
    wanted: Option<DesiredState>,
    /// The last spec that was written, and the version that the service had then.
    applied: Option<(String, u64)>,
    /// When it was written, until the cluster view shows the service.
    applied_at: Option<Instant>,
    /// The service may differ from what is wanted.
    is_due: bool,
    /// When it is tried again after a failure.
    again_at: Option<Instant>,
    syncs: JoinSet<Result<Synced, SyncError>>,
    probes: HashMap<String, Probe>,
    answered: Arc<Notify>,
    /// Replicas that the registry had; they count until the first poll.
    former: Vec<Endpoint>,
    /// Why the engine refused the service.
    trouble: Option<String>,
    /// How a task with the wanted spec failed; Swarm forgets it when it rolls an update back.
    failure: Option<String>,
    secrets_seen: u64,
    has_left: bool,
}

impl SwarmReplicas {
    pub(super) fn new(context: Arc<ProviderContext>, name: FunctionName) -> Self {
        let view = context.cluster.join(&name);
        Self {
            context,
            name,
            view,
            wanted: None,
            applied: None,
            applied_at: None,
            is_due: false,
            again_at: None,
            syncs: JoinSet::new(),
            probes: HashMap::new(),
            answered: Arc::default(),
            former: Vec::new(),
            trouble: None,
            failure: None,
            secrets_seen: 0,
            has_left: false,
        }
    }

    fn set_wanted(&mut self, record: &FunctionRecord, registry_auth: String, renew: Renew) {
        let deployment = Arc::clone(&record.deployment);
        self.wanted = Some(DesiredState { deployment, replicas: record.replicas, registry_auth, renew });
        self.is_due = true;
        self.again_at = None;
    }

    fn start_sync(&mut self) {
        if !self.syncs.is_empty() || self.has_left {
            return;
        }
        self.is_due = false;
        self.again_at = None;
        let applied = self.applied.as_ref().map(|(fingerprint, _)| fingerprint.clone());
        let order = Order { name: self.name.clone(), wanted: self.wanted.clone(), applied };
        self.syncs.spawn(sync(Arc::clone(&self.context), order));
    }

    /// Takes the outcome of the running sync, if there is one.
    async fn next_sync(&mut self) -> Option<Result<(), SyncError>> {
        let ended = self.syncs.join_next().await?;
        let outcome = ended.unwrap_or_else(|error| Err(SyncError::Away(error.to_string())));
        Some(self.synced(outcome))
    }

    fn synced(&mut self, outcome: Result<Synced, SyncError>) -> Result<(), SyncError> {
        let error = match outcome {
            Ok(Synced::Gone) => {
                (self.applied, self.applied_at) = (None, None);
                self.trouble = None;
                return Ok(());
            }
            Ok(Synced::Set { fingerprint, seen }) => {
                if self.applied.as_ref().is_none_or(|(applied, _)| *applied != fingerprint) {
                    self.failure = None;
                }
                self.applied = Some((fingerprint, seen));
                self.applied_at = Some(Instant::now());
                self.trouble = None;
                // Unless something else is wanted by now.
                if let Some(wanted) = self.wanted.as_mut().filter(|_| !self.is_due) {
                    wanted.renew = Renew::No;
                    wanted.registry_auth.clear();
                }
                return Ok(());
            }
            Err(error) => error,
        };
        let pause = match error {
            SyncError::Refused(_) => Some(REFUSED_RETRY_INTERVAL),
            SyncError::Away(_) | SyncError::OutOfSequence => Some(AWAY_RETRY_INTERVAL),
            SyncError::LeadershipLost => None,
        };
        self.again_at = pause.map(|pause| Instant::now() + pause);
        let trouble = Some(error.to_string());
        if self.trouble != trouble {
            warn!(function = %self.name, %error, "the service could not be updated");
            self.trouble = trouble;
        }
        Err(error)
    }

    /// Whether another writer has changed the service, or Swarm has rolled an update back.
    fn has_drifted(&self, view: &ServiceView) -> bool {
        let (Some(wanted), Some((fingerprint, version))) = (&self.wanted, &self.applied) else { return false };
        match &view.service {
            // A poll may be older than the service.
            None => view.is_seen && self.applied_at.is_none_or(|applied_at| applied_at.elapsed() > SHOW_TIMEOUT),
            Some(service) => {
                let is_same = service.generation.fingerprint == *fingerprint && service.replicas == wanted.replicas;
                !is_same && service.version > *version
            }
        }
    }

    /// Probes the watchdogs of new tasks, and forgets tasks that are gone.
    fn probe(&mut self, view: &ServiceView) {
        let network = view.service.as_ref().map_or("", |service| service.network.as_str());
        let path = self.path();
        let up = view.tasks.iter().filter(|task| task.is_up());
        let at = |task: &Task| Some(TaskAddress { address: task.address(network)?, runs: task.runs() });
        let found: HashMap<&str, _> = up.filter_map(|task| Some((task.id.as_str(), at(task)?))).collect();
        self.probes.retain(|id, probe| found.get(id.as_str()).is_some_and(|at| probe.fits(*at)));
        for (id, at) in found {
            if !self.probes.contains_key(id) {
                let is_it = |former: &Endpoint| former.instance == id && former.address == at.address;
                let has_answered = self.former.iter().any(is_it);
                let probe = Probe::start(id.to_owned(), at, path, has_answered, Arc::clone(&self.answered));
                self.probes.insert(id.to_owned(), probe);
            }
        }
        if view.is_seen {
            self.former.clear();
        }
    }

    fn endpoints_in(&self, view: &ServiceView) -> Vec<Endpoint> {
        let Some(wanted) = &self.wanted else { return Vec::new() };
        let current = view.service.as_ref().map(|service| &service.generation);
        let candidate = |task: &Task| {
            let probe = self.probes.get(&task.id).filter(|probe| probe.answers())?;
            let endpoint = Endpoint { instance: task.id.clone(), address: probe.address };
            Some(Candidate { endpoint, is_current: Some(&task.generation()) == current })
        };
        choice::endpoints(view.tasks.iter().filter_map(candidate), wanted.replicas)
    }

    fn path(&self) -> &'static str {
        self.wanted.as_ref().map_or(health::ALIVE, |wanted| health::path(&wanted.deployment))
    }

    /// What is known about tasks that run but do not answer.
    fn unanswered(&self, network: &str) -> Option<String> {
        let is_silent = self.probes.values().any(|probe| !probe.answers() && probe.since.elapsed() > ANSWER_TIMEOUT);
        is_silent.then(|| {
            format!(
                "a replica runs and is not ready: its watchdog does not answer 200 at port 8080, path {}; \
                 the function's log may say why, else: is there a watchdog in the image, \
                 and is the controller on the network {network}?",
                self.path()
            )
        })
    }
}

#[async_trait]
impl Replicas for SwarmReplicas {
    fn adopt(&mut self, record: &FunctionRecord) {
        if self.wanted.is_none() {
            self.former.clone_from(&record.endpoints);
        }
        self.set_wanted(record, String::new(), Renew::No);
    }

    async fn apply(&mut self, record: &FunctionRecord, cause: Cause) -> Result<()> {
        // The running sync is obsolete, but two must not write at the same time.
        while self.next_sync().await.is_some() {}
        match cause {
            Cause::Deployed { registry_auth } => self.set_wanted(record, registry_auth, Renew::No),
            Cause::RolledBack => self.set_wanted(record, String::new(), Renew::No),
            Cause::Updated { registry_auth } => self.set_wanted(record, registry_auth, Renew::Yes),
            Cause::Scaled => {
                // Earlier requests for credentials and new tasks still apply.
                let (registry_auth, renew) = self
                    .wanted
                    .take()
                    .map_or((String::new(), Renew::No), |wanted| (wanted.registry_auth, wanted.renew));
                self.set_wanted(record, registry_auth, renew);
            }
        }
        self.context.cluster.hurry(&self.name);
        self.start_sync();
        match self.next_sync().await {
            Some(Err(SyncError::Refused(reason))) => Err(Error::Invalid(reason)),
            Some(Err(SyncError::LeadershipLost)) => Err(Error::Busy),
            // It is stored, and tried until it works.
            Some(Ok(()) | Err(SyncError::Away(_) | SyncError::OutOfSequence)) | None => Ok(()),
        }
    }

    fn remove(&mut self) {
        self.wanted = None;
        self.is_due = true;
        self.again_at = None;
    }

    fn converge(&mut self) {
        let view = self.view.borrow_and_update().clone();
        let secrets_changed = std::mem::replace(&mut self.secrets_seen, view.secrets_changed) != view.secrets_changed;
        let names_secrets = self.wanted.as_ref().is_some_and(|wanted| !wanted.deployment.secrets.is_empty());
        if view.service.is_some() {
            self.applied_at = None;
        }
        self.is_due |= self.has_drifted(&view) || (secrets_changed && names_secrets);
        if self.is_due && self.again_at.is_none() {
            self.start_sync();
        }
        self.probe(&view);
        if let Some((applied, _)) = &self.applied {
            let failed = view.tasks.iter().filter(|task| task.generation().fingerprint == *applied);
            self.failure = problem::of_failed(failed).or(self.failure.take());
        }
        let convergence = if self.is_settled(&view) { Convergence::Settled } else { Convergence::Converging };
        self.context.cluster.set_convergence(&self.name, convergence);
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let view = self.view.borrow();
        if view.is_seen { self.endpoints_in(&view) } else { self.former.clone() }
    }

    fn problem(&self) -> Option<String> {
        if self.trouble.is_some() {
            return self.trouble.clone();
        }
        let wanted = self.wanted.as_ref()?;
        let view = self.view.borrow();
        let service = view.service.as_ref()?;
        let answering = self.endpoints_in(&view).len() as u64;
        let reason = problem::of_tasks(&view.tasks, &service.generation, wanted.replicas, answering);
        let is_former = self.applied.as_ref().is_some_and(|(applied, _)| *applied != service.generation.fingerprint);
        if !(service.is_rolled_back && is_former) {
            return reason.or_else(|| self.unanswered(&service.network));
        }
        let reason = self.failure.as_deref().unwrap_or("its replicas did not run");
        Some(format!("the update was taken back, and what was there before goes on: {reason}"))
    }

    fn shortage(&self) -> Option<String> {
        let view = self.view.borrow();
        let generation = &view.service.as_ref()?.generation;
        problem::of_pending(&view.tasks, generation)
    }

    fn is_ready(&self) -> bool {
        self.is_ready_in(&self.view.borrow())
    }

    fn failure(&self) -> Option<String> {
        let view = self.view.borrow();
        self.taken_back(&view).or_else(|| self.keeps_failing(&view))
    }

    fn retire(&mut self) {}

    async fn changed(&mut self) {
        let again_at = self.again_at;
        tokio::select! {
            Ok(()) = self.view.changed() => {}
            () = self.answered.notified() => {}
            Some(ended) = self.syncs.join_next() => {
                let outcome = ended.unwrap_or_else(|error| Err(SyncError::Away(error.to_string())));
                // The failure is kept as the problem, and the sync is tried again.
                let _ = self.synced(outcome);
            }
            () = tokio::time::sleep(SHOW_TIMEOUT + Duration::from_millis(1)), if self.applied_at.is_some() => {}
            () = tokio::time::sleep(ANSWER_TIMEOUT), if self.probes.values().any(|probe| !probe.answers()) => {}
            () = tokio::time::sleep_until(again_at.unwrap_or_else(Instant::now)), if again_at.is_some() => {
                self.again_at = None;
                self.is_due = true;
            }
        }
    }

    fn is_empty(&self) -> bool {
        let is_gone = self.wanted.is_none() && self.applied.is_none() && !self.is_due && self.again_at.is_none();
        self.syncs.is_empty() && (self.has_left || is_gone)
    }

    /// Services do not need the controller, so they keep running, and the registry keeps their addresses.
    fn detach(&mut self) {
        self.has_left = true;
    }
}
