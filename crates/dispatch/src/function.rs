//! A function as it can be called now.

use std::{sync::Arc, time::Duration};

use skep_protocol::{FunctionName, FunctionRecord, QueueLimits, Scaling};
use tracing::warn;

use crate::{endpoint::Endpoint, metrics::FunctionMetrics, usage::Usage};

/// The watchdog ends a call at the function's limit and says so; only if it does not is the call given up from here.
const WATCHDOG_FIRST: Duration = Duration::from_secs(2);

/// What the registry said last; a change makes a new one and keeps the replicas that stay.
pub struct Function {
    pub name: FunctionName,
    pub record: FunctionRecord,
    /// How long one call may run.
    pub timeout: Duration,
    /// Calls that one replica takes at once; `None` if it set no limit.
    pub max_inflight: Option<usize>,
    /// How long the results of its calls are kept; `None` if it does not say.
    pub result_ttl: Option<Duration>,
    /// Its callers are asked for a token.
    pub needs_token: bool,
    /// From when on further calls are refused.
    pub queue_limits: QueueLimits,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) metrics: Arc<FunctionMetrics>,
    pub(crate) usage: Arc<Usage>,
    /// The controller may scale it to zero.
    pub(crate) may_rest: bool,
}

impl Function {
    pub(crate) fn new(
        name: FunctionName,
        record: FunctionRecord,
        default_timeout: Duration,
        known: &[Arc<Endpoint>],
        metrics: Arc<FunctionMetrics>,
        usage: Arc<Usage>,
    ) -> Self {
        let endpoints = record
            .endpoints
            .iter()
            .map(|wanted| {
                let same =
                    |known: &&Arc<Endpoint>| known.address == wanted.address && known.instance == wanted.instance;
                known
                    .iter()
                    .find(same)
                    .cloned()
                    .unwrap_or_else(|| Arc::new(Endpoint::new(wanted.instance.clone(), wanted.address)))
            })
            .collect();
        metrics.set_replicas(record.replicas);
        Self {
            timeout: or_default(&name, record.deployment.timeout(), Some(default_timeout)).unwrap_or(default_timeout),
            may_rest: Scaling::of(&record.deployment).is_ok_and(|scaling| scaling.zero_after.is_some()),
            max_inflight: or_default(&name, record.deployment.max_inflight(), None),
            // What cannot be read here does not open a function.
            needs_token: record.deployment.needs_token().unwrap_or(true),
            result_ttl: or_default(&name, record.deployment.result_ttl(), None),
            queue_limits: or_default(
                &name,
                QueueLimits::of(&record.deployment.annotations).map(Some),
                Some(QueueLimits::default()),
            )
            .unwrap_or_default(),
            name,
            record,
            endpoints,
            metrics,
            usage,
        }
    }

    /// A replica that says nothing of a call for so long will say no more, for its watchdog would have ended the call.
    pub fn longest_silence(&self) -> Duration {
        self.timeout.saturating_add(WATCHDOG_FIRST)
    }

    /// Replicas that can be called.
    pub fn replicas(&self) -> usize {
        self.endpoints.len()
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

/// The controller checks settings before it writes them, so a bad one is only possible after a change of skep itself.
fn or_default<T>(name: &FunctionName, setting: Result<Option<T>, String>, default: Option<T>) -> Option<T> {
    match setting {
        Ok(Some(value)) => Some(value),
        Ok(None) => default,
        Err(reason) => {
            warn!(function = %name, reason, "a setting of a deployed function is not valid; the default is used");
            default
        }
    }
}
