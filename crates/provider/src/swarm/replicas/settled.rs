//! Whether a service is as it is wanted, as far as the cluster view shows.

use crate::swarm::{
    cluster_view::{ServiceState, ServiceView},
    problem,
};

use super::SwarmReplicas;

/// A spec does not run if this number of its tasks have failed. Swarm goes on with a spec that it cannot roll back.
const MAX_FAILED_TASKS: usize = 3;

impl SwarmReplicas {
    /// Whether everything is as wanted, or Swarm has rolled it back for a known reason.
    pub(super) fn is_settled(&self, view: &ServiceView) -> bool {
        let is_explained =
            view.service.as_ref().is_some_and(|service| service.is_rolled_back && self.failure.is_some());
        (self.is_applied(view) || is_explained) && self.all_serve(view)
    }

    /// Whether the service is the one that was written last.
    fn is_applied(&self, view: &ServiceView) -> bool {
        let Some((applied, _)) = &self.applied else { return false };
        view.service.as_ref().is_some_and(|service| service.generation.fingerprint == *applied)
    }

    /// Whether all replicas that are wanted run as the service is now, and take calls.
    fn all_serve(&self, view: &ServiceView) -> bool {
        let wanted = self.wanted.as_ref().map_or(0, |wanted| wanted.replicas);
        let is_current = view.service.as_ref().is_some_and(|service| {
            let mut up = view.tasks.iter().filter(|task| task.is_waited_for());
            up.all(|task| task.generation() == service.generation)
        });
        let endpoints = self.endpoints_in(view).len() as u64;
        let up = view.tasks.iter().filter(|task| task.is_waited_for()).count() as u64;
        is_current && !self.is_due && self.syncs.is_empty() && endpoints == wanted && up == wanted
    }

    /// Whether all replicas that are wanted, and some are, run what was written last, and take calls.
    pub(super) fn is_ready_in(&self, view: &ServiceView) -> bool {
        let is_wanted = self.wanted.as_ref().is_some_and(|wanted| wanted.replicas > 0);
        is_wanted && view.is_seen && self.is_applied(view) && self.all_serve(view)
    }

    /// Why Swarm has rolled back what was written last, if it has: it tries a new spec for a while.
    ///
    /// The rollback can be seen before the tasks that failed. Until they are, there is no reason to give.
    pub(super) fn taken_back(&self, view: &ServiceView) -> Option<String> {
        let (service, (applied, version)) = (view.service.as_ref()?, self.applied.as_ref()?);
        let is_written = !self.is_due && self.syncs.is_empty();
        if is_written && is_taken_back(service, applied, *version) { self.failure.clone() } else { None }
    }

    /// Why what was written last does not run, if several of its tasks have failed and it is not ready.
    pub(super) fn keeps_failing(&self, view: &ServiceView) -> Option<String> {
        let (applied, _) = self.applied.as_ref().filter(|_| !self.is_ready_in(view))?;
        let failed = || view.tasks.iter().filter(|task| task.has_failed() && task.generation().fingerprint == *applied);
        if failed().count() >= MAX_FAILED_TASKS { problem::of_failed(failed()) } else { None }
    }
}

/// Whether Swarm has rolled a spec back that was written when the service had this version. A poll may be older than that.
fn is_taken_back(service: &ServiceState, applied: &str, version: u64) -> bool {
    service.is_rolled_back && service.version > version && service.generation.fingerprint != applied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::task::Generation;

    #[test]
    fn a_rollback_of_before_the_update_is_none_of_it() {
        let service = |fingerprint: &str, version, is_rolled_back| ServiceState {
            generation: Generation { fingerprint: fingerprint.to_owned(), force_update: 0 },
            version,
            is_rolled_back,
            ..ServiceState::default()
        };
        let is_taken_back = |service| is_taken_back(&service, "new", 7);
        assert!(is_taken_back(service("old", 9, true)));
        assert!(!is_taken_back(service("old", 7, true)), "as it was before the update");
        assert!(!is_taken_back(service("new", 8, false)));
        assert!(!is_taken_back(service("new", 8, true)));
        assert!(!is_taken_back(service("old", 9, false)), "somebody else has written it");
    }
}
