//! Spans that have not ended and may last for long.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use crate::{Span, SpanId};

#[derive(Default)]
pub(crate) struct Live(Mutex<HashMap<SpanId, (Instant, Weak<Span>)>>);

impl Live {
    pub(crate) fn add(&self, span: &Arc<Span>, started: Instant) {
        self.spans().insert(span.context().span_id, (started, Arc::downgrade(span)));
    }

    pub(crate) fn remove(&self, id: SpanId) {
        self.spans().remove(&id);
    }

    /// Takes out those that have lasted for this long.
    pub(crate) fn lasting(&self, long: Duration) -> Vec<Arc<Span>> {
        let mut found = Vec::new();
        self.spans().retain(|_, (started, span)| {
            let is_young = started.elapsed() < long;
            if !is_young {
                // One that is dropped here would wait for this lock, so all are kept.
                found.extend(span.upgrade());
            }
            is_young
        });
        found
    }

    fn spans(&self) -> MutexGuard<'_, HashMap<SpanId, (Instant, Weak<Span>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
