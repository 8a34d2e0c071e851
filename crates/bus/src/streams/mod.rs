//! The streams and buckets of skep, and the check that the server has them as configured.

pub(crate) mod retention;
pub(crate) mod supervisor;

use std::time::Duration;

use async_nats::jetstream::{
    self, kv,
    stream::{Config, DiscardPolicy, RetentionPolicy, Stream},
};
use skep_protocol::{BodyKind, Subjects};

use crate::{Error, Result, client::clock, registry::leadership};

/// The last tries of a callback are kept, at most this many.
const MAX_TRIES: i64 = 32;
/// The shortest time that receipts are kept, so that results that have expired are counted for a while.
const MIN_RECEIPTS_TTL: Duration = Duration::from_secs(7 * 24 * 3600);
/// The bytes of receipts that are kept: about 40 per call.
const MAX_OF_LEDGER: i64 = 256 * 1024 * 1024;
/// An event is kept no longer than this, whatever its source says.
const MAX_EVENT_AGE: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long requests are kept that could not be verified, and how many of each source.
const HELD_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
const MAX_REFUSED: i64 = 200;
const MAX_HELD: i64 = 10_000;
/// Bytes of either kind.
const MAX_HELD_BYTES: i64 = 256 * 1024 * 1024;
/// Longer than any call of a burst waits, with a week for an outage.
const BURSTS_FOR: Duration = Duration::from_secs(9 * 24 * 3600);
/// The name of the audit log's stream.
const AUDIT_LOG: &str = "AUDIT";

pub(crate) struct Streams {
    /// Accepted calls that are not finished.
    pub(crate) invoke: Stream,
    /// Calls that their functions cannot take now.
    pub(crate) backlog: Stream,
    /// What other services published and nobody has taken up yet.
    pub(crate) publish: Stream,
    /// Calls that wait for their time.
    pub(crate) delayed: Stream,
    /// Records of finished calls.
    pub(crate) calls: Stream,
    /// Tries to deliver callbacks, where the first one came to nothing.
    pub(crate) tries: Stream,
    /// What was given up.
    pub(crate) dead: Stream,
    /// Which calls were accepted, and what the audit has to know beside that.
    pub(crate) ledger: Stream,
    /// Events of sources.
    pub(crate) events: Stream,
    /// Which call is the latest of each burst of events.
    pub(crate) bursts: Stream,
    /// Copies of requests that sources have refused, and requests that wait until they can be verified.
    pub(crate) refused: Stream,
    pub(crate) held: Stream,
    /// Who changed what, if that is kept.
    pub(crate) audit_log: Option<Stream>,
    /// Large bodies of calls, and of their results.
    pub(crate) requests: Stream,
    pub(crate) results: Stream,
    /// What is deployed and where it can be reached.
    pub(crate) functions: kv::Store,
    /// The sources of events, and their secrets.
    pub(crate) sources: kv::Store,
    /// The namespaces that were made.
    pub(crate) namespaces: kv::Store,
    /// Who is the controller.
    pub(crate) controller: kv::Store,
}

/// How much is kept, how long, and on how many servers.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Whether `Authorization` and `Cookie` of queued calls are left out.
    pub strip_credentials: bool,
    /// Servers of a cluster that store each message.
    pub replicas: usize,
    /// Records of finished calls.
    pub records: Budget,
    pub letters: Budget,
    /// Bytes of events; the oldest that were routed go when there is more.
    pub event_bytes: u64,
    /// The audit log; `None` for none.
    pub audit_log: Option<Budget>,
    /// Bytes of work that was published and not taken up; what comes beyond is refused.
    pub published: Option<u64>,
    /// Bytes of large bodies of calls; what comes beyond is refused.
    pub bodies: u64,
    /// A body that is larger than this is stored in chunks; if `None`, one that does not fit into a message.
    pub large_body: Option<u64>,
}

/// What is older goes, and the oldest go when there is more.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub age: Duration,
    pub bytes: u64,
}

/// The names of all streams, those of the buckets too.
pub(crate) fn names(subjects: &Subjects, kept: &Kept) -> Vec<String> {
    let streams = [
        "INVOKE", "BACKLOG", "PUBLISH", "DELAYED", "CALLS", "TRIES", "DEAD", "LEDGER", "EVENTS", "BURSTS", "REFUSED",
        "HELD", "REQUESTS", "RESULTS",
    ]
    .map(|name| subjects.stream(name));
    let buckets =
        ["FUNCTIONS", "SOURCES", "NAMESPACES", "CONTROLLER"].map(|name| format!("KV_{}", subjects.stream(name)));
    let audit_log = kept.audit_log.map(|_| subjects.stream(AUDIT_LOG));
    streams.into_iter().chain(audit_log).chain(buckets).collect()
}

