//! Samples: events of a source that are kept without an end, each with a label.

use skep_protocol::{Event, EventId, SourceName};

use super::wire;
use crate::{
    Error, Events, Result,
    calls::{
        records,
        scan::{Scan, Seen},
    },
    fit,
    publish::Message,
    wire::{Unreadable, parsed},
};

/// The event that a sample was.
const EVENT_ID: &str = "Skep-Event-Id";
/// An event that is kept, and its label.
#[derive(Clone, Debug)]
pub struct Sample {
    pub label: EventId,
    pub event: Event,
    pub sequence: u64,
}

impl Events {
    /// Keeps an event as a sample, in place of the one that had the label.
    pub async fn keep_sample(&self, event: &Event, label: &EventId) -> Result<()> {
        let mut headers = wire::event_headers(event);
        headers.insert(EVENT_ID, event.id.as_str());
        let body = wire::event_body(event);
        fit::check(&headers, &body, self.nats.largest_message())?;
        let subject = self.nats.subjects.sample(&event.source, label);
        self.nats.publisher.publish(Message { subject, headers, body }).await.map(|_| ())
    }

    /// The samples of a source without their bodies, the oldest first.
    pub async fn samples(&self, source: &SourceName) -> Result<Vec<Sample>> {
        let mut scan = Scan::begin(&self.nats.streams.samples, self.nats.subjects.samples_of(source), 0).await?;
        let mut samples = Vec::new();
        while let Some(seen) = scan.next().await? {
            samples.extend(read(seen).ok());
        }
        scan.end().await;
        Ok(samples)
    }

    /// A sample with its body, if there is one of this label.
    pub async fn sample(&self, source: &SourceName, label: &EventId) -> Result<Option<Sample>> {
        let found = records::find(&self.nats.streams.samples, self.nats.subjects.sample(source, label)).await?;
        let Some(message) = found else { return Ok(None) };
        let subject = message.subject.to_string();
        let seen = Seen {
            subject: subject.clone(),
            headers: message.headers,
            body: message.payload,
            published: message.time,
            sequence: message.sequence,
        };
        read(seen).map(Some).map_err(|reason| Error::Unreadable { subject, reason })
    }

    /// Removes a sample; false if there is none of this label.
    pub async fn remove_sample(&self, source: &SourceName, label: &EventId) -> Result<bool> {
        let Some(sample) = self.sample(source, label).await? else { return Ok(false) };
        self.nats.remove_message("SAMPLES", sample.sequence).await?;
        Ok(true)
    }
}

fn read(seen: Seen) -> Result<Sample, Unreadable> {
    let mut event = wire::read_event(&seen.subject, &seen.headers, seen.body)?;
    let label = std::mem::replace(&mut event.id, parsed(&seen.headers, EVENT_ID)?);
    Ok(Sample { label, event, sequence: seen.sequence })
}
