//! skep's own events: the role that notices a fact about skep itself stores it as an event of each source that asks for it (`skep: [dead, …]`).
//!
//! The gateway, the queue-worker and the controller each notice other facts. Routes make calls of these events as of any others, so an alert is a function.
//! A call that such an event made carries [`headers::SKEP_OWN_EVENT`](skep_protocol::headers::SKEP_OWN_EVENT), and its end makes no further event.

mod postponed;

use std::time::Duration;

use prometheus::{IntCounterVec, Opts, Registry};
use skep_backoff::Backoff;
use skep_bus::{Error, Events, FromSource, Result, Source, Sources, SourcesView, Submitted};
use skep_protocol::{DefaultNamespace, SourceName};
use skep_sources::{Defaults, Fact, Kind, OwnEvent, Receiver, Subscribers};
use skep_trace::{Span, Start, Tracer, Value};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use self::postponed::Postponed;

/// A role that has just started waits this long until it knows which sources there are.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries to store what was postponed.
const RETRY_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// The sources that ask for skep's own events.
pub struct OwnEvents {
    wanted: SourcesView<Wanting>,
    events: Events,
    sources: Sources,
    namespace: DefaultNamespace,
    metrics: OwnEventMetrics,
    subscribers: Box<Subscribers<'static>>,
    postponed: Postponed,
    tracer: Tracer,
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
            "Events about skep itself, by kind and whether they were stored.",
        );
        let stored = IntCounterVec::new(opts, &["event", "outcome"])?;
        metrics.register(Box::new(stored.clone()))?;
        Ok(Self(stored))
    }
}

impl OwnEvents {
    /// `subscribers` finds the functions that name topics of these events.
    pub fn new(
        events: Events,
        sources: Sources,
        namespace: DefaultNamespace,
        metrics: OwnEventMetrics,
        subscribers: Box<Subscribers<'static>>,
    ) -> Self {
        let (wanted, postponed) = (SourcesView::default(), Postponed::default());
        Self { wanted, events, sources, namespace, metrics, subscribers, postponed, tracer: Tracer::default() }
    }

    /// The same with spans: each event begins a trace, which links to that of the call that it is about.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// Follows the sources, and stores what was postponed, until shutdown.
    pub async fn follow(&self, shutdown: &CancellationToken) {
        let follow = self.wanted.follow(&self.sources, &self.namespace, shutdown);
        tokio::join!(follow, shutdown.run_until_cancelled(self.publish_postponed()));
        for waiting in self.postponed.take_all() {
            self.lose(&waiting.fact, "skep ends");
        }
    }

    /// Stores an event for each source that asks for this fact, and says whether one of them had no such event yet.
    ///
    /// After an error, the caller tries again later.
    /// What waits for the stream of events, or for the sources to be known, is tried again here for a while: that must not hold up what the fact is about.
    pub async fn publish(&self, fact: &Fact) -> Result<bool> {
        if timeout(READY_TIMEOUT, self.wanted.complete()).await.is_err() {
            self.postpone(fact, "it is not known which sources ask for it");
            return Ok(true);
        }
        match self.store_all(fact).await {
            Err(error @ Error::Full(_)) => {
                self.postpone(fact, &error.chain());
                Ok(true)
            }
            stored => stored,
        }
    }

    fn postpone(&self, fact: &Fact, reason: &str) {
        if self.postponed.add(fact) {
            warn!(event = %fact.kind(), id = %fact.id(), reason, "an event about skep itself cannot be stored now; trying again");
        } else {
            self.lose(fact, reason);
        }
    }

    fn lose(&self, fact: &Fact, reason: &str) {
        self.count(fact, "lost");
        error!(event = %fact.kind(), id = %fact.id(), reason, "an event about skep itself is lost");
    }

    /// Runs until it is dropped.
    async fn publish_postponed(&self) {
        self.wanted.complete().await;
        let mut delays = RETRY_BACKOFF.delays();
        loop {
            let waiting = self.postponed.first().await;
            match self.store_all(&waiting.fact).await {
                Ok(_) => delays.reset(),
                Err(error) if waiting.is_old() => self.lose(&waiting.fact, &error.chain()),
                Err(_) => {
                    sleep(delays.next_delay()).await;
                    continue;
                }
            }
            self.postponed.remove_first();
        }
    }

    /// Stores it for each source. If several cannot, the error is of one that a caller can wait for.
    async fn store_all(&self, fact: &Fact) -> Result<bool> {
        let (mut failed, mut is_new) = (None, false);
        for wanting in self.wanted.all() {
            let Some(asked) = wanting.asked.as_ref().filter(|asked| asked.events.contains(&fact.kind())) else {
                continue;
            };
            match self.store(fact, &wanting.name, asked).await {
                Ok(stored) => is_new |= stored,
                Err(Error::Full(reason)) => drop(failed.get_or_insert(Error::Full(reason))),
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
        let mut event = asked.receiver.own_event(fact, skep_bus::now(), asked.paused, &*self.subscribers);
        let span = self.begin_span(fact, source);
        event.trace = span.as_ref().map(Span::context).cloned();
        match self.events.store(&event, asked.receiver.keep()).await {
            Ok(Submitted::Duplicate) => Ok(false),
            Ok(Submitted::Accepted) => {
                debug!(%source, event = %event.id, "an event about skep itself is stored");
                self.count(fact, "stored");
                Ok(true)
            }
            Err(error) if error.may_pass() => {
                debug!(error = error.chain(), %source, event = %event.id, "an event about skep itself cannot be stored yet");
                Err(error)
            }
            Err(error) => {
                self.lose(fact, &error.chain());
                Ok(false)
            }
        }
    }

    /// The span lasts until the event is stored.
    fn begin_span(&self, fact: &Fact, source: &SourceName) -> Option<Span> {
        let span = self.tracer.begin(Start { kind: skep_trace::Kind::Producer, parent: None })?;
        let (kind, source, link) = (fact.kind().as_str(), source.clone(), fact.trace().cloned());
        span.describe(move |description| {
            description.name = "publish skep.event".into();
            let attributes = [
                ("messaging.system", Value::from("nats")),
                ("messaging.operation.name", "publish".into()),
                ("messaging.operation.type", "send".into()),
                ("skep.source", source.to_string().into()),
                ("skep.event", kind.into()),
            ];
            description.attributes.extend(attributes);
            description.links.extend(link);
        });
        Some(span)
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
