//! One task per function keeps its replicas and its record as they are wanted; this file holds all tasks, by name.

mod canary;
mod reconciler;
mod replicas;
mod request;
mod versions;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use skep_bus::{ControllerBus, Lease};
use skep_protocol::{
    Author, CanaryReport, FunctionName, FunctionRecord, FunctionStats, KeptVersion, TrialReport, VersionRoles,
    control::{Change, Promoted, RolledBack},
};
use skep_provider::Provider;
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info, warn};

use crate::{
    Error, Result,
    scaling::{Autoscale, Load, Loads, Upcoming},
    trials::Trials,
};

use self::{
    reconciler::Reconciler,
    request::{Request, not_found},
};

pub(crate) use self::request::Command;

/// Requests that may wait for one function.
const MAX_WAITING: usize = 16;
/// How long killed replicas may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(15);
/// After this time over a new connection, all gateways and workers have reported which functions are in use.
const REPORTS_TIMEOUT: Duration = Duration::from_secs(10);

/// The tasks of all functions, and what they share.
pub(crate) struct Reconcilers {
    pub(crate) bus: ControllerBus,
    pub(crate) lease: Arc<Lease>,
    pub(crate) provider: Provider,
    pub(crate) ending: CancellationToken,
    pub(crate) loads: Loads,
    pub(crate) upcoming: Upcoming,
    pub(crate) trials: Trials,
    pub(crate) autoscale: Autoscale,
    running: Mutex<HashMap<FunctionName, mpsc::Sender<Request>>>,
    pub(crate) tasks: TaskTracker,
}

impl Reconcilers {
    pub(crate) fn new(bus: ControllerBus, lease: Arc<Lease>, provider: Provider, autoscale: Autoscale) -> Self {
        let autoscale = Autoscale { cores: provider.runtime.shared_cores(), ..autoscale };
        let (loads, upcoming) = (Loads::new(), Upcoming::default());
        let (trials, ending) = (Trials::default(), CancellationToken::new());
        let (running, tasks) = (Mutex::default(), TaskTracker::new());
        Self { bus, lease, provider, ending, loads, upcoming, trials, autoscale, running, tasks }
    }

