//! The policy of a function: all settings from its annotations, labels and variables, read in one place.

use std::time::Duration;

use crate::{
    CanarySettings, FunctionDeployment, Pages, QueueLimits, RetryPolicy, Scaling, Setting, SettingError, TopicPattern,
    topic,
};

/// The annotation that sets how long one call may run; every hop derives its own limit from it.
pub const TIMEOUT: &str = "skep.timeout";
/// The annotation that makes a function ask its callers for a token.
pub const AUTH: &str = "skep.auth";
/// The annotation that sets how long the results of a function's calls are kept.
pub const RESULT_TTL: &str = "skep.result-ttl";
/// The annotation that lifts the sandbox of a local function: `off`.
pub const SANDBOX: &str = "skep.sandbox";

/// The annotation that says whether traces that begin with a call of the function are sampled: `on` or `off`.
pub const TRACE: &str = "skep.trace";
/// The annotation that has a function send its own spans to the collector that skep sends to: `on`.
pub const TRACE_EXPORT: &str = "skep.trace.export";
/// The annotation that sets how long an update may take to become ready before it is rolled back: a duration, or `off`.
pub const UPDATE_TIMEOUT: &str = "skep.update.timeout";
/// As long as a replica may take to become ready.
const DEFAULT_UPDATE_TIMEOUT: Duration = Duration::from_secs(300);
/// The annotation that sets how many calls, all of them failed, make an update be rolled back: a number, or `off`.
pub const UPDATE_FIRST_CALLS: &str = "skep.update.first-calls";
const DEFAULT_FIRST_CALLS: u64 = 10;

/// The contract's timeout of a call, where [`TIMEOUT`] is not set; 0 is none.
const EXEC_TIMEOUT: Setting = Setting::Variable("exec_timeout");
const MAX_INFLIGHT: Setting = Setting::Variable("max_inflight");
/// A repeated call is recognized after a crash by its record, so records outlive that.
const MIN_RESULT_TTL: Duration = Duration::from_secs(300);

/// The settings of one function, read once: by the controller before it writes them, and by dispatch for each change of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionPolicy {
    /// How long one call may run.
    pub timeout: Duration,
    /// The same, if the function sets it itself; an image may have a timeout of its own otherwise.
    pub own_timeout: Option<Duration>,
    /// Calls that one replica takes at once; `None` is no limit of its own.
    pub max_inflight: Option<usize>,
    /// How long results are kept; `None` is as long as the platform keeps them.
    pub result_ttl: Option<Duration>,
    /// Callers need a token.
    pub needs_token: bool,
    /// A local function runs in a sandbox.
    pub sandbox: bool,
    /// What its answers may do when a browser shows them as pages.
    pub pages: Pages,
    pub queue: QueueLimits,
    pub retry: RetryPolicy,
    pub scaling: Scaling,
    /// How long an update may take to become ready before it is rolled back; `None` if it never is.
    pub update_timeout: Option<Duration>,
    /// Whether traces that begin with a call of it are sampled; `None` if the sampler decides.
    pub traced: Option<bool>,
    /// It gets the address of the collector of spans.
    pub exports_spans: bool,
    /// After this number of failed calls an update that has answered none is rolled back; `None` if it is never rolled back for that.
    pub first_calls: Option<u64>,
    pub canary: CanarySettings,
    /// Events on these topics call it, whatever source they are of.
    pub topics: Vec<TopicPattern>,
}

/// What holds where a function says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDefaults {
    pub timeout: Duration,
    pub pages: Pages,
    pub retry: RetryPolicy,
}

impl Default for PolicyDefaults {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), pages: Pages::default(), retry: RetryPolicy::default() }
    }
}

impl FunctionPolicy {
    /// Reads and checks all settings; the error names the first one that is not valid.
    pub fn parse(deployment: &FunctionDeployment, defaults: &PolicyDefaults) -> Result<Self, SettingError> {
        let (policy, errors) = Self::of_deployed(deployment, defaults);
        errors.into_iter().next().map_or(Ok(policy), Err)
    }

