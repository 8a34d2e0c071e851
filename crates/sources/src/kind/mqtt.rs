//! Events that are MQTT messages: the names of MQTT, and how a NATS server writes them.
//!
//! A level of a topic is a token of a subject. An empty level is `/` there, and a dot in a level is `//`.

use serde::Deserialize;

use super::nats::{Nats, Origin, check_subject};
use crate::error::SourceError;

/// Which MQTT messages are events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// As a NATS server has them.
    pub messages: Nats,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Spec {
    topics: Vec<String>,
}

pub(super) fn read(spec: &Spec) -> Result<Mqtt, SourceError> {
    if spec.topics.is_empty() {
        return Err(SourceError::at_key("topics", "is empty: a list such as [home/+/motion]").under("mqtt"));
    }
    let mut subjects = Vec::new();
    for (index, topic) in spec.topics.iter().enumerate() {
        let error = |reason: String| SourceError::new(reason).in_list(index).under("topics").under("mqtt");
        for subject in subjects_of(topic).map_err(error)? {
            if !subjects.contains(&subject) {
                subjects.push(subject);
            }
        }
    }
    Ok(Mqtt { messages: Nats { from: Origin::Captured(subjects), url: None, credentials: None } })
}

/// The subjects that a filter of topics stands for; `a/#` is also the topic `a`.
fn subjects_of(filter: &str) -> Result<Vec<String>, String> {
    let levels: Vec<&str> = filter.split('/').collect();
    let last = levels.len() - 1;
    for (place, level) in levels.iter().enumerate() {
        if level.len() > 1 && level.contains(['+', '#']) || *level == "#" && place != last {
            return Err(format!("{filter:?}: + stands for a whole level, and # for all that follow at the end"));
        }
        if level.contains(['*', '>']) || level.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(format!("{filter:?} has a blank, * or >, which cannot be in a topic on a NATS server"));
        }
    }
    if levels.iter().all(|level| matches!(*level, "+" | "#")) {
        return Err(format!("{filter:?} matches every topic: name a level"));
    }
    if levels.first() == Some(&"+") {
        return Err(format!("{filter:?} begins with +, and a NATS server stores no such topics: name the first level"));
    }
    if filter.starts_with('$') {
        return Err(format!("{filter:?} begins with $, and those topics are the server's own"));
    }
    let subject = to_subject(filter);
    check_subject(&subject)?;
    let parent = subject.strip_suffix(".>").map(str::to_owned);
    Ok(std::iter::once(subject).chain(parent).collect())
}

/// A topic, or a filter of topics, as a subject.
pub(crate) fn to_subject(topic: &str) -> String {
    let token = |level: &str| match level {
        "" => "/".to_owned(),
        "+" => "*".to_owned(),
        "#" => ">".to_owned(),
        level => level.replace('.', "//"),
    };
    topic.split('/').map(token).collect::<Vec<_>>().join(".")
}

/// A subject as the topic that it was made of.
pub(crate) fn to_topic(subject: &str) -> String {
    let level = |token: &str| if token == "/" { String::new() } else { token.replace("//", ".") };
    subject.split('.').map(level).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_translated_as_a_nats_server_does() {
        for (topic, subject) in [
            ("a", "a"),
            ("a/b", "a.b"),
            ("/a", "/.a"),
            ("a/", "a./"),
            ("a//b", "a./.b"),
            ("home/a.b", "home.a//b"),
            ("a.b/c..d", "a//b.c////d"),
            ("/", "/./"),
        ] {
            assert_eq!(to_subject(topic), subject);
            assert_eq!(to_topic(subject), topic);
        }
        assert_eq!(subjects_of("home/+/motion").unwrap(), ["home.*.motion"]);
        assert_eq!(subjects_of("a/#").unwrap(), ["a.>", "a"]);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in ["a+/b", "a/#/b", "#", "+/+", "a b", "a/*", "$SYS/x", "a#", "+/a"] {
            assert!(subjects_of(bad).is_err(), "{bad}");
        }
    }
}
