//! What each role may do on the bus. The users of a NATS server are configured from this list, so it is the only one.
//!
//! A new subject or stream gets its line here; a role that lacks it logs what NATS refuses, and so do the tests.

mod foreign;

use skep_protocol::{BodyKind, LANES, Subjects, control::Operation};

pub use self::foreign::device_permissions;
use crate::{
    calls::records::CALLBACKS,
    events::ROUTE,
    queue::{lanes::lane_name, overdue::DUE},
};

/// A part of skep with a user of its own on the NATS server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Gateway,
    QueueWorker,
    Controller,
}

/// The subjects that a role may publish to and subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    pub publish: Vec<String>,
    /// What `publish` has too much of.
    pub not_publish: Vec<String>,
    pub subscribe: Vec<String>,
    /// What `subscribe` has too much of.
    pub not_subscribe: Vec<String>,
}

/// What a role does with a stream, beside asking about it and making it where it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Gets single messages.
    Get,
    /// Asks what consumers have finished.
    Info,
    /// Reads with consumers.
    Consume,
    /// Removes single messages.
    Remove,
    /// Removes many messages at once.
    Purge,
}

use Use::{Consume, Get, Info, Purge, Remove};

/// What the gateway, the queue-worker and the controller do with each stream and bucket.
const STREAMS: [(&str, [&[Use]; 3]); 25] = [
    ("INVOKE", [&[Get, Consume, Remove], &[Get, Consume, Remove], &[Get, Consume, Remove, Purge]]),
    ("BACKLOG", [&[Get, Consume, Remove], &[Get, Consume, Remove], &[Get, Consume, Remove]]),
    ("PUBLISH", [&[], &[Get, Consume, Remove], &[]]),
    ("DELAYED", [&[Get, Consume, Remove], &[Get, Consume, Remove], &[Get, Info, Remove]]),
    ("CALLS", [&[Get, Consume, Remove], &[Get, Consume], &[Get, Consume, Remove, Purge]]),
    ("TRIES", [&[Get], &[], &[]]),
    ("DEAD", [&[Get, Consume, Remove], &[], &[Get, Consume, Remove, Purge]]),
    ("LEDGER", [&[Get, Consume], &[], &[Get, Consume]]),
    ("EVENTS", [&[Get, Consume], &[Get, Consume], &[Get, Consume, Purge]]),
    ("REPLAYS", [&[Get], &[], &[]]),
    ("BURSTS", [&[], &[Get], &[]]),
    ("REFUSED", [&[Get, Consume, Remove], &[], &[]]),
    ("HELD", [&[Get, Consume, Remove], &[], &[]]),
    ("DUPLICATES", [&[Get], &[], &[]]),
    ("SAMPLES", [&[Get, Consume, Remove], &[], &[]]),
    ("TOPICS", [&[Get], &[Get], &[]]),
    ("AUDIT", [&[Get, Consume], &[], &[]]),
    ("REQUESTS", [&[Get], &[Get], &[Get, Purge]]),
    ("RESULTS", [&[Get], &[Get], &[Get, Purge]]),
    ("IMAGES", [&[Get], &[], &[Get, Remove, Purge]]),
    ("KV_FUNCTIONS", [&[Get, Consume], &[Get, Consume], &[Get, Consume]]),
    ("KV_SOURCES", [&[Get, Consume], &[Get, Consume], &[Get, Consume]]),
    ("KV_VERSIONS", [&[], &[], &[Get, Consume]]),
    ("KV_NAMESPACES", [&[], &[], &[Get, Consume]]),
    ("KV_CONTROLLER", [&[], &[], &[Get]]),
];

impl Role {
    pub const ALL: [Self; 3] = [Self::Gateway, Self::QueueWorker, Self::Controller];

