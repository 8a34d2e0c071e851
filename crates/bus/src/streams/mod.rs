//! The streams and buckets of skep, and the check that the server has them as configured.

mod config;
pub(crate) mod fullness;
mod maker;
pub(crate) mod retention;
pub(crate) mod supervisor;
pub(crate) mod usage;

use std::time::Duration;

use async_nats::jetstream::{self, kv, stream::Stream};
use skep_protocol::Subjects;

pub(crate) use self::maker::is_missing;
use self::{
    config::{AUDIT_LOG, Wanted},
    maker::Maker,
};
use crate::{Result, Role, permissions};

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
    /// Which calls replays have made of events.
    pub(crate) replays: Stream,
    /// Which call is the latest of each burst of events.
    pub(crate) bursts: Stream,
    /// Copies of requests that sources have refused, and requests that wait until they can be verified.
    pub(crate) refused: Stream,
    pub(crate) held: Stream,
    /// How far sources have come with the streams of others.
    pub(crate) topics: Stream,
    /// Events that are kept without an end.
    pub(crate) samples: Stream,
    /// Who changed what, if that is kept.
    pub(crate) audit_log: Option<Stream>,
    /// Large bodies of calls, and of their results.
    pub(crate) requests: Stream,
    pub(crate) results: Stream,
    /// Images of functions.
    pub(crate) images: Stream,
    /// What is deployed and where it can be reached.
    pub(crate) functions: kv::Store,
    /// The versions of functions.
    pub(crate) versions: kv::Store,
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
    /// Versions of each function, the current one included; from 2 up to 64.
    pub versions: i64,
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
    let audit_log = subjects.stream(AUDIT_LOG);
    permissions::streams(subjects).filter(|name| kept.audit_log.is_some() || *name != audit_log).collect()
}

/// Makes the streams and buckets that are missing; the controller also updates the others.
pub(crate) async fn ensure(
    jetstream: &jetstream::Context,
    role: Role,
    subjects: &Subjects,
    kept: &Kept,
) -> Result<Streams> {
    let (wanted, maker) = (Wanted { subjects, kept }, Maker { jetstream, role });
    // The note on records that have run out goes there.
    let ledger = maker.stream(wanted.ledger()).await?;
    maker.note_longer_age(&wanted.calls(), subjects).await?;
    // It is written to, and counted by its name.
    maker.stream(wanted.duplicates()).await?;
    Ok(Streams {
        invoke: maker.stream(wanted.invoke()).await?,
        backlog: maker.stream(wanted.backlog()).await?,
        publish: maker.stream(wanted.publish()).await?,
        delayed: maker.stream(wanted.delayed()).await?,
        calls: maker.stream(wanted.calls()).await?,
        tries: maker.stream(wanted.tries()).await?,
        dead: maker.stream(wanted.dead()).await?,
        ledger,
        events: maker.stream(wanted.events()).await?,
        replays: maker.stream(wanted.replays()).await?,
        bursts: maker.stream(wanted.bursts()).await?,
        refused: maker.stream(wanted.refused()).await?,
        held: maker.stream(wanted.held()).await?,
        topics: maker.stream(wanted.topics()).await?,
        samples: maker.stream(wanted.samples()).await?,
        audit_log: match kept.audit_log {
            Some(budget) => Some(maker.stream(wanted.audit_log(budget)).await?),
            None => None,
        },
        requests: maker.stream(wanted.requests()).await?,
        results: maker.stream(wanted.results()).await?,
        images: maker.stream(wanted.images()).await?,
        functions: maker.bucket(wanted.functions()).await?,
        versions: maker.bucket(wanted.versions()).await?,
        sources: maker.bucket(wanted.sources()).await?,
        namespaces: maker.bucket(wanted.namespaces()).await?,
        controller: maker.bucket(wanted.controller()).await?,
    })
}