#[expect(clippy::too_many_lines, reason = "one entry for each stream and bucket")]
pub(crate) async fn ensure(jetstream: &jetstream::Context, subjects: &Subjects, kept: &Kept) -> Result<Streams> {
    let replicated = Config { num_replicas: kept.replicas, ..Config::default() };
    let one_per_subject = Config {
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        allow_direct: true,
        ..replicated.clone()
    };
    let invoke = Config {
        name: subjects.stream("INVOKE"),
        description: Some("accepted calls that are not finished".to_owned()),
        subjects: vec![subjects.invoke_all()],
        allow_atomic_publish: true,
        ..one_per_subject.clone()
    };
    let backlog = Config {
        name: subjects.stream("BACKLOG"),
        description: Some("calls that their functions cannot take now".to_owned()),
        subjects: vec![subjects.backlog_all()],
        retention: RetentionPolicy::WorkQueue,
        allow_atomic_publish: true,
        ..one_per_subject.clone()
    };
    let publish = Config {
        name: subjects.stream("PUBLISH"),
        description: Some("work that other services publish".to_owned()),
        subjects: vec![subjects.publish_all()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_bytes: kept.published.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        ..replicated.clone()
    };
    // Schedules are not possible in a stream that discards new messages, so what is delayed has a stream of its own.
    let delayed = Config {
        name: subjects.stream("DELAYED"),
        description: Some("calls that wait for their time".to_owned()),
        subjects: vec![subjects.delayed_all()],
        retention: RetentionPolicy::WorkQueue,
        max_messages_per_subject: 1,
        allow_direct: true,
        allow_message_schedules: true,
        ..replicated.clone()
    };
    let calls = Config {
        name: subjects.stream("CALLS"),
        description: Some("one record per finished call".to_owned()),
        subjects: vec![subjects.record_all()],
        allow_atomic_publish: true,
        max_age: kept.records.age,
        allow_message_ttl: true,
        ..one_per_subject.clone()
    };
    let tries = Config {
        name: subjects.stream("TRIES"),
        description: Some("tries to deliver callbacks, where the first one came to nothing".to_owned()),
        subjects: vec![subjects.callback_try_all()],
        max_messages_per_subject: MAX_TRIES,
        allow_direct: true,
        max_age: kept.records.age,
        ..replicated.clone()
    };
    let ledger = Config {
        name: subjects.stream("LEDGER"),
        description: Some("which calls were accepted".to_owned()),
        subjects: vec![subjects.ledger_all()],
        allow_direct: true,
        max_age: kept.records.age.max(MIN_RECEIPTS_TTL),
        max_bytes: MAX_OF_LEDGER,
        ..replicated.clone()
    };
    let dead = Config {
        name: subjects.stream("DEAD"),
        description: Some("calls that could not be run, with their reason".to_owned()),
        subjects: vec![subjects.dead_all()],
        max_age: kept.letters.age,
        ..one_per_subject.clone()
    };
    let [events, bursts, refused, held] = of_sources(subjects, &one_per_subject, &replicated);
    let audit_log = kept.audit_log.map(|budget| audit_log(subjects, budget, &replicated));
    let pieces = |name, kind, description: &str| Config {
        name: subjects.stream(name),
        description: Some(description.to_owned()),
        subjects: vec![subjects.body_all(kind)],
        allow_direct: true,
        ..replicated.clone()
    };
    let requests = pieces("REQUESTS", BodyKind::Request, "large bodies of calls, in pieces");
    let results = pieces("RESULTS", BodyKind::Result, "large results of calls, in pieces");
    let bucket = |name, description: &str| kv::Config {
        bucket: subjects.stream(name),
        description: description.to_owned(),
        history: 1,
        num_replicas: kept.replicas,
        ..kv::Config::default()
    };
    let functions = bucket("FUNCTIONS", "what is deployed and where it can be reached");
    let sources = bucket("SOURCES", "sources of events, and their sealed secrets");
    let namespaces = bucket("NAMESPACES", "the namespaces that were made");
    let controller = kv::Config { max_age: leadership::LEASE_TTL, ..bucket("CONTROLLER", "who is the controller") };
    let ledger = ensure_stream(jetstream, ledger).await?;
    let kept_before = jetstream.get_stream(&calls.name).await.map(|stream| stream.cached_info().config.max_age);
    if kept_before.is_ok_and(|age| age < kept.records.age) {
        // What has run out by now is not to be missed.
        let removed = (clock::now().unix_timestamp() + 1).to_string();
        let noted = jetstream.publish(subjects.removed_records(), removed.into()).await.map_err(Error::unavailable)?;
        noted.await.map_err(Error::unavailable)?;
    }
    Ok(Streams {
        invoke: ensure_stream(jetstream, invoke).await?,
        backlog: ensure_stream(jetstream, backlog).await?,
        publish: ensure_stream(jetstream, publish).await?,
        delayed: ensure_stream(jetstream, delayed).await?,
        calls: ensure_stream(jetstream, calls).await?,
        tries: ensure_stream(jetstream, tries).await?,
        dead: ensure_stream(jetstream, dead).await?,
        ledger,
        events: ensure_stream(jetstream, events).await?,
        bursts: ensure_stream(jetstream, bursts).await?,
        refused: ensure_stream(jetstream, refused).await?,
        held: ensure_stream(jetstream, held).await?,
        audit_log: match audit_log {
            Some(wanted) => Some(ensure_stream(jetstream, wanted).await?),
            None => None,
        },
        requests: ensure_stream(jetstream, requests).await?,
        results: ensure_stream(jetstream, results).await?,
        functions: jetstream.create_or_update_key_value(functions).await.map_err(Error::unavailable)?,
        sources: jetstream.create_or_update_key_value(sources).await.map_err(Error::unavailable)?,
        namespaces: jetstream.create_or_update_key_value(namespaces).await.map_err(Error::unavailable)?,
        controller: jetstream.create_or_update_key_value(controller).await.map_err(Error::unavailable)?,
    })
}

/// The streams of events, and of requests that could not be verified.
fn of_sources(subjects: &Subjects, one_per_subject: &Config, replicated: &Config) -> [Config; 4] {
    let events = Config {
        name: subjects.stream("EVENTS"),
        description: Some("events of sources".to_owned()),
        subjects: vec![subjects.event_all()],
        allow_atomic_publish: true,
        allow_message_ttl: true,
        max_age: MAX_EVENT_AGE,
        ..one_per_subject.clone()
    };
    let bursts = Config {
        name: subjects.stream("BURSTS"),
        description: Some("the latest calls of bursts of events".to_owned()),
        subjects: vec![subjects.bursts_all()],
        max_messages_per_subject: 1,
        max_age: BURSTS_FOR,
        allow_direct: true,
        ..replicated.clone()
    };
    let refused = Config {
        name: subjects.stream("REFUSED"),
        description: Some("copies of requests that sources have refused".to_owned()),
        subjects: vec![subjects.refused_all()],
        discard: DiscardPolicy::Old,
        max_messages_per_subject: MAX_REFUSED,
        max_bytes: MAX_HELD_BYTES,
        max_age: HELD_FOR,
        allow_direct: true,
        ..replicated.clone()
    };
    let held = Config {
        name: subjects.stream("HELD"),
        description: Some("requests to sources that wait until they can be verified".to_owned()),
        subjects: vec![subjects.held_all()],
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        max_messages_per_subject: MAX_HELD,
        ..refused.clone()
    };
    [events, bursts, refused, held]
}

/// The stream of the audit log. Nobody takes single entries out of it, not even with skep's own login.
fn audit_log(subjects: &Subjects, budget: Budget, replicated: &Config) -> Config {
    Config {
        name: subjects.stream(AUDIT_LOG),
        description: Some("who changed what".to_owned()),
        subjects: vec![subjects.audit_log()],
        discard: DiscardPolicy::Old,
        max_age: budget.age,
        max_bytes: i64::try_from(budget.bytes).unwrap_or(i64::MAX),
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        ..replicated.clone()
    }
}

/// Makes or updates a stream. A server older than a feature drops its field silently, so what comes back is compared.
async fn ensure_stream(jetstream: &jetstream::Context, wanted: Config) -> Result<Stream> {
    let found = jetstream.create_or_update_stream(wanted.clone()).await.map_err(Error::unavailable)?.config;
    let differs = |field: &'static str, found: String, wanted_value: String| {
        if found == wanted_value {
            return Ok(());
        }
        Err(Error::Differs { stream: wanted.name.clone(), field, found, wanted: wanted_value })
    };
    differs("retention", format!("{:?}", found.retention), format!("{:?}", wanted.retention))?;
    differs("discard", format!("{:?}", found.discard), format!("{:?}", wanted.discard))?;
    let per_subject = |config: &Config| format!("{} {}", config.discard_new_per_subject, config.allow_atomic_publish);
    differs("discard_new_per_subject and allow_atomic", per_subject(&found), per_subject(&wanted))?;
    let ttl = |config: &Config| config.allow_message_ttl.to_string();
    differs("allow_msg_ttl", ttl(&found), ttl(&wanted))?;
    let schedules = |config: &Config| config.allow_message_schedules.to_string();
    differs("allow_msg_schedules", schedules(&found), schedules(&wanted))?;
    differs("subjects", format!("{:?}", found.subjects), format!("{:?}", wanted.subjects))?;
    jetstream.get_stream(&wanted.name).await.map_err(Error::unavailable)
}
