//! A function as it can be called now.

use std::{sync::Arc, time::Duration};

use skep_protocol::{FunctionName, FunctionPolicy, FunctionRecord, PolicyDefaults};
use tracing::warn;

use crate::{
    endpoint::Endpoint,
    metrics::{FunctionMetrics, Metrics},
    usage::Usage,
};

/// The watchdog ends a call at the function's timeout and says so. Only if it does not, the call is given up here.
const WATCHDOG_GRACE: Duration = Duration::from_secs(2);

/// What the registry said last; a change makes a new one and keeps the replicas that stay.
pub struct Function {
    pub name: FunctionName,
    pub record: FunctionRecord,
    /// Of the record's deployment, and read once for it.
    pub policy: Arc<FunctionPolicy>,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
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
            let known = known.and_then(|known| known.endpoints.iter().find(same).cloned());
            known.unwrap_or_else(|| Arc::new(Endpoint::new(wanted.instance.clone(), wanted.address)))
        };
        let endpoints = record.endpoints.iter().map(replica).collect();
        let (metrics, usage) = match known {
            Some(known) => (Arc::clone(&known.metrics), Arc::clone(&known.usage)),
            None => (Arc::new(families.of_function(&name)), Arc::default()),
        };
        metrics.set_replicas(record.replicas);
        let policy = match known {
            Some(known) if Arc::ptr_eq(&known.record.deployment, &record.deployment) => Arc::clone(&known.policy),
            Some(_) | None => Arc::new(policy(&name, &record, defaults)),
        };
        Self { name, record, policy, endpoints, metrics, usage }
    }

    /// A replica that is silent for this long will not answer, because its watchdog would have ended the call.
    pub fn longest_silence(&self) -> Duration {
        self.policy.timeout.saturating_add(WATCHDOG_GRACE)
    }

    /// Replicas that can be called.
    pub fn replicas(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether the controller may scale it to zero.
    pub(crate) fn may_rest(&self) -> bool {
        self.policy.scaling.zero_after.is_some()
    }

    /// Calls that this process has under way, those that wait for a replica included.
    pub fn under_way(&self) -> usize {
        self.usage.under_way()
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
