//! What a process does about traces: whom it trusts, what it samples, and where its spans go.

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use http::HeaderMap;

use crate::{
    Context, Finished, Kind, Parent, Sampler, Span, TRACEPARENT, TRACESTATE, TraceId, Trust, live::Live, remove,
};

/// Where spans go when they have ended. It must not block.
pub trait Sink: Send + Sync {
    fn send(&self, span: Finished);
}

/// Cheap to clone. By default nothing is exported, and programs of this machine are trusted.
#[derive(Clone, Debug, Default)]
pub struct Tracer {
    trust: Trust,
    export: Option<Arc<Export>>,
}

pub(crate) struct Export {
    sampler: Sampler,
    /// A span of a trace that is not sampled is sent all the same if it took so long.
    pub(crate) slow: Duration,
    /// Spans that may last for long.
    pub(crate) live: Live,
    sink: Box<dyn Sink>,
}

/// What a request says of its trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The context that is gone on with.
    pub parent: Option<Context>,
    /// The context of a stranger, which is linked to, if spans are made.
    pub stranger: Option<Context>,
}

/// How a span begins.
#[derive(Clone, Copy, Debug)]
pub struct Start<'context> {
    pub kind: Kind,
    /// A span of another process; without one a trace begins.
    pub parent: Option<&'context Context>,
}

impl Tracer {
    /// Passes contexts on, and exports nothing.
    pub fn off(trust: Trust) -> Self {
        Self { trust, export: None }
    }

    /// Exports spans to a sink; those of unsampled traces too, if they failed or took at least as long as `slow`.
    pub fn new(trust: Trust, sampler: Sampler, slow: Duration, sink: Box<dyn Sink>) -> Self {
        Self { trust, export: Some(Arc::new(Export { sampler, slow, live: Live::default(), sink })) }
    }

    /// Whether spans are made at all.
    pub fn is_on(&self) -> bool {
        self.export.is_some()
    }

    /// Shows each [watched](Span::watch) span that takes at least as long as `slow`, once, before it ends. It is to be called again and again.
    pub fn show_started(&self) {
        if let Some(export) = &self.export {
            export.live.lasting(export.slow).iter().for_each(|span| span.show_started());
        }
    }

    /// Takes the context out of the headers of a request that came from this address.
    pub fn incoming(&self, headers: &mut HeaderMap, sender: IpAddr) -> Incoming {
        self.taken(headers, self.trust.includes(sender))
    }

    /// Takes the context out of the headers of a message that was published on NATS.
    pub fn published(&self, headers: &mut HeaderMap) -> Incoming {
        self.taken(headers, self.trust.includes_publishers())
    }

    fn taken(&self, headers: &mut HeaderMap, is_trusted: bool) -> Incoming {
        if !headers.contains_key(TRACEPARENT) && !headers.contains_key(TRACESTATE) {
            return Incoming::default();
        }
        let read = Context::read(headers);
        remove(headers);
        if is_trusted { Incoming { parent: read, stranger: None } } else { Incoming { parent: None, stranger: read } }
    }

    /// Begins a span; none while nothing is exported.
    pub fn begin(&self, start: Start<'_>) -> Option<Span> {
        let export = self.export.as_ref()?;
        let trace_id = start.parent.map_or_else(TraceId::generate, |parent| parent.trace_id);
        let sampled = export.sampler.samples(start.parent, trace_id);
        let context = start.parent.map_or_else(|| Context::root(trace_id, sampled), |parent| parent.child(sampled));
        let parent = start.parent.map(|parent| Parent { span_id: parent.span_id, is_remote: true });
        Some(Span::new(Arc::clone(export), context, parent, start.kind, (SystemTime::now(), Instant::now())))
    }

    /// Begins the span of a request or a message that came from outside; it links to a stranger's context.
    pub fn enter(&self, kind: Kind, incoming: &Incoming) -> Option<Span> {
        let span = self.begin(Start { kind, parent: incoming.parent.as_ref() })?;
        if let Some(stranger) = incoming.stranger.clone() {
            span.describe(|description| description.links.push(stranger));
        }
        Some(span)
    }
}

