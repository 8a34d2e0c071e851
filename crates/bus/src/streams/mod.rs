//! The streams and buckets of skep, and the check that the server has them as configured.

mod config;
pub(crate) mod retention;
pub(crate) mod supervisor;

use std::time::Duration;

use async_nats::jetstream::{
    self, kv,
    stream::{Config, Stream},
};
use skep_protocol::Subjects;

use self::config::{AUDIT_LOG, Wanted};
use crate::{Error, Result, client::clock};

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
        "INVOKE", "BACKLOG", "PUBLISH", "DELAYED", "CALLS", "TRIES", "DEAD", "LEDGER", "EVENTS", "REFUSED", "HELD",
        "REQUESTS", "RESULTS",
    ]
    .map(|name| subjects.stream(name));
    let buckets =
        ["FUNCTIONS", "SOURCES", "NAMESPACES", "CONTROLLER"].map(|name| format!("KV_{}", subjects.stream(name)));
    let audit_log = kept.audit_log.map(|_| subjects.stream(AUDIT_LOG));
    streams.into_iter().chain(audit_log).chain(buckets).collect()
}

/// Makes or updates all streams and buckets.
pub(crate) async fn ensure(jetstream: &jetstream::Context, subjects: &Subjects, kept: &Kept) -> Result<Streams> {
    let wanted = Wanted { subjects, kept };
    let stream = |config| ensure_stream(jetstream, config);
    let bucket = async |config| jetstream.create_or_update_key_value(config).await.map_err(Error::unavailable);
    // The note on records that have run out goes there.
    let ledger = stream(wanted.ledger()).await?;
    note_expired_records(jetstream, wanted).await?;
    Ok(Streams {
        invoke: stream(wanted.invoke()).await?,
        backlog: stream(wanted.backlog()).await?,
        publish: stream(wanted.publish()).await?,
        delayed: stream(wanted.delayed()).await?,
        calls: stream(wanted.calls()).await?,
        tries: stream(wanted.tries()).await?,
        dead: stream(wanted.dead()).await?,
        ledger,
        events: stream(wanted.events()).await?,
        refused: stream(wanted.refused()).await?,
        held: stream(wanted.held()).await?,
        audit_log: match kept.audit_log {
            Some(budget) => Some(stream(wanted.audit_log(budget)).await?),
            None => None,
        },
        requests: stream(wanted.requests()).await?,
        results: stream(wanted.results()).await?,
        functions: bucket(wanted.functions()).await?,
        sources: bucket(wanted.sources()).await?,
        namespaces: bucket(wanted.namespaces()).await?,
        controller: bucket(wanted.controller()).await?,
    })
}

/// Notes that records have run out which an audit would miss, if they are to be kept longer from now on.
async fn note_expired_records(jetstream: &jetstream::Context, wanted: Wanted<'_>) -> Result<()> {
    let kept_before = jetstream.get_stream(wanted.calls().name).await;
    if kept_before.is_ok_and(|stream| stream.cached_info().config.max_age < wanted.kept.records.age) {
        let removed = (clock::now().unix_timestamp() + 1).to_string();
        let noted = jetstream.publish(wanted.subjects.removed_records(), removed.into()).await;
        noted.map_err(Error::unavailable)?.await.map_err(Error::unavailable)?;
    }
    Ok(())
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
