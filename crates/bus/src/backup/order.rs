//! In which order streams are copied.
//!
//! A move writes to the new place first and then leaves the old one. So what is copied from its old place first, and from its new place later, is in at least one of the two copies.
//! Calls that wait for their time go back to their lanes, against this order; they are held meanwhile ([`super::pause`]). So do dead letters that are sent again; the copy is repeated then.

use skep_protocol::Subjects;

use crate::permissions::stream_of;

/// Who is the controller is not for long, so it is not copied.
const LEFT_OUT: &str = "KV_CONTROLLER";
/// Receipts, before the calls that they name; and what becomes calls: plans, events and published work.
const FIRST: [&str; 8] = ["LEDGER", "KV_SOURCES", "TOPICS", "HELD", "EVENTS", "REPLAYS", "BURSTS", "PUBLISH"];
/// Behind this one of them come the captured messages of topics, which become events.
const BEFORE_TOPICS: &str = "TOPICS";
/// Where calls wait, in the order in which they go on.
const PLACES: [&str; 3] = ["INVOKE", "BACKLOG", "DELAYED"];
/// Bodies that the calls need, before the records with which they may go; then what calls end as.
const ENDS: [&str; 3] = ["REQUESTS", "CALLS", "DEAD"];
const LAST: [&str; 10] = [
    "RESULTS",
    "TRIES",
    "REFUSED",
    "DUPLICATES",
    "SAMPLES",
    "KV_FUNCTIONS",
    "KV_VERSIONS",
    "KV_NAMESPACES",
    "IMAGES",
    "AUDIT",
];

/// The names of the streams that are there.
pub(super) struct Order {
    pub(super) first: Vec<String>,
    pub(super) places: Vec<String>,
    pub(super) ends: Vec<String>,
    /// The rest, and what this version does not know.
    pub(super) last: Vec<String>,
}

impl Order {
    pub(super) fn of(subjects: &Subjects, mut there: Vec<String>) -> Self {
        there.sort();
        there.retain(|name| *name != stream_of(LEFT_OUT, subjects));
        let topics = stream_of("TOPIC_", subjects);
        let mut take = |names: &[&str]| {
            let mut taken = Vec::new();
            for name in names {
                let wanted = stream_of(name, subjects);
                taken.extend(there.extract_if(.., |one| *one == wanted));
                if *name == BEFORE_TOPICS {
                    taken.extend(there.extract_if(.., |one| one.starts_with(&topics)));
                }
            }
            taken
        };
        let (first, places, ends, mut last) = (take(&FIRST), take(&PLACES), take(&ENDS), take(&LAST));
        last.extend(there);
        Self { first, places, ends, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions;

    #[test]
    fn each_stream_of_skep_has_its_place() {
        let subjects = Subjects::new("hive").unwrap();
        let known: Vec<String> = [&FIRST[..], &PLACES, &ENDS, &LAST, &[LEFT_OUT]]
            .concat()
            .iter()
            .map(|name| stream_of(name, &subjects))
            .collect();
        for name in permissions::streams(&subjects) {
            assert!(known.contains(&name), "decide where {name} belongs in the order of a backup");
        }
    }

    #[test]
    fn all_that_is_there_is_copied_once_but_who_is_the_controller() {
        let subjects = Subjects::new("hive").unwrap();
        let mut there: Vec<String> = permissions::streams(&subjects).collect();
        there.extend(["HIVE_TOPIC_ORDERS".to_owned(), "HIVE_OF_A_LATER_VERSION".to_owned()]);
        let Order { first, places, ends, last } = Order::of(&subjects, there.clone());
        let at = |name: &str| first.iter().position(|one| one == name);
        assert!(at("HIVE_TOPICS") < at("HIVE_TOPIC_ORDERS") && at("HIVE_TOPIC_ORDERS") < at("HIVE_EVENTS"));
        assert!(last.contains(&"HIVE_OF_A_LATER_VERSION".to_owned()));
        let mut copied = [first, places, ends, last].concat();
        copied.push("KV_HIVE_CONTROLLER".to_owned());
        copied.sort();
        there.sort();
        assert_eq!(copied, there);
    }
}
