//! What sources of messages take: subjects and streams that are not skep's, of which nobody knows the names beforehand.
//!
//! NATS cannot allow names by how they begin, so all are allowed, and what is skep's own is denied by name.

use skep_protocol::Subjects;

use super::{Permissions, Role, Use, api};

/// What a queue-worker does with a stream that a source names.
const READ: [&str; 6] = [
    "STREAM.INFO.*",
    "STREAM.MSG.GET.*",
    "CONSUMER.CREATE.*.>",
    "CONSUMER.INFO.*.>",
    "CONSUMER.DELETE.*.>",
    "CONSUMER.MSG.NEXT.*.>",
];
/// What the controller does with the streams of sources that capture.
const MAKE: [&str; 4] = ["STREAM.INFO.*", "STREAM.CREATE.*", "STREAM.UPDATE.*", "STREAM.DELETE.*"];

/// The second words of all subjects of skep.
const WORDS: [&str; 30] = [
    "activity",
    "audit-log",
    "backlog",
    "body",
    "bursts",
    "call",
    "calls",
    "cancel",
    "control",
    "dead",
    "delayed",
    "discard",
    "duplicate",
    "event",
    "held",
    "holders",
    "images",
    "invoke",
    "ledger",
    "logs",
    "publish",
    "queue-workers",
    "refused",
    "replay",
    "running",
    "sample",
    "stats",
    "topics",
    "trials",
    "tries",
];

/// JetStream's API for streams of any name.
pub(super) fn jetstream(role: Role) -> Vec<String> {
    let verbs: &[&str] = match role {
        Role::Gateway => &[],
        Role::QueueWorker => &READ,
        Role::Controller => &MAKE,
    };
    verbs.iter().map(|verb| api(verb)).collect()
}

/// What a role may not do with a stream of skep's own although it may with others.
pub(super) fn denied(role: Role, stream: &str, uses: &[Use]) -> Vec<String> {
    let verbs: &[&str] = match (role, uses.contains(&Use::Consume), uses.contains(&Use::Get)) {
        (Role::Controller, ..) => &["STREAM.DELETE.*"],
        // Everybody may ask about any stream.
        (Role::QueueWorker, false, false) => &READ[1..],
        (Role::QueueWorker, false, true) => &READ[2..],
        (Role::Gateway | Role::QueueWorker, ..) => &[],
    };
    verbs.iter().map(|verb| api(&verb.replace('*', stream))).collect()
}

/// What a source cannot listen to: subjects of skep that are not the role's, answers to others, and what is NATS's own.
pub(super) fn not_subscribed(subjects: &Subjects, subscribed: &[String]) -> Vec<String> {
    let prefix = subjects.prefix();
    let is_subscribed = |word: &str| subscribed.iter().any(|subject| subject.split('.').nth(1) == Some(word));
    let own = WORDS.into_iter().filter(|word| !is_subscribed(word));
    let own = own.flat_map(|word| [format!("{prefix}.{word}"), format!("{prefix}.{word}.>")]);
    let others = [Role::Gateway, Role::Controller].map(|role| format!("{}.>", role.inbox(subjects)));
    let general = ["$JS.>", "$KV.>", "$MQTT.>", "$O.>", "$SRV.>", "$SYS.>", "_INBOX.>", "_R_.>"].map(str::to_owned);
    own.chain(others).chain(general).collect()
}

/// What devices that speak MQTT may do: use all subjects but those of skep and of the server.
pub fn device_permissions(subjects: &Subjects) -> Permissions {
    let own = format!("{}.>", subjects.prefix());
    let inboxes = Role::ALL.map(|role| format!("{}.>", role.inbox(subjects)));
    let general = ["$JS.>", "$KV.>", "$O.>", "$SRV.>", "$SYS.>", "_INBOX.>", "_R_.>"].map(str::to_owned);
    let denied: Vec<String> = std::iter::once(own).chain(inboxes).chain(general).collect();
    let all = vec![">".to_owned()];
    Permissions { publish: all.clone(), subscribe: all, not_publish: denied.clone(), not_subscribe: denied }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_of_a_role_begins_with_a_known_word() {
        let subjects = Subjects::new("hive").unwrap();
        for role in Role::ALL {
            let permissions = role.permissions(&subjects);
            for subject in permissions.publish.iter().chain(&permissions.subscribe) {
                let Some(rest) = subject.strip_prefix("hive.") else { continue };
                let word = rest.split('.').next().unwrap();
                assert!(WORDS.contains(&word), "{subject}");
            }
        }
    }

    #[test]
    fn a_source_hears_nothing_of_skep_and_reads_no_stream_that_its_worker_does_not() {
        let subjects = Subjects::new("hive").unwrap();
        let permissions = Role::QueueWorker.permissions(&subjects);
        for denied in ["hive.event.>", "hive.publish.>", "hive.control.>", "_INBOX_hive_gateway.>", "$SYS.>"] {
            assert!(permissions.not_subscribe.iter().any(|subject| subject == denied), "{denied}");
        }
        assert!(!permissions.not_subscribe.iter().any(|subject| subject.starts_with("hive.running")));
        let denied = |api: &str| permissions.not_publish.iter().any(|subject| subject == api);
        assert!(denied("$JS.API.CONSUMER.CREATE.HIVE_DEAD.>") && denied("$JS.API.STREAM.MSG.GET.HIVE_AUDIT"));
        assert!(!denied("$JS.API.CONSUMER.CREATE.HIVE_INVOKE.>"));
        let deleted = Role::Controller.permissions(&subjects).not_publish;
        assert!(deleted.contains(&"$JS.API.STREAM.DELETE.HIVE_INVOKE".to_owned()));
    }
}
