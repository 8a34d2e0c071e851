//! skep's own events: the role that notices a fact about skep itself stores it as an event of each source that asks for it (`skep: [dead, …]`).
//!
//! The gateway, the queue-worker and the controller each notice other facts. Routes make calls of these events as of any others, so an alert is a function.
//! A call that such an event made carries [`headers::SKEP_OWN_EVENT`](skep_protocol::headers::SKEP_OWN_EVENT), and its end makes no further event.

use std::time::Duration;

use prometheus::{IntCounterVec, Opts, Registry};
use skep_bus::{Error, Events, FromSource, Result, Source, Sources, SourcesView, Submitted};
use skep_protocol::{DefaultNamespace, SourceName};
use skep_sources::{Defaults, Fact, Kind, OwnEvent, Receiver};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

/// A role that has just started waits this long until it knows which sources there are.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The sources that ask for skep's own events.
pub struct OwnEvents {
    wanted: SourcesView<Wanting>,
    events: Events,
    sources: Sources,
    namespace: DefaultNamespace,
    metrics: OwnEventMetrics,
}

/// Counts of skep's own events; cheap to clone.
#[derive(Clone)]
pub struct OwnEventMetrics(IntCounterVec);

/// A source, and which events it asks for.
struct Wanting {
    name: SourceName,
    /// `None` if it asks for none.
    asked: Option<Asked>,
}

struct Asked {
    receiver: Receiver,
    events: Vec<OwnEvent>,
    paused: bool,
}

impl OwnEventMetrics {
    /// Registers them, once for each role of a process: `gateway`, `queue_worker` or `controller`.
    pub fn register(role: &str, metrics: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new(
            format!("{role}_own_events_total"),
            "Events about skep itself, by what they tell and whether they were stored.",
        );
        let stored = IntCounterVec::new(opts, &["event", "outcome"])?;
        metrics.register(Box::new(stored.clone()))?;
        Ok(Self(stored))
    }
}

impl OwnEvents {
    pub fn new(events: Events, sources: Sources, namespace: DefaultNamespace, metrics: OwnEventMetrics) -> Self {
        Self { wanted: SourcesView::default(), events, sources, namespace, metrics }
    }

    /// Follows the sources until shutdown.
    pub async fn follow(&self, shutdown: &CancellationToken) {
        self.wanted.follow(&self.sources, &self.namespace, shutdown).await;
    }

    /// Stores an event for each source that asks for this fact, and says whether one of them had no such event yet.
    ///
    /// After an error, the caller tries again later.
    /// What cannot be stored, and never could, is counted and logged: a full stream must not hold up what the fact is about.
    pub async fn tell(&self, fact: &Fact) -> Result<bool> {
        if timeout(READY_TIMEOUT, self.wanted.complete()).await.is_err() {
            self.count(fact, "lost");
            error!(event = %fact.kind(), id = %fact.id(), "an event about skep itself is lost: it is not known which sources ask for it");
            return Ok(false);
        }
        let (mut failed, mut is_new) = (None, false);
        for wanting in self.wanted.all() {
            let Some(asked) = wanting.asked.as_ref().filter(|asked| asked.events.contains(&fact.kind())) else {
                continue;
            };
            match self.store(fact, &wanting.name, asked).await {
                Ok(stored) => is_new |= stored,
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(is_new), Err)
    }

    /// Whether any source asks for such events now, as far as is known.
    pub fn are_wanted(&self, kind: OwnEvent) -> bool {
        self.wanted.all().iter().any(|wanting| wanting.asked.as_ref().is_some_and(|asked| asked.events.contains(&kind)))
    }

    async fn store(&self, fact: &Fact, source: &SourceName, asked: &Asked) -> Result<bool> {
        let event = asked.receiver.own_event(fact, skep_bus::now(), asked.paused);
        match self.events.store(&event, asked.receiver.keep()).await {
            Ok(Submitted::Duplicate) => Ok(false),
            Ok(Submitted::Accepted) => {
                debug!(%source, event = %event.id, "an event about skep itself is stored");
                self.count(fact, "stored");
                Ok(true)
            }
            Err(error) if error.may_pass() && !matches!(error, Error::Full(_)) => {
                warn!(error = error.chain(), %source, event = %event.id, "an event about skep itself cannot be stored; trying again");
                Err(error)
            }
            Err(error) => {
                self.count(fact, "lost");
                error!(error = error.chain(), %source, event = %event.id, "an event about skep itself is lost");
                Ok(false)
            }
        }
    }

    fn count(&self, fact: &Fact, outcome: &str) {
        self.metrics.0.with_label_values(&[fact.kind().as_str(), outcome]).inc();
    }
}

impl FromSource for Wanting {
    type Context = DefaultNamespace;

    fn from_source(source: &Source, namespace: &DefaultNamespace, _before: Option<&Self>) -> Self {
        let record = &source.record;
        // The status of the source says what cannot be read.
        let receiver = Receiver::from_spec(record.name.clone(), &record.spec, &Defaults::new(namespace)).ok();
        let asked = receiver.and_then(|receiver| match receiver.kind() {
            Kind::Platform(events) if !receiver.source().disabled => {
                Some(Asked { events: events.0.clone(), receiver, paused: record.paused })
            }
            _ => None,
        });
        Self { name: record.name.clone(), asked }
    }
}
