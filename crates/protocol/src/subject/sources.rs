//! Names of what sources receive.

use super::Subjects;
use crate::{BurstKey, CallId, EventId, SourceName};

impl Subjects {
    /// Where one event of a source is stored.
    pub fn event(&self, source: &SourceName, id: &EventId) -> String {
        format!("{}.event.{source}.{id}", self.prefix)
    }

    /// The events of one source.
    pub fn events_of(&self, source: &SourceName) -> String {
        format!("{}.event.{source}.*", self.prefix)
    }

    pub fn event_all(&self) -> String {
        format!("{}.event.*.*", self.prefix)
    }

    /// Where it is noted that a replay has made a call of an event.
    pub fn replayed_call(&self, source: &SourceName, id: &EventId, call: &CallId) -> String {
        format!("{}.replay.{source}.{id}.{call}", self.prefix)
    }

    /// The calls that replays have made of one event.
    pub fn replayed_calls_of(&self, source: &SourceName, id: &EventId) -> String {
        format!("{}.replay.{source}.{id}.*", self.prefix)
    }

    pub fn replay_all(&self) -> String {
        format!("{}.replay.*.*.*", self.prefix)
    }

    /// Where it is kept which call is the latest of a burst.
    pub fn bursts(&self, key: &BurstKey) -> String {
        format!("{}.bursts.{key}", self.prefix)
    }

    pub fn bursts_all(&self) -> String {
        format!("{}.bursts.*.*", self.prefix)
    }

    /// Where copies of requests are kept that a source has refused.
    pub fn refused(&self, source: &SourceName) -> String {
        format!("{}.refused.{source}", self.prefix)
    }

    pub fn refused_all(&self) -> String {
        format!("{}.refused.*", self.prefix)
    }

    /// Where requests wait that a source could not verify.
    pub fn held(&self, source: &SourceName) -> String {
        format!("{}.held.{source}", self.prefix)
    }

    pub fn held_all(&self) -> String {
        format!("{}.held.*", self.prefix)
    }

    /// Where it is noted that events of a source have come again.
    pub fn duplicates(&self, source: &SourceName) -> String {
        format!("{}.duplicate.{source}", self.prefix)
    }

    pub fn duplicates_all(&self) -> String {
        format!("{}.duplicate.*", self.prefix)
    }

    /// Where one sample of a source is kept.
    pub fn sample(&self, source: &SourceName, label: &EventId) -> String {
        format!("{}.sample.{source}.{label}", self.prefix)
    }

    /// The samples of one source.
    pub fn samples_of(&self, source: &SourceName) -> String {
        format!("{}.sample.{source}.*", self.prefix)
    }

    /// How far a source has come with its topic.
    pub fn topic_state(&self, source: &SourceName) -> String {
        format!("{}.topics.state.{source}", self.prefix)
    }

    /// From where a source goes on with its stream.
    pub fn topic_place(&self, source: &SourceName) -> String {
        format!("{}.topics.place.{source}", self.prefix)
    }

    /// The places of all sources.
    pub fn topic_places(&self) -> String {
        format!("{}.topics.place.*", self.prefix)
    }

    pub fn topics_all(&self) -> String {
        format!("{}.topics.*.*", self.prefix)
    }

    /// The stream that skep makes of what a source captures.
    pub fn captured(&self, source: &SourceName) -> String {
        self.stream(&format!("TOPIC_{}", source.as_str().to_ascii_uppercase()))
    }

    /// The source whose stream this is, if it is one.
    pub fn source_of_captured(&self, stream: &str) -> Option<SourceName> {
        stream.strip_prefix(&self.stream("TOPIC_"))?.to_ascii_lowercase().parse().ok()
    }

    pub fn sample_all(&self) -> String {
        format!("{}.sample.*.*", self.prefix)
    }
}
