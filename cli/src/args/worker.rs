//! The settings of the queue-worker.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use skep_protocol::{Backoff, RetryCodes, parse_size};
use skep_queue_worker::{Allowance, SubjectPattern};

use super::values::{at_least_one, duration};

#[derive(Clone, Debug, Args)]
pub(crate) struct WorkerArgs {
    /// Queued calls that run at once on one replica that sets no max_inflight of its own
    #[arg(long, env = "SKEP_CONCURRENCY_PER_REPLICA", default_value_t = 16, value_parser = at_least_one)]
    pub(crate) concurrency_per_replica: usize,
    /// Queued calls of one lane that are held at once, running or waiting for a replica; twice as many in a lane for hot functions
    #[arg(long, env = "SKEP_LANE_WINDOW", default_value_t = 256, value_parser = at_least_one)]
    pub(crate) lane_window: usize,
    /// Events that may run their calls at once, without queueing them first; 0 queues all
    #[arg(long, env = "SKEP_DIRECT_EVENTS", default_value_t = 256)]
    pub(crate) direct_events: usize,
    /// The largest answer of an asynchronous call that is kept
    #[arg(long, env = "SKEP_ASYNC_RESULT_LIMIT", default_value = "1GiB", value_parser = parse_size)]
    pub(crate) async_result_limit: u64,
    /// Attempts of one queued call, the first included (annotation com.openfaas.retry.attempts)
    #[arg(long, env = "SKEP_ATTEMPTS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) attempts: u64,
    /// Statuses of an answer after which a call is tried again; empty for none (annotation com.openfaas.retry.codes)
    #[arg(long, env = "SKEP_RETRY_CODES", default_value = "408,429,500,502,503,504")]
    pub(crate) retry_codes: RetryCodes,
    /// The wait after the first attempt (annotation com.openfaas.retry.min_wait)
    #[arg(long, env = "SKEP_RETRY_MIN_WAIT", default_value = "10s", value_parser = duration)]
    pub(crate) retry_min_wait: Duration,
    /// The longest wait between two attempts (annotation com.openfaas.retry.max_wait)
    #[arg(long, env = "SKEP_RETRY_MAX_WAIT", default_value = "120s", value_parser = duration)]
    pub(crate) retry_max_wait: Duration,
    /// How waits grow: exponential, full or equal (with jitter), fixed (annotation skep.retry.backoff)
    #[arg(long, env = "SKEP_RETRY_BACKOFF", default_value = "full")]
    pub(crate) retry_backoff: Backoff,
    /// A queued call that is older than this is not tried again; by default there is no such limit (annotation skep.retry.max_age)
    #[arg(long, env = "SKEP_RETRY_MAX_AGE", value_parser = duration)]
    pub(crate) retry_max_age: Option<Duration>,
    /// A queued call that runs longer than this makes room in its lane; if its queue-worker dies, it starts again after three times this time
    #[arg(long, env = "SKEP_LONG_AFTER", default_value = "60s", value_parser = duration)]
    pub(crate) long_after: Duration,
    /// How long a failing callback is tried again, at most three quarters of --result-ttl; then it becomes a dead letter
    #[arg(long, env = "SKEP_CALLBACK_MAX_AGE", default_value = "1h", value_parser = duration)]
    pub(crate) callback_max_age: Duration,
    /// How long one callback request may take
    #[arg(long, env = "SKEP_CALLBACK_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub(crate) callback_timeout: Duration,
    /// Where callbacks may go, in addition to public addresses: networks, addresses, host names (hook.internal, *.internal), loopback, private; separated by commas
    #[arg(long, env = "SKEP_CALLBACK_ALLOW", value_delimiter = ',')]
    pub(crate) callback_allow: Option<Vec<Allowance>>,
    /// Subjects that callbacks to nats://SUBJECT may be published to; separated by commas
    #[arg(long, env = "SKEP_CALLBACK_SUBJECTS", value_delimiter = ',', default_value = "callback.>")]
    pub(crate) callback_subjects: Vec<SubjectPattern>,
    /// Sign callbacks (Standard Webhooks) with the keys of this file: one whsec_… a line
    #[arg(long, env = "SKEP_CALLBACK_KEY_FILE")]
    pub(crate) callback_key_file: Option<PathBuf>,
}
