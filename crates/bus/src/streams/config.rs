//! How each stream and bucket is configured.

use std::time::Duration;

use async_nats::jetstream::{
    kv,
    stream::{Compression, Config, DiscardPolicy, RetentionPolicy},
};
use skep_protocol::{BodyKind, Subjects};

use crate::{Budget, Kept, registry::leadership};

/// The last tries of a callback are kept, at most this many.
const MAX_TRIES: i64 = 32;
/// The shortest time that receipts are kept, so that results that have expired are counted for a while.
const MIN_RECEIPTS_TTL: Duration = Duration::from_secs(7 * 24 * 3600);
/// The bytes of receipts that are kept: about 40 per call.
const MAX_OF_LEDGER: i64 = 256 * 1024 * 1024;
/// An event is kept no longer than this, whatever its source says.
const MAX_EVENT_AGE: Duration = Duration::from_secs(90 * 24 * 3600);
/// Calls of replays that are noted, about 70 MB of them; the oldest go when there are more.
const MAX_REPLAYED_CALLS: i64 = 200_000;
/// How long requests are kept that could not be verified, and how many of each source.
const HELD_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
const MAX_REFUSED: i64 = 200;
const MAX_HELD: i64 = 10_000;
/// Notes on duplicates of each source, kept as long.
const MAX_DUPLICATES: i64 = 10_000;
/// Longer than any call of a burst waits, with a week for an outage.
const MAX_BURST_AGE: Duration = Duration::from_secs(9 * 24 * 3600);
/// Samples of all sources; one more is refused.
const MAX_SAMPLES: i64 = 1000;
/// Bytes of each kind.
const MAX_HELD_BYTES: i64 = 256 * 1024 * 1024;
/// The name of the audit log's stream.
pub(super) const AUDIT_LOG: &str = "AUDIT";

/// The configurations that skep wants, for these subjects and with this much kept.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'config> {
    pub(super) subjects: &'config Subjects,
    pub(super) kept: &'config Kept,
}