    /// Spawns what goes on until the end of the term.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ending = self.ending.clone();
        self.tasks.spawn(async move {
            ending.run_until_cancelled(task).await;
        });
    }

    /// Changes a function, or deploys a new one.
    pub(crate) async fn apply(self: &Arc<Self>, name: FunctionName, command: Command) -> Result<Change> {
        self.ask(name, |reply| Request::Apply(Box::new(command), reply)).await
    }

    /// Removes a function.
    pub(crate) async fn delete(self: &Arc<Self>, name: FunctionName) -> Result<()> {
        self.ask(name, Request::Delete).await
    }

    /// The versions of a function that are kept, the oldest first, and which one is what.
    pub(crate) async fn versions(self: &Arc<Self>, name: FunctionName) -> Result<(Vec<KeptVersion>, VersionRoles)> {
        self.ask(name, Request::Versions).await
    }

    /// Brings a former version back, or the previous one.
    pub(crate) async fn roll_back(
        self: &Arc<Self>,
        name: FunctionName,
        version: Option<u64>,
        author: Author,
    ) -> Result<RolledBack> {
        self.ask(name, |reply| Request::RollBack(version, author, reply)).await
    }

    /// The canary of a function, if it has one.
    pub(crate) async fn canary(self: &Arc<Self>, name: FunctionName) -> Result<Option<CanaryReport>> {
        self.ask(name, Request::Canary).await
    }

    /// Lets the canary of a function take all calls.
    pub(crate) async fn promote(self: &Arc<Self>, name: FunctionName) -> Result<Promoted> {
        self.ask(name, Request::Promote).await
    }

    /// Takes reports of how calls of versions on trial have ended, until the connection ends for good.
    pub(crate) async fn follow_trials(&self, reports: impl Stream<Item = TrialReport>) {
        let mut reports = std::pin::pin!(reports);
        while let Some(mut report) = reports.next().await {
            report.trials.retain(|counts| self.require(&counts.function).is_ok());
            let noted = self.trials.note(report);
            let running = self.running();
            for requests in noted.iter().filter_map(|name| running.get(name)) {
                // One that is busy looks by itself once it is not.
                let _ = requests.try_send(Request::Judge);
            }
        }
    }

    /// Decides how many replicas a function is to have, from what was seen of it in the last second.
    pub(crate) async fn decide(self: &Arc<Self>, name: FunctionName, load: Load) -> Result<FunctionStats> {
        self.ask(name, |reply| Request::Decide(load, reply)).await
    }

    /// Whether all gateways and workers can have reported what is in use.
    pub(crate) fn reports_are_complete(&self) -> bool {
        let connection = &self.bus.connection;
        connection.is_connected() && connection.connected_for() >= REPORTS_TIMEOUT
    }

    /// Whether nothing waits for a function's task.
    pub(crate) fn is_free(&self, name: &FunctionName) -> bool {
        self.running().get(name).is_some_and(|requests| requests.capacity() == MAX_WAITING)
    }

    /// How many functions there are.
    pub(crate) fn count(&self) -> u64 {
        self.running().len() as u64
    }

    /// Fails if there is no such function.
    pub(crate) fn require(&self, name: &FunctionName) -> Result<()> {
        if self.running().contains_key(name) { Ok(()) } else { Err(not_found(name)) }
    }

    /// Hands a request to the function's task; only a deploy makes a new one.
    async fn ask<T>(
        self: &Arc<Self>,
        name: FunctionName,
        request: impl FnOnce(oneshot::Sender<Result<T>>) -> Request,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let request = request(reply);
        {
            let mut running = self.running();
            if !running.contains_key(&name) {
                if !request.is_deploy() {
                    return Err(request.not_found(&name));
                }
                let (sender, requests) = mpsc::channel(MAX_WAITING);
                self.tasks.spawn(Reconciler::new(Arc::clone(self), name.clone(), None, requests).run());
                running.insert(name.clone(), sender);
            }
            let Some(requests) = running.get(&name) else { return Err(Error::Busy) };
            requests.try_send(request).map_err(|_| Error::Busy)?;
        }
        // The task answers every request it takes, or drops it when the controller ends.
        answer.await.unwrap_or(Err(Error::Busy))
    }

    /// Goes on with a function of the registry, and drops its endpoints that no longer exist.
    pub(crate) async fn adopt(self: &Arc<Self>, name: FunctionName, record: FunctionRecord) {
        let (sender, requests) = mpsc::channel(MAX_WAITING);
        let mut reconciler = Reconciler::new(Arc::clone(self), name.clone(), Some(record), requests);
        reconciler.publish().await;
        self.tasks.spawn(reconciler.run());
        self.running().insert(name, sender);
    }

    /// Lets the task of a function that is gone end, unless something was asked of it meanwhile.
    fn forget(&self, name: &FunctionName, requests: &mpsc::Receiver<Request>) -> bool {
        let mut running = self.running();
        if !requests.is_empty() {
            return false;
        }
        running.remove(name);
        self.provider.runtime.forget(name);
        self.loads.forget(name);
        self.upcoming.forget(name);
        self.trials.forget(name);
        true
    }

    /// Ends all tasks and the provider; replicas that still work after `grace` are killed.
    pub(crate) async fn end(&self, grace: Duration) {
        self.ending.cancel();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            warn!("replicas that still work are killed");
            self.provider.runtime.kill();
            if tokio::time::timeout(KILL_TIMEOUT, self.tasks.wait()).await.is_err() {
                error!("some replicas did not end");
            }
        }
        self.provider.runtime.end().await;
        info!("the controller has ended");
    }

    fn running(&self) -> MutexGuard<'_, HashMap<FunctionName, mpsc::Sender<Request>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
