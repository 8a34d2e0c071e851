//! What skep's processes share: names, headers, subjects, bodies, control requests and the settings of functions.
//!
//! This crate does no I/O, and only its types are a promise on a wire: the HTTP API that is compatible with OpenFaaS, the messages on NATS, and the records that are stored there.
//! It knows nothing of NATS clients, HTTP servers, or where a function runs.

mod audit;
mod audit_log;
mod body;
mod call;
mod call_record;
mod callback;
mod canary;
mod causes;
pub mod control;
mod dead;
mod deployment;
mod durability;
mod duration;
mod event;
mod event_id;
mod fingerprint;
mod function_version;
pub mod headers;
mod hops;
mod image;
mod inbound;
mod installation;
mod lane;
mod name;
mod namespace;
mod nats_health;
mod occurrence;
mod pages;
mod policy;
mod queue;
mod registry;
mod retry;
mod retry_after;
mod room;
mod scaling;
mod schedule;
mod setting;
mod setting_change;
mod size;
mod source;
mod source_program;
mod source_secret;
mod source_status;
mod stats;
mod status;
mod subject;
mod system;
mod timeline;
mod times;
mod topic;
mod trial;
pub mod validate;

pub use audit::{
    AuditFinding, AuditKind, AuditLine, AuditProgress, AuditReport, AuditedEvent, FunctionLedger, SourceLedger,
};
pub use audit_log::{AuditAction, AuditLogEntry};
pub use body::{BodyKey, BodyKind, CallBody, StoredBody};
pub use call::{Call, LastAttempt, returned_headers};
pub use call_record::{CallRecord, CallState, CallStatus};
pub use callback::{CallbackTarget, parse_callback, without_credentials};
pub use canary::{
    CANARY, CANARY_MAX_ERRORS, CANARY_MAX_LATENCY, CANARY_MIN_CALLS, CANARY_RERUN, CANARY_TIME, Canary, CanaryLimits,
    CanaryMode, CanaryModeError, CanaryOverview, CanaryReport, CanarySettings, CanaryStatus, Factor, Share,
};
pub use causes::{causes, error_chain};
pub use dead::{DeadChanges, DeadDone, DeadKind, DeadLetterContent, DeadLetterInfo, DeadRefused, DeadRequest, PastEnd};
pub use deployment::{FunctionDeployment, FunctionStatus, Resources, WORKDIR};
pub use durability::{Durability, Tier};
pub use duration::{DurationError, format_duration, parse_duration};
pub use event::{
    BurstKey, BurstKeyError, CallOfEvent, Decision, Event, EventDebounce, EventInfo, EventOutcome, EventReplay,
    EventRoute, HeldInfo, IgnoredRoute, InvalidVerdict, Proof, Replayed, Verified,
};
pub use event_id::{EventId, InvalidEventId, InvalidRouteName, RouteName};
pub use fingerprint::{Fingerprint, Fingerprinting};
pub use function_version::{
    Author, FunctionVersion, InvalidNote, KeptVersion, ListedVersion, Note, VersionCause, VersionRoles, VersionState,
    changed_settings, has_same_settings, listed, previous,
};
pub use hops::{HOPS_IN_MESSAGE, MAX_HOPS, check_hops, hops, set_hops};
pub use image::{BlobState, Digest, ImageBlob, ImageManifest, ImageStore, InvalidDigest};
pub use inbound::{Found, remove_forged, remove_forwarding};
pub use installation::{FunctionFigures, InstallationStatus, StreamUsage};
pub use lane::{LANES, is_bulk, lane_of, lanes_of};
pub use name::{CallId, CallIdError, FunctionName, NameError};
pub use namespace::{DefaultNamespace, Namespace, NamespaceInfo};
pub use nats_health::{NatsHealth, NatsProblem, NatsReplica, NatsServer, NatsStream, Used};
pub use occurrence::{
    EventOccurrence, Lateness, MISSED, Missed, ON_TIME, Occurrence, Overlap, SchedulePlan, Turn, TurnDecision,
    TurnRequest, is_missed,
};
pub use pages::{PAGES, Pages};
pub use policy::{
    AUTH, FunctionPolicy, PolicyDefaults, RESULT_TTL, SANDBOX, TIMEOUT, TRACE, TRACE_EXPORT, UPDATE_FIRST_CALLS,
    UPDATE_TIMEOUT,
};
pub use queue::{QUEUE_MAX_AGE, QUEUE_MAX_BYTES, QUEUE_MAX_DEPTH, QueueLimits, Waiting};
pub use registry::{Endpoint, FunctionRecord, FunctionSpec, RegistryKey, ReplicaStatus};
pub use retry::{
    Backoff, RETRY_ATTEMPTS, RETRY_BACKOFF, RETRY_CODES, RETRY_MAX_AGE, RETRY_MAX_WAIT, RETRY_MIN_WAIT, RetryCodes,
    RetryPolicy,
};
pub use retry_after::retry_after;
pub use room::{HeadersTooLarge, MAX_HEADER_BYTES, MAX_HEADERS, check_headers};
pub use scaling::{
    Alert, AlertStatus, AlertWebhook, SCALE_DOWN_WINDOW, SCALE_FACTOR, SCALE_MAX, SCALE_MIN, SCALE_PROPORTION,
    SCALE_TARGET, SCALE_TYPE, SCALE_WAIT, SCALE_ZERO, SCALE_ZERO_DURATION, Scaling,
};
pub use schedule::{parse_past, take_run_at};
pub use setting::{Setting, SettingError};
pub use setting_change::{SettingChange, changes};
pub use size::parse_size;
pub use source::{InvalidSourceName, SourceName, SourceRecord};
pub use source_program::{ProgramState, SourceProgram, SourceProgramReport};
pub use source_secret::{MAX_SOURCE_SECRETS, SealedSecret, SecretText, SourceSecrets};
pub use source_status::{DecidedCounts, SourceCounts, SourceSecretStatus, SourceStatus};
pub use stats::{CallFigures, FunctionLoad, FunctionStats, LoadReport, ScaleChange, ScalingStatus, Stats, Totals};
pub use status::{status_label, status_of_class};
pub use subject::Subjects;
pub use system::{
    CallerInfo, DeleteFunction, GatewayInfo, LogLine, LogQuery, Part, Parts, ProviderInfo, ScaleFunction, Secret,
    VERSION, VersionInfo,
};
pub use timeline::{CallDetails, CallEvent, CallNews, CallbackTry, PastAttempt, Step, timeline};
pub use times::{CallTimes, TIME_BOUNDS};
pub use topic::{TOPIC, TopicPattern, TopicStart, TopicState, topics};
pub use trial::{CallCounts, LatencyCounts, TrialCounts, TrialFigures, TrialId, TrialReport};
