//! A function as it can be called now.

use std::{sync::Arc, time::Duration};

use http::Request;
use skep_protocol::{FunctionName, FunctionPolicy, FunctionRecord, PolicyDefaults};
use tracing::warn;

use crate::{
    Body,
    canary::Canary,
    endpoint::Endpoint,
    metrics::{Figures, FunctionMetrics, Metrics},
    trial::Trial,
    usage::{Usage, WaitingCall},
};

/// The watchdog ends a call at the function's timeout and says so. Only if it does not, the call is given up here.
pub(crate) const WATCHDOG_GRACE: Duration = Duration::from_secs(2);

/// What the registry said last; a change makes a new one and keeps the replicas that stay.
pub struct Function {
    pub name: FunctionName,
    pub record: FunctionRecord,
    /// Of the record's deployment, and read once for it.
    pub policy: Arc<FunctionPolicy>,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    /// The new version beside it, if there is one.
    pub(crate) canary: Option<Canary>,
    /// Counts the calls of a version on trial, if there is one.
    pub(crate) trial: Option<Arc<Trial>>,
    pub(crate) metrics: Arc<FunctionMetrics>,
    pub(crate) usage: Arc<Usage>,
}

impl Function {
    pub(crate) fn new(
        name: FunctionName,
        record: FunctionRecord,
        defaults: &PolicyDefaults,
        families: &Arc<Metrics>,
        known: Option<&Self>,
    ) -> Self {
        let replica = |wanted: &skep_protocol::Endpoint| {
            let same = |known: &&Arc<Endpoint>| known.address == wanted.address && known.instance == wanted.instance;
            let known = known.and_then(|known| known.all_endpoints().find(same).cloned());
            known.unwrap_or_else(|| Arc::new(Endpoint::new(wanted.instance.clone(), wanted.address)))
        };
        let endpoints = record.endpoints.iter().map(replica).collect();
        let canary = Canary::of(&record, defaults, replica);
        let (metrics, usage) = match known {
            Some(known) => (Arc::clone(&known.metrics), Arc::clone(&known.usage)),
            None => {
                let metrics = families.of_function(&name);
                let usage = Usage::since(&metrics);
                (Arc::new(metrics), Arc::new(usage))
            }
        };
        metrics.set_replicas(record.replicas);
        let policy = match known {
            Some(known) if Arc::ptr_eq(&known.record.deployment, &record.deployment) => Arc::clone(&known.policy),
            Some(_) | None => Arc::new(policy(&name, &record, defaults)),
        };
        let trial = Trial::of(&record, &policy, known.and_then(|known| known.trial.as_ref()));
        Self { name, record, policy, endpoints, canary, trial, metrics, usage }
    }

    /// The canary, if it takes this call.
    pub(crate) fn canary_for(&self, request: &Request<Body>) -> Option<&Canary> {
        self.canary.as_ref().filter(|canary| canary.takes(request))
    }

    /// The replicas that can be called, those of the canary too.
    pub(crate) fn all_endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.iter().chain(self.canary.iter().flat_map(|canary| &canary.endpoints))
    }

    /// A replica that is silent for this long will not answer, because its watchdog would have ended the call.
    pub fn idle_timeout(&self) -> Duration {
        self.policy.timeout.saturating_add(WATCHDOG_GRACE)
    }

    /// Replicas that can be called.
    pub fn replicas(&self) -> usize {
        self.endpoints.len()
    }

    /// Counts a call that waits for a slot, until it is dropped.
    pub fn waits(&self) -> WaitingCall {
        WaitingCall::begin(&self.usage)
    }

    /// Calls that this process has under way, those that wait for a replica included.
    pub fn under_way(&self) -> usize {
        self.usage.under_way()
    }

    /// What this process has counted of it.
    pub fn figures(&self) -> Figures {
        self.metrics.figures()
    }

    /// Calls that this process has counted as ended.
    pub fn invocation_count(&self) -> u64 {
        self.metrics.ended()
    }
}

fn policy(name: &FunctionName, record: &FunctionRecord, defaults: &PolicyDefaults) -> FunctionPolicy {
    let (policy, invalid) = FunctionPolicy::of_deployed(&record.deployment, defaults);
    for error in invalid {
        warn!(%error, function = %name, "a setting of a deployed function is not valid; the default is used");
    }
    policy
}