    /// Reads the settings of a function that is deployed already.
    ///
    /// The controller has checked them, so only a change of skep itself can make one invalid.
    /// Each of these is returned, and its default applies; without a valid [`AUTH`] callers need a token.
    pub fn of_deployed(deployment: &FunctionDeployment, defaults: &PolicyDefaults) -> (Self, Vec<SettingError>) {
        let mut errors = Vec::new();
        let own_timeout = or(&mut errors, timeout(deployment), None);
        let policy = Self {
            timeout: own_timeout.unwrap_or(defaults.timeout),
            own_timeout,
            max_inflight: or(&mut errors, max_inflight(deployment), None),
            result_ttl: or(&mut errors, result_ttl(deployment), None),
            needs_token: or(&mut errors, needs_token(deployment), true),
            sandbox: or(&mut errors, sandbox(deployment), true),
            pages: or(&mut errors, Pages::of(deployment), None).unwrap_or(defaults.pages),
            queue: or(&mut errors, QueueLimits::of(deployment), QueueLimits::default()),
            retry: or(&mut errors, defaults.retry.of(deployment), defaults.retry.clone()),
            scaling: or(&mut errors, Scaling::of(deployment), Scaling::default()),
            update_timeout: or(&mut errors, update_timeout(deployment), Some(DEFAULT_UPDATE_TIMEOUT)),
            traced: or(&mut errors, traced(deployment), None),
            exports_spans: or(&mut errors, exports_spans(deployment), false),
            first_calls: or(&mut errors, first_calls(deployment), Some(DEFAULT_FIRST_CALLS)),
            canary: or(&mut errors, CanarySettings::of(deployment), CanarySettings::default()),
            topics: topic::topics(deployment),
        };
        (policy, errors)
    }
}

fn or<T>(errors: &mut Vec<SettingError>, read: Result<T, SettingError>, default: T) -> T {
    read.unwrap_or_else(|error| {
        errors.push(error);
        default
    })
}

fn timeout(deployment: &FunctionDeployment) -> Result<Option<Duration>, SettingError> {
    if let Some(timeout) = Setting::Annotation(TIMEOUT).positive_duration(deployment)? {
        return Ok(Some(timeout));
    }
    Ok(EXEC_TIMEOUT.duration(deployment)?.filter(|timeout| !timeout.is_zero()))
}

fn max_inflight(deployment: &FunctionDeployment) -> Result<Option<usize>, SettingError> {
    Ok(MAX_INFLIGHT.whole_number(deployment)?.filter(|limit| *limit > 0))
}

fn result_ttl(deployment: &FunctionDeployment) -> Result<Option<Duration>, SettingError> {
    let setting = Setting::Annotation(RESULT_TTL);
    match setting.duration(deployment)? {
        Some(ttl) if ttl < MIN_RESULT_TTL => Err(setting.error("must be 5m or more")),
        ttl => Ok(ttl),
    }
}

fn needs_token(deployment: &FunctionDeployment) -> Result<bool, SettingError> {
    let setting = Setting::Annotation(AUTH);
    match setting.of(deployment) {
        None | Some("none") => Ok(false),
        Some("required") => Ok(true),
        Some(other) => Err(setting.error(format!("{other:?} is neither required nor none"))),
    }
}

fn update_timeout(deployment: &FunctionDeployment) -> Result<Option<Duration>, SettingError> {
    Setting::Annotation(UPDATE_TIMEOUT).duration_or_off(deployment, DEFAULT_UPDATE_TIMEOUT)
}

fn first_calls(deployment: &FunctionDeployment) -> Result<Option<u64>, SettingError> {
    let setting = Setting::Annotation(UPDATE_FIRST_CALLS);
    match setting.of(deployment) {
        // A YAML file may say it without quotes.
        Some("off" | "false") => Ok(None),
        _ => match setting.whole_number(deployment)? {
            Some(0) => Err(setting.error("must be at least 1, or off")),
            calls => Ok(Some(calls.unwrap_or(DEFAULT_FIRST_CALLS))),
        },
    }
}

fn sandbox(deployment: &FunctionDeployment) -> Result<bool, SettingError> {
    Ok(Setting::Annotation(SANDBOX).switch(deployment)?.unwrap_or(true))
}

fn exports_spans(deployment: &FunctionDeployment) -> Result<bool, SettingError> {
    Ok(Setting::Annotation(TRACE_EXPORT).switch(deployment)?.unwrap_or(false))
}

fn traced(deployment: &FunctionDeployment) -> Result<Option<bool>, SettingError> {
    Setting::Annotation(TRACE).switch(deployment)
}

#[cfg(test)]
#[path = "policy/tests.rs"]
mod tests;
