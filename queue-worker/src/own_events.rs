//! The worker's events about skep itself: a call that died, and a callback that was given up.

use std::sync::Arc;

use prometheus::Registry;
use skep_bus::{Delivery, NatsHeaders, QueueWorkerBus, Result, is_of_own_event};
use skep_dispatch::Registry as Functions;
use skep_own_events::{OwnEventMetrics, OwnEvents};
use skep_protocol::{CallRecord, CallStatus};
use skep_sources::Fact;
use skep_trace::Tracer;

use crate::Worker;

pub(crate) fn new(
    bus: &QueueWorkerBus,
    functions: Functions,
    metrics: &Registry,
    tracer: Tracer,
) -> prometheus::Result<OwnEvents> {
    let namespace = bus.connection.default_namespace().clone();
    let metrics = OwnEventMetrics::register("queue_worker", metrics)?;
    let subscribers = Box::new(move |topics: &[String]| functions.subscribed(topics));
    let own_events = OwnEvents::new(bus.events.clone(), bus.sources.clone(), namespace, metrics, subscribers);
    Ok(own_events.traced(tracer))
}

/// Follows the sources until the last call has ended.
pub(crate) async fn follow(worker: Arc<Worker>) {
    worker.own_events.follow(&worker.gone).await;
}

impl Worker {
    /// Tells that a call died, unless such an event made the call: its end would make the next one.
    pub(crate) async fn report_dead(&self, status: &CallStatus, headers: &NatsHeaders, reason: &str) -> Result<()> {
        if is_of_own_event(headers) {
            return Ok(());
        }
        let fact = Fact::Dead {
            call_id: status.call_id.clone(),
            function: status.function.clone(),
            reason: reason.to_owned(),
            attempts: status.attempts,
            last_status: status.status,
            begun_at: status.run_at.unwrap_or(status.accepted_at),
            trace: status.trace.clone(),
        };
        Box::pin(self.own_events.publish(&fact)).await.map(drop)
    }

    /// Tells that a callback was given up, unless such an event made its call.
    pub(crate) async fn report_undelivered(
        &self,
        delivery: &Delivery<CallRecord>,
        record: &CallRecord,
        reason: &str,
    ) -> Result<()> {
        if record.is_of_own_event() {
            return Ok(());
        }
        let fact = Fact::Undelivered {
            call_id: record.status.call_id.clone(),
            function: record.status.function.clone(),
            reason: reason.to_owned(),
            begun_at: delivery.stored_at(),
            trace: record.status.trace.clone(),
        };
        Box::pin(self.own_events.publish(&fact)).await.map(drop)
    }
}