    /// The name of its user. Settings of a server may have a variable of this name, so it is none of the server's own.
    pub const fn user(self) -> &'static str {
        match self {
            Self::Gateway => "skep-gateway",
            Self::QueueWorker => "skep-queue-worker",
            Self::Controller => "skep-controller",
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::QueueWorker => "queue-worker",
            Self::Controller => "controller",
        }
    }

    /// Where the answers to its requests begin. No other role may listen there.
    pub(crate) fn inbox(self, subjects: &Subjects) -> String {
        format!("_INBOX_{}_{}", subjects.prefix(), self.as_str())
    }

    /// Whether it changes streams that are there. The others only make them where they are missing, which takes nothing away.
    pub(crate) const fn changes_streams(self) -> bool {
        matches!(self, Self::Controller)
    }

    /// Whether it purges. The others ask for it, because a purge of one large body cannot be told from one of the stream.
    pub(crate) const fn may_purge(self) -> bool {
        matches!(self, Self::Controller)
    }

    pub fn permissions(self, subjects: &Subjects) -> Permissions {
        let mut publish = self.jetstream(subjects);
        publish.extend(self.publishes(subjects));
        let mut subscribe = vec![all_below(&self.inbox(subjects))];
        subscribe.extend(self.subscribes(subjects));
        let mut not_publish = self.no_publish(subjects);
        if self != Self::QueueWorker {
            not_publish.extend(durable_consumers(subjects));
        }
        let not_subscribe = self.no_subscribe(subjects);
        Permissions { publish, not_publish, subscribe, not_subscribe }
    }

    /// JetStream's own API.
    fn jetstream(self, subjects: &Subjects) -> Vec<String> {
        // Flow control is the answer of a watcher that the server asks whether it keeps up.
        let mut allowed = ["INFO", "STREAM.NAMES"].map(api).to_vec();
        allowed.push("$JS.FC.>".to_owned());
        if self == Self::QueueWorker {
            allowed.push("$JS.ACK.>".to_owned());
        }
        for (name, uses) in STREAMS {
            let stream = stream_of(name, subjects);
            let verbs: &[&str] =
                if self.changes_streams() { &["INFO", "CREATE", "UPDATE"] } else { &["INFO", "CREATE"] };
            allowed.extend(verbs.iter().map(|verb| api(&format!("STREAM.{verb}.{stream}"))));
            allowed.extend(uses[self as usize].iter().flat_map(|a_use| a_use.of(&stream)));
        }
        allowed.extend(foreign::jetstream(self));
        allowed
    }

    /// What the rights on streams of others would take with them.
    fn no_publish(self, subjects: &Subjects) -> Vec<String> {
        let of_stream =
            |(name, uses): &(&str, [&[Use]; 3])| foreign::denied(self, &stream_of(name, subjects), uses[self as usize]);
        STREAMS.iter().flat_map(of_stream).collect()
    }

    fn no_subscribe(self, subjects: &Subjects) -> Vec<String> {
        match self {
            Self::QueueWorker => foreign::not_subscribed(subjects, &self.subscribes(subjects)),
            Self::Gateway | Self::Controller => Vec::new(),
        }
    }

    fn publishes(self, subjects: &Subjects) -> Vec<String> {
        let inboxes = |roles: &[Self]| roles.iter().map(|role| all_below(&role.inbox(subjects))).collect::<Vec<_>>();
        // What others ask with an inbox of their client's making, or from another account.
        let foreign_inboxes = ["_INBOX.>".to_owned(), "_R_.>".to_owned()];
        let moved = [subjects.invoke_all(), subjects.delayed_all()];
        let stored = [
            subjects.backlog_all(),
            subjects.record_all(),
            subjects.body_all(BodyKind::Request),
            subjects.receipts(),
            subjects.brief_records(),
            subjects.activity(),
            subjects.trials(),
            subjects.running_all(),
            subjects.discard(),
        ];
        match self {
            Self::Gateway => [
                &moved[..],
                &stored,
                &[subjects.event_all(), subjects.replay_all(), subjects.refused_all()],
                &[subjects.held_all(), subjects.duplicates_all(), subjects.sample_all(), subjects.audit_log()],
                &[subjects.cancel_all(), subjects.control("*"), subjects.images_all()],
                &foreign_inboxes,
            ]
            .concat(),
            Self::QueueWorker => [
                &moved[..],
                &stored,
                &[subjects.body_all(BodyKind::Result), subjects.callback_try_all(), subjects.dead_all()],
                &[subjects.workers(), subjects.holders(), subjects.bursts_all(), subjects.cancel_all()],
                &[subjects.event_all(), subjects.duplicates_all(), subjects.topics_all()],
                &foreign_inboxes,
                &[subjects.control(Operation::Wake.as_str())],
                &inboxes(&[Self::Gateway, Self::QueueWorker]),
            ]
            .concat(),
            Self::Controller => [
                &BUCKETS.map(|bucket| format!("$KV.{}.>", subjects.stream(bucket)))[..],
                &moved,
                &[subjects.logs_all(), subjects.removed_records(), subjects.running_all()],
                &[subjects.event_all(), subjects.duplicates_all(), subjects.record_all(), subjects.cancel_all()],
                &[subjects.brief_records(), subjects.discard(), subjects.receipts(), subjects.audit_log()],
                &[subjects.stats()],
                &inboxes(&[Self::Gateway, Self::QueueWorker]),
                &foreign_inboxes[..1],
            ]
            .concat(),
        }
    }

    fn subscribes(self, subjects: &Subjects) -> Vec<String> {
        match self {
            Self::Gateway => vec![
                subjects.call_all(),
                subjects.invoke_all(),
                subjects.backlog_all(),
                subjects.delayed_all(),
                subjects.record_all(),
                subjects.callback_try_all(),
                subjects.logs_all(),
                subjects.event_all(),
                subjects.stats(),
            ],
            Self::QueueWorker => {
                // What a source names; `no_subscribe` takes from it what is not for sources.
                let any = ">".to_owned();
                vec![subjects.running_all(), subjects.cancel_all(), subjects.workers(), subjects.holders(), any]
            }
            Self::Controller => {
                [subjects.control("*"), subjects.activity(), subjects.trials(), subjects.discard(), "$SRV.>".to_owned()]
                    .to_vec()
            }
        }
    }
}