impl Export {
    pub(crate) fn send(&self, span: Finished) {
        self.sink.send(span);
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Export")
            .field("sampler", &self.sampler)
            .field("slow", &self.slow)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use http::HeaderValue;

    use super::*;
    use crate::Value;

    struct Collected(Mutex<mpsc::Sender<Finished>>);

    impl Sink for Collected {
        fn send(&self, span: Finished) {
            self.0.lock().unwrap().send(span).unwrap();
        }
    }

    fn tracer(sampler: &str, slow: Duration) -> (Tracer, mpsc::Receiver<Finished>) {
        let (sender, spans) = mpsc::channel();
        let sampler = Sampler::named(Some(sampler), None).unwrap();
        (Tracer::new(Trust::default(), sampler, slow, Box::new(Collected(Mutex::new(sender)))), spans)
    }

    fn given(flags: &str) -> HeaderMap {
        let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        HeaderMap::from_iter([(TRACEPARENT, HeaderValue::try_from(parent).unwrap())])
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_stranger_decides_nothing_and_is_linked_to() {
        let (tracer, spans) = tracer("parentbased_always_off", HOUR);
        let mut headers = given("01");
        let incoming = tracer.incoming(&mut headers, "192.0.2.1".parse().unwrap());
        assert!(headers.is_empty() && incoming.parent.is_none());
        let span = tracer.enter(Kind::Server, &incoming).unwrap();
        assert!(!span.context().sampled);
        assert_ne!(span.context().trace_id, incoming.stranger.as_ref().unwrap().trace_id);
        span.fail();
        drop(span);
        let sent = spans.try_recv().unwrap();
        assert_eq!((sent.description.links, sent.parent), (vec![incoming.stranger.unwrap()], None));
        let trusted = tracer.incoming(&mut given("01"), "127.0.0.1".parse().unwrap());
        let span = tracer.enter(Kind::Server, &trusted).unwrap();
        assert!(span.context().sampled);
        assert_eq!(span.context().trace_id, trusted.parent.unwrap().trace_id);
    }

    #[test]
    fn an_unsampled_span_is_sent_with_its_children_if_it_failed_or_took_long() {
        let (quick, spans) = tracer("always_off", HOUR);
        let begin = |tracer: &Tracer| Arc::new(tracer.begin(Start { kind: Kind::Server, parent: None }).unwrap());
        let span = begin(&quick);
        drop(span.child(Kind::Client));
        drop(span);
        assert!(spans.try_recv().is_err(), "nobody wants it");
        let span = begin(&quick);
        let child = span.child(Kind::Client);
        child.answered(503, None);
        drop(child);
        assert!(spans.try_recv().is_err(), "its parent has not ended");
        span.answered(503, Some("no_replica".into()));
        let id = span.context().span_id;
        drop(span);
        let sent: Vec<Finished> = spans.try_iter().collect();
        assert_eq!(sent.iter().map(|span| span.kind).collect::<Vec<_>>(), [Kind::Client, Kind::Server]);
        assert_eq!(sent[0].parent, Some(Parent { span_id: id, is_remote: false }));
        assert!(sent.iter().all(|span| span.is_tail && !span.context.sampled));
        assert!(sent[1].description.attributes.contains(&("error.type", Value::from("no_replica"))));
        let (slow, spans) = tracer("always_off", Duration::ZERO);
        drop(begin(&slow));
        assert_eq!(spans.try_iter().count(), 1);
    }

    #[test]
    fn while_nothing_is_exported_contexts_are_passed_on_and_spans_are_not_made() {
        let tracer = Tracer::off(Trust::All);
        let incoming = tracer.incoming(&mut given("01"), "192.0.2.1".parse().unwrap());
        assert!(incoming.parent.as_ref().is_some_and(|parent| parent.sampled));
        assert!(tracer.enter(Kind::Server, &incoming).is_none());
        let malformed = &mut HeaderMap::from_iter([(TRACESTATE, HeaderValue::from_static("a=1"))]);
        assert_eq!(tracer.published(malformed), Incoming::default());
        assert!(malformed.is_empty());
    }

    #[test]
    fn a_watched_span_that_takes_long_is_shown_once_before_it_ends() {
        let (at_once, spans) = tracer("always_on", Duration::ZERO);
        let begin = |tracer: &Tracer| Arc::new(tracer.begin(Start { kind: Kind::Consumer, parent: None }).unwrap());
        let (watched, other) = (begin(&at_once), begin(&at_once));
        watched.watch();
        watched.describe(|description| {
            description.name = "process".into();
            description.attributes.push(("faas.invoked_name", "cat".into()));
        });
        at_once.show_started();
        at_once.show_started();
        let sent: Vec<Finished> = spans.try_iter().collect();
        assert_eq!(sent.len(), 1, "one of them is shown, once");
        let started = &sent[0];
        let parent = Parent { span_id: watched.context().span_id, is_remote: false };
        assert_eq!((started.parent, started.kind, started.took), (Some(parent), Kind::Internal, Duration::ZERO));
        assert_eq!(started.description.name, "started process");
        assert!(started.description.attributes.contains(&("faas.invoked_name", "cat".into())));
        watched.describe(|description| description.attributes.push(("skep.outcome", "succeeded".into())));
        drop((watched, other));
        at_once.show_started();
        let ended = spans.try_iter().find(|span| span.description.name == "process").unwrap();
        let names = ended.description.attributes.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names, ["faas.invoked_name", "skep.outcome"]);
        let (later, spans) = tracer("always_on", HOUR);
        let span = begin(&later);
        span.watch();
        later.show_started();
        assert!(spans.try_recv().is_err(), "it has just begun");
        drop(span);
        let (unsampled, spans) = tracer("always_off", Duration::ZERO);
        let span = begin(&unsampled);
        span.watch();
        unsampled.show_started();
        assert!(spans.try_recv().is_ok_and(|started| started.is_tail), "it will be sent when it ends, too");
        drop(span);
    }

    #[test]
    fn only_the_span_that_begins_a_trace_can_be_decided_about() {
        let (never, spans) = tracer("parentbased_always_off", HOUR);
        let root = never.begin(Start { kind: Kind::Server, parent: None }).unwrap();
        root.decide(true);
        root.decide(false);
        let root = Arc::new(root);
        let child = root.child(Kind::Client);
        assert!(root.context().sampled && child.context().sampled);
        let unsampled = Context::root(TraceId::generate(), false);
        let remote = never.begin(Start { kind: Kind::Server, parent: Some(&unsampled) }).unwrap();
        remote.decide(true);
        assert!(!remote.context().sampled);
        drop((remote, child, root));
        assert_eq!(spans.try_iter().count(), 2);
    }
}