impl Wanted<'_> {
    pub(super) fn invoke(self) -> Config {
        Config {
            name: self.subjects.stream("INVOKE"),
            description: Some("accepted calls that are not finished".to_owned()),
            subjects: vec![self.subjects.invoke_all()],
            allow_atomic_publish: true,
            ..self.one_per_subject()
        }
    }

    pub(super) fn backlog(self) -> Config {
        Config {
            name: self.subjects.stream("BACKLOG"),
            description: Some("calls that their functions cannot take now".to_owned()),
            subjects: vec![self.subjects.backlog_all()],
            retention: RetentionPolicy::WorkQueue,
            allow_atomic_publish: true,
            ..self.one_per_subject()
        }
    }

    pub(super) fn publish(self) -> Config {
        Config {
            name: self.subjects.stream("PUBLISH"),
            description: Some("work that other services publish".to_owned()),
            subjects: vec![self.subjects.publish_all()],
            retention: RetentionPolicy::WorkQueue,
            discard: DiscardPolicy::New,
            max_bytes: self.kept.published.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            ..self.replicated()
        }
    }

    /// Schedules are not possible in a stream that discards new messages, so what is delayed has a stream of its own.
    pub(super) fn delayed(self) -> Config {
        Config {
            name: self.subjects.stream("DELAYED"),
            description: Some("calls that wait for their time".to_owned()),
            subjects: vec![self.subjects.delayed_all()],
            retention: RetentionPolicy::WorkQueue,
            max_messages_per_subject: 1,
            allow_direct: true,
            allow_message_schedules: true,
            ..self.replicated()
        }
    }

    pub(super) fn calls(self) -> Config {
        Config {
            name: self.subjects.stream("CALLS"),
            description: Some("one record per finished call".to_owned()),
            subjects: vec![self.subjects.record_all()],
            allow_atomic_publish: true,
            max_age: self.kept.records.age,
            allow_message_ttl: true,
            ..self.one_per_subject()
        }
    }

    pub(super) fn tries(self) -> Config {
        Config {
            name: self.subjects.stream("TRIES"),
            description: Some("tries to deliver callbacks, where the first one came to nothing".to_owned()),
            subjects: vec![self.subjects.callback_try_all()],
            max_messages_per_subject: MAX_TRIES,
            allow_direct: true,
            max_age: self.kept.records.age,
            ..self.replicated()
        }
    }

    pub(super) fn ledger(self) -> Config {
        Config {
            name: self.subjects.stream("LEDGER"),
            description: Some("which calls were accepted".to_owned()),
            subjects: vec![self.subjects.ledger_all()],
            allow_direct: true,
            max_age: self.kept.records.age.max(MIN_RECEIPTS_TTL),
            max_bytes: MAX_OF_LEDGER,
            ..self.replicated()
        }
    }

    pub(super) fn dead(self) -> Config {
        Config {
            name: self.subjects.stream("DEAD"),
            description: Some("calls that could not be run, with their reason".to_owned()),
            subjects: vec![self.subjects.dead_all()],
            max_age: self.kept.letters.age,
            ..self.one_per_subject()
        }
    }

    pub(super) fn events(self) -> Config {
        Config {
            name: self.subjects.stream("EVENTS"),
            description: Some("events of sources".to_owned()),
            subjects: vec![self.subjects.event_all()],
            allow_atomic_publish: true,
            allow_message_ttl: true,
            max_age: MAX_EVENT_AGE,
            ..self.one_per_subject()
        }
    }

    /// Notes on the calls that replays have made. They are small, so their number is bounded.
    pub(super) fn replays(self) -> Config {
        Config {
            name: self.subjects.stream("REPLAYS"),
            description: Some("calls that replays have made of events".to_owned()),
            subjects: vec![self.subjects.replay_all()],
            max_messages_per_subject: 1,
            max_messages: MAX_REPLAYED_CALLS,
            max_age: MAX_EVENT_AGE,
            allow_direct: true,
            ..self.replicated()
        }
    }

    /// The latest call of each burst; a newer one replaces it.
    pub(super) fn bursts(self) -> Config {
        Config {
            name: self.subjects.stream("BURSTS"),
            description: Some("the latest calls of bursts of events".to_owned()),
            subjects: vec![self.subjects.bursts_all()],
            max_messages_per_subject: 1,
            max_age: MAX_BURST_AGE,
            allow_direct: true,
            ..self.replicated()
        }
    }

    pub(super) fn refused(self) -> Config {
        Config {
            name: self.subjects.stream("REFUSED"),
            description: Some("copies of requests that sources have refused".to_owned()),
            subjects: vec![self.subjects.refused_all()],
            discard: DiscardPolicy::Old,
            max_messages_per_subject: MAX_REFUSED,
            max_bytes: MAX_HELD_BYTES,
            max_age: HELD_FOR,
            allow_direct: true,
            ..self.replicated()
        }
    }

    pub(super) fn held(self) -> Config {
        Config {
            name: self.subjects.stream("HELD"),
            description: Some("requests to sources that wait until they can be verified".to_owned()),
            subjects: vec![self.subjects.held_all()],
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            max_messages_per_subject: MAX_HELD,
            ..self.refused()
        }
    }

    /// Which events have come again. A note is of a few bytes.
    pub(super) fn duplicates(self) -> Config {
        Config {
            name: self.subjects.stream("DUPLICATES"),
            description: Some("notes on events that have come again".to_owned()),
            subjects: vec![self.subjects.duplicates_all()],
            max_messages_per_subject: MAX_DUPLICATES,
            ..self.refused()
        }
    }

    /// Where each source has come to, and how it is; a newer message replaces the one before.
    pub(super) fn topics(self) -> Config {
        Config {
            name: self.subjects.stream("TOPICS"),
            description: Some("how far sources have come with the streams of others".to_owned()),
            subjects: vec![self.subjects.topics_all()],
            max_messages_per_subject: 1,
            allow_direct: true,
            ..self.replicated()
        }
    }

    /// One per label; a newer one replaces it.
    pub(super) fn samples(self) -> Config {
        Config {
            name: self.subjects.stream("SAMPLES"),
            description: Some("samples of events".to_owned()),
            subjects: vec![self.subjects.sample_all()],
            discard: DiscardPolicy::New,
            max_messages_per_subject: 1,
            max_messages: MAX_SAMPLES,
            max_bytes: MAX_HELD_BYTES,
            allow_direct: true,
            ..self.replicated()
        }
    }

    /// The stream of the audit log. Nobody takes single entries out of it, not even with skep's own login.
    pub(super) fn audit_log(self, budget: Budget) -> Config {
        Config {
            name: self.subjects.stream(AUDIT_LOG),
            description: Some("who changed what".to_owned()),
            subjects: vec![self.subjects.audit_log()],
            discard: DiscardPolicy::Old,
            max_age: budget.age,
            max_bytes: i64::try_from(budget.bytes).unwrap_or(i64::MAX),
            deny_delete: true,
            deny_purge: true,
            allow_direct: true,
            ..self.replicated()
        }
    }

    pub(super) fn requests(self) -> Config {
        self.bodies("REQUESTS", BodyKind::Request, "large bodies of calls, in pieces")
    }

    pub(super) fn results(self) -> Config {
        self.bodies("RESULTS", BodyKind::Result, "large results of calls, in pieces")
    }

    /// Images: the pieces of their blobs, which blobs are complete, and their manifests.
    pub(super) fn images(self) -> Config {
        Config {
            name: self.subjects.stream("IMAGES"),
            description: Some("images of functions, in pieces".to_owned()),
            subjects: vec![self.subjects.images_all()],
            max_messages_per_subject: 1,
            allow_direct: true,
            compression: Some(Compression::S2),
            ..self.replicated()
        }
    }

    pub(super) fn functions(self) -> kv::Config {
        self.bucket("FUNCTIONS", "what is deployed and where it can be reached")
    }

    /// The history of a key is the versions of a function.
    pub(super) fn versions(self) -> kv::Config {
        kv::Config { history: self.kept.versions, ..self.bucket("VERSIONS", "versions of functions") }
    }

    pub(super) fn sources(self) -> kv::Config {
        self.bucket("SOURCES", "sources of events, and their sealed secrets")
    }

    pub(super) fn namespaces(self) -> kv::Config {
        self.bucket("NAMESPACES", "the namespaces that were made")
    }

    pub(super) fn controller(self) -> kv::Config {
        kv::Config { max_age: leadership::LEASE_TTL, ..self.bucket("CONTROLLER", "who is the controller") }
    }

    fn bodies(self, name: &str, kind: BodyKind, description: &str) -> Config {
        Config {
            name: self.subjects.stream(name),
            description: Some(description.to_owned()),
            subjects: vec![self.subjects.body_all(kind)],
            allow_direct: true,
            ..self.replicated()
        }
    }

    fn bucket(self, name: &str, description: &str) -> kv::Config {
        kv::Config {
            bucket: self.subjects.stream(name),
            description: description.to_owned(),
            history: 1,
            num_replicas: self.kept.replicas,
            ..kv::Config::default()
        }
    }

    fn replicated(self) -> Config {
        Config { num_replicas: self.kept.replicas, ..Config::default() }
    }

    fn one_per_subject(self) -> Config {
        Config {
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            allow_direct: true,
            ..self.replicated()
        }
    }
}