impl Use {
    /// The subjects of JetStream's API that it takes.
    fn of(self, stream: &str) -> Vec<String> {
        let verbs: &[&str] = match self {
            Self::Get => &["DIRECT.GET.*", "DIRECT.GET.*.>", "STREAM.MSG.GET.*"],
            Self::Info => &["CONSUMER.INFO.*.>"],
            Self::Consume => &[
                "CONSUMER.CREATE.*",
                "CONSUMER.CREATE.*.>",
                "CONSUMER.INFO.*.>",
                "CONSUMER.LIST.*",
                "CONSUMER.DELETE.*.>",
                "CONSUMER.MSG.NEXT.*.>",
            ],
            Self::Remove => &["STREAM.MSG.DELETE.*"],
            Self::Purge => &["STREAM.PURGE.*"],
        };
        verbs.iter().map(|verb| api(&verb.replace('*', stream))).collect()
    }
}

/// Pulling from the durable consumers of the queues, changing and deleting them: all that a role with short-lived consumers of the same streams must not do.
///
/// Backlogs have consumers too, which are named after their functions, so they cannot be listed.
fn durable_consumers(subjects: &Subjects) -> Vec<String> {
    let lanes = (0..LANES).map(|lane| ("INVOKE", lane_name(lane)));
    let others = [("DELAYED", DUE), ("CALLS", CALLBACKS), ("EVENTS", ROUTE)];
    let durables = lanes.chain(others.map(|(stream, name)| (stream, name.to_owned())));
    let acts = |(stream, name): (&str, String)| {
        let consumer = format!("{}.{name}", stream_of(stream, subjects));
        ["CREATE", "DELETE", "MSG.NEXT"]
            .map(|verb| api(&format!("CONSUMER.{verb}.{consumer}")))
            .into_iter()
            .chain([api(&format!("CONSUMER.CREATE.{consumer}.>"))])
    };
    durables.flat_map(acts).collect()
}

const BUCKETS: [&str; 5] = ["FUNCTIONS", "VERSIONS", "SOURCES", "NAMESPACES", "CONTROLLER"];

fn api(subject: &str) -> String {
    format!("$JS.API.{subject}")
}

fn all_below(subject: &str) -> String {
    format!("{subject}.>")
}

/// The names of all streams, those of the buckets too.
pub(crate) fn streams(subjects: &Subjects) -> impl Iterator<Item = String> {
    STREAMS.into_iter().map(|(name, _)| stream_of(name, subjects))
}

/// The name of a stream, or of the stream under a bucket.
pub(crate) fn stream_of(name: &str, subjects: &Subjects) -> String {
    match name.strip_prefix("KV_") {
        Some(bucket) => format!("KV_{}", subjects.stream(bucket)),
        None => subjects.stream(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_controller_writes_buckets_and_nobody_may_more_than_named_streams() {
        let subjects = Subjects::new("hive").unwrap();
        for role in Role::ALL {
            let Permissions { publish, subscribe, not_publish, not_subscribe } = role.permissions(&subjects);
            let general = foreign::jetstream(role);
            let any = (role == Role::QueueWorker).then(|| ">".to_owned());
            let (mut publish, mut subscribe) = (publish, subscribe);
            publish.retain(|subject| !general.contains(subject));
            subscribe.retain(|subject| Some(subject) != any.as_ref());
            assert!(not_publish.iter().chain(&not_subscribe).all(|subject| !subject.contains("skep")), "{role:?}");
            let writes = publish.iter().filter(|subject| subject.starts_with("$KV.")).count();
            assert_eq!(writes, if role == Role::Controller { BUCKETS.len() } else { 0 }, "{role:?}");
            for subject in publish.iter().chain(&subscribe) {
                assert!(!subject.contains("skep") && !subject.contains("STREAM.DELETE"), "{role:?}: {subject}");
                let is_named = subject.to_lowercase().contains("hive");
                let is_general = ["$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.FC.>", "$JS.ACK.>", "$SRV.>"];
                let is_inbox = ["_INBOX.>", "_R_.>"].contains(&subject.as_str());
                assert!(is_named || is_inbox || is_general.contains(&subject.as_str()), "{role:?}: {subject}");
            }
        }
    }
}
