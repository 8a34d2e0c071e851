//! Whether this process should get work: all of its roles must be ready.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The readiness of all roles of a process; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    roles: Arc<Mutex<BTreeMap<&'static str, bool>>>,
}

impl Readiness {
    /// Adds a role, which is not ready until it says so.
    pub fn role(&self, name: &'static str) -> RoleReadiness {
        let role = RoleReadiness { name, all: self.clone() };
        role.not_ready();
        role
    }

    /// Whether there is a role and all are ready.
    pub fn is_ready(&self) -> bool {
        let waiting = self.waiting_for();
        !self.is_empty() && waiting.is_empty()
    }

    /// The roles that are not ready.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        let roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        roles.iter().filter(|(_, ready)| !**ready).map(|(name, _)| *name).collect()
    }

    fn is_empty(&self) -> bool {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn set(&self, name: &'static str, ready: bool) {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).insert(name, ready);
    }
}

/// One role's own readiness. It drops before the role begins to drain, and when the role is gone.
pub struct RoleReadiness {
    name: &'static str,
    all: Readiness,
}

impl RoleReadiness {
    pub fn ready(&self) {
        self.all.set(self.name, true);
    }

    pub fn not_ready(&self) {
        self.all.set(self.name, false);
    }
}

impl Drop for RoleReadiness {
    fn drop(&mut self) {
        self.not_ready();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_all_its_roles_are() {
        let readiness = Readiness::default();
        assert!(!readiness.is_ready(), "a process without roles has nothing to be ready for");
        let gateway = readiness.role("gateway");
        let worker = readiness.role("queue-worker");
        gateway.ready();
        assert_eq!(readiness.waiting_for(), ["queue-worker"]);
        worker.ready();
        assert!(readiness.is_ready());
        drop(gateway);
        assert_eq!(readiness.waiting_for(), ["gateway"]);
    }
}
