//! What the engine last reported about each function.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_protocol::FunctionName;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::task::{Generation, Task, by_function};

/// One function as it was last seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServiceView {
    /// Whether it has been polled yet.
    pub(super) is_seen: bool,
    pub(super) service: Option<ServiceState>,
    pub(super) tasks: Vec<Task>,
    /// Counts changes to secrets, whether or not the function uses them.
    pub(super) secrets_changed: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ServiceState {
    pub(super) id: String,
    /// Rises with each change of the service.
    pub(super) version: u64,
    pub(super) generation: Generation,
    pub(super) replicas: u64,
    /// The network on which its tasks are reached.
    pub(super) network: String,
    /// The last update failed, and Swarm has rolled the service back.
    pub(super) is_rolled_back: bool,
}

/// How soon a function is checked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Convergence {
    /// It is as it should be.
    Settled,
    /// Replicas are starting.
    Converging,
}

/// A function that takes longer to change has a problem, and is checked less often.
const FRESH_TTL: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(super) struct ClusterView {
    functions: Mutex<HashMap<FunctionName, Entry>>,
    look: Notify,
}

struct Entry {
    view: watch::Sender<ServiceView>,
    convergence: Convergence,
    since: Instant,
}

impl ClusterView {
    /// Tracks a function from now on.
    pub(super) fn join(&self, name: &FunctionName) -> watch::Receiver<ServiceView> {
        let (view, receiver) = watch::channel(ServiceView::default());
        self.functions()
            .insert(name.clone(), Entry { view, convergence: Convergence::Converging, since: Instant::now() });
        self.look.notify_one();
        receiver
    }

    pub(super) fn leave(&self, name: &FunctionName) {
        self.functions().remove(name);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        name.parse::<FunctionName>().is_ok_and(|name| self.functions().contains_key(&name))
    }

    pub(super) fn set_convergence(&self, name: &FunctionName, convergence: Convergence) {
        if let Some(entry) = self.functions().get_mut(name)
            && entry.convergence != convergence
        {
            entry.convergence = convergence;
            entry.since = Instant::now();
            self.look.notify_one();
        }
    }

    /// Checks a function often from now on.
    pub(super) fn hurry(&self, name: &FunctionName) {
        if let Some(entry) = self.functions().get_mut(name) {
            (entry.convergence, entry.since) = (Convergence::Converging, Instant::now());
            self.look.notify_one();
        }
    }

    pub(super) fn converging(&self) -> Vec<FunctionName> {
        let functions = self.functions();
        let converging = functions.iter().filter(|(_, entry)| entry.convergence == Convergence::Converging);
        converging.map(|(name, _)| name.clone()).collect()
    }

    /// Whether replicas are expected at any moment.
    pub(super) fn is_fresh(&self) -> bool {
        let is_fresh =
            |entry: &Entry| entry.convergence == Convergence::Converging && entry.since.elapsed() < FRESH_TTL;
        self.functions().values().any(is_fresh)
    }

    /// Updates all functions, but not the tasks of those that are changing: [`Self::show_tasks`] knows more about these.
    pub(super) fn show_all(&self, mut services: HashMap<String, ServiceState>, tasks: Vec<Task>) {
        let mut of_function = by_function(tasks);
        for (name, entry) in self.functions().iter() {
            let service = services.remove(name.as_str());
            let mut tasks = of_function.remove(name.as_str()).unwrap_or_default();
            tasks.sort_by(|one, other| one.id.cmp(&other.id));
            change(&entry.view, |view| {
                view.service = service;
                if entry.convergence == Convergence::Settled || !view.is_seen {
                    view.tasks = tasks;
                }
                view.is_seen = true;
            });
        }
    }

    /// Updates the service of one function.
    pub(super) fn show_service(&self, name: &FunctionName, service: Option<ServiceState>) {
        if let Some(entry) = self.functions().get(name) {
            change(&entry.view, |view| view.service = service);
        }
    }

    /// Updates all tasks of one function, after its service.
    pub(super) fn show_tasks(&self, name: &FunctionName, mut tasks: Vec<Task>) {
        tasks.sort_by(|one, other| one.id.cmp(&other.id));
        if let Some(entry) = self.functions().get(name) {
            change(&entry.view, |view| {
                view.tasks = tasks;
                view.is_seen = true;
            });
        }
    }

    pub(super) fn secrets_changed(&self) {
        for entry in self.functions().values() {
            change(&entry.view, |view| view.secrets_changed += 1);
        }
    }

    /// Asks for a poll of everything.
    pub(super) fn refresh(&self) {
        self.look.notify_one();
    }

    /// Returns when a poll is needed early.
    pub(super) async fn asked(&self) {
        self.look.notified().await;
    }

    fn functions(&self) -> MutexGuard<'_, HashMap<FunctionName, Entry>> {
        self.functions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes subscribers only if something has changed.
fn change(view: &watch::Sender<ServiceView>, change: impl FnOnce(&mut ServiceView)) {
    view.send_if_modified(|current| {
        let before = current.clone();
        change(current);
        *current != before
    });
}
