//! Spans: they are described when they end, and only if somebody is to see them.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::{
    Attributes, Context, SpanId, TraceId,
    kept::{Data, Held, State},
    tracer::Export,
};

/// What a span is to the spans around it, as OpenTelemetry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Within a process.
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

/// The parent of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub span_id: SpanId,
    /// Whether another process has made it.
    pub is_remote: bool,
}

/// Something that happened while a span lasted.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    pub name: &'static str,
    pub at: SystemTime,
    pub attributes: Attributes,
}

/// What a span has besides its place in the trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    pub name: Cow<'static, str>,
    pub attributes: Attributes,
    pub marks: Vec<Mark>,
    /// Contexts of other traces that it has to do with.
    pub links: Vec<Context>,
    /// Why it failed, if it did.
    pub error: Option<Cow<'static, str>>,
}

impl Description {
    /// Notes that it is sent although its trace is not sampled.
    pub(crate) fn add_tail(&mut self) {
        self.attributes.push(("skep.sampled", "tail".into()));
    }
}

/// A span that has ended, for a [`Sink`](crate::Sink).
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub context: Context,
    pub parent: Option<Parent>,
    pub kind: Kind,
    pub started_at: SystemTime,
    pub took: Duration,
    /// Its trace is not sampled, and it is sent because it failed or took long.
    pub is_tail: bool,
    pub description: Description,
}

/// A span that has not ended; it ends when it is dropped.
///
/// If its trace is not sampled it goes nowhere, unless it [failed](Self::fail) or took long. Its own children of this process share its fate.
pub struct Span {
    export: Arc<Export>,
    data: Data,
    /// Its context in place of the one it began with, if something else decided about sampling.
    decided: OnceLock<Context>,
    started: Instant,
    /// When it ended, if that is known before it is dropped.
    ended: Option<Instant>,
    /// The span of this process that it is a child of, which ends later.
    holder: Option<Arc<Span>>,
    /// Whether [`Live`](crate::live::Live) has it.
    is_watched: AtomicBool,
    state: Mutex<State>,
}

impl Span {
    pub(crate) fn new(
        export: Arc<Export>,
        context: Context,
        parent: Option<Parent>,
        kind: Kind,
        (started_at, started): (SystemTime, Instant),
    ) -> Self {
        let data = Data { context, parent, kind, started_at };
        Self {
            export,
            data,
            decided: OnceLock::new(),
            started,
            ended: None,
            holder: None,
            is_watched: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Begins a span of the same process within this one.
    pub fn child(self: &Arc<Self>, kind: Kind) -> Self {
        self.child_from(kind, Instant::now())
    }

    /// The same of what began at this time.
    pub fn child_from(self: &Arc<Self>, kind: Kind, now: Instant) -> Self {
        let context = self.context().child(self.context().sampled);
        let parent = Some(Parent { span_id: self.context().span_id, is_remote: false });
        // By one clock within a process, which also costs less.
        let started = (self.data.started_at + now.duration_since(self.started), now);
        let mut child = Self::new(Arc::clone(&self.export), context, parent, kind, started);
        child.holder = Some(Arc::clone(self));
        child
    }

    /// Its place in the trace, which goes to what it asks for something.
    pub fn context(&self) -> &Context {
        self.decided.get().unwrap_or(&self.data.context)
    }

    /// Decides whether its trace is sampled, if it begins the trace; the first decision stays. It comes before anything gets its context.
    pub fn decide(&self, sampled: bool) {
        if self.data.parent.is_none() && self.data.context.sampled != sampled {
            let _ = self.decided.set(self.data.context.clone().with_sampled(sampled));
        }
    }

    /// Has [`Tracer::show_started`](crate::Tracer::show_started) show it before it ends, if it takes long.
    pub fn watch(self: &Arc<Self>) {
        self.is_watched.store(true, Ordering::Relaxed);
        self.export.live.add(self, self.started);
    }

    /// The id of its trace, if that is sampled.
    pub fn sampled_trace(&self) -> Option<TraceId> {
        Some(self.context()).filter(|context| context.sampled).map(|context| context.trace_id)
    }

    /// The span of this process that it is a child of.
    pub fn holder(&self) -> Option<&Arc<Self>> {
        self.holder.as_ref()
    }

    /// Adds attributes, which are made only if it is sent.
    pub fn describe(&self, describe: impl FnOnce(&mut Description) + Send + 'static) {
        self.state().telling.describe.push(Box::new(describe));
    }

    /// Notes what was answered; the first note stays. A status of 500 or more means that it failed.
    pub fn answered(&self, status: u16, error: Option<Cow<'static, str>>) {
        let mut state = self.state();
        state.failed |= status >= 500;
        state.answer.get_or_insert((status, error));
    }

    /// Ends it at this time, and not when it is dropped.
    pub fn end_at(&mut self, now: Instant) {
        self.ended = Some(now);
    }

    /// Notes that it failed, so that it is sent in any case.
    pub fn fail(&self) {
        self.state().failed = true;
    }

    /// Sends a span without a length below this one, which says what is known of it so far. So it is seen that something goes on, and where.
    pub(crate) fn show_started(&self) {
        let mut description = Description::default();
        {
            let mut state = self.state();
            let so_far = state.telling.so_far();
            description.name = format!("started {}", so_far.name).into();
            description.attributes.clone_from(&so_far.attributes);
        }
        description.attributes.push(("skep.running.seconds", self.started.elapsed().into()));
        let is_tail = !self.context().sampled;
        if is_tail {
            description.add_tail();
        }
        self.export.send(Finished {
            context: self.context().child(self.context().sampled),
            parent: Some(Parent { span_id: self.context().span_id, is_remote: false }),
            kind: Kind::Internal,
            started_at: self.data.started_at,
            took: Duration::ZERO,
            is_tail,
            description,
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for the only one who has it.
    fn own_state(&mut self) -> &mut State {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is sent although its trace is not sampled.
    fn is_tail(&mut self, took: Duration) -> bool {
        took >= self.export.slow || self.own_state().failed
    }

    /// Whether it, or what holds it, may still be.
    fn may_be_tail(&mut self, now: Instant) -> bool {
        self.holder.is_some() || self.is_tail(now.saturating_duration_since(self.started))
    }

    /// What is sent of it, and of its children that are kept.
    fn take(&mut self, took: Duration) -> (Held, Vec<Held>) {
        let data = Data { context: self.context().clone(), ..self.data };
        let state = std::mem::take(self.own_state());
        (Held { data, took, telling: state.telling, answer: state.answer }, state.held)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let now = self.ended.unwrap_or_else(Instant::now);
        if self.is_watched.load(Ordering::Relaxed) {
            self.export.live.remove(self.context().span_id);
        }
        let took = now.saturating_duration_since(self.started);
        let mut holder = self.holder.take().map(Arc::try_unwrap);
        let is_sampled = self.context().sampled;
        if let Some(Ok(alone)) = &mut holder {
            // This was the last thing that it waited for, as in most cases, so both end now.
            alone.ended = Some(now);
            if !is_sampled && !alone.may_be_tail(now) {
                return;
            }
        }
        if is_sampled {
            let (own, _) = self.take(took);
            self.export.send(own.finish(false));
            return;
        }
        match holder {
            Some(Ok(mut alone)) => alone.own_state().hold(self.take(took)),
            Some(Err(shared)) => shared.state().hold(self.take(took)),
            None if self.is_tail(took) => {
                let (own, children) = self.take(took);
                children.into_iter().chain([own]).for_each(|held| self.export.send(held.finish(true)));
            }
            None => {}
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Span").field(self.context()).finish()
    }
}
