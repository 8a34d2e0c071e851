//! Takes events further: each route that an event was given becomes one call. Nothing is decided here.
//!
//! The ids of these calls follow from the event, so an event that is routed twice makes each call once.
//!
//! A call that can begin at once runs straight from its event; all others are queued.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use skep_bus::{Delivery, Error};
use skep_protocol::{Call, Event, EventRoute, check_hops};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, warn};

use crate::{
    Worker,
    dead_lettering::{try_again, without_answer},
    pull::Puller,
    spans,
};

/// Events at once, more than those whose calls run straight from them.
const WINDOW: usize = 512;
/// The calls of an event that was delivered more often are queued.
const MAX_DIRECT_DELIVERIES: u64 = 20;
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// An event that a newer skep has stored waits for a worker that can read it.
const UNREADABLE_RETRY_DELAY: Duration = Duration::from_secs(300);

pub(crate) async fn run(worker: Arc<Worker>, tasks: TaskTracker) {
    let puller = Puller { queue: "route", window: WINDOW, tasks, shutdown: worker.shutdown.clone() };
    let queue = worker.bus.queues.events();
    puller
        .run(queue, |delivery| {
            let worker = Arc::clone(&worker);
            async move { Box::pin(delivery.hold(worker.route(&delivery))).await }
        })
        .await;
}

impl Worker {
    async fn route(self: Arc<Self>, delivery: &Delivery<Event>) {
        let event = match &delivery.content {
            Ok(event) => event,
            Err(reason) => {
                warn!(reason, subject = delivery.subject, "an event cannot be read; it is looked at again later");
                return delivery.again_after(UNREADABLE_RETRY_DELAY).await;
            }
        };
        if let Err(reason) = check_hops(event.hops()) {
            return self.end_loop(delivery, event, &reason).await;
        }
        // A paused event waits for a replay, and the calls of a schedule were planned.
        let routes = if event.decision.paused || event.occurrence.is_some() { &[][..] } else { &event.decision.routes };
        // What is delivered again counts as interrupted after a while; in its lane, only the call's own deliveries count.
        let may_be_direct = event.decision.is_routed_only && delivery.delivered < MAX_DIRECT_DELIVERIES;
        let direct = if may_be_direct { self.direct.admit().await } else { None };
        let age = delivery.age();
        let take = |route| Box::pin(self.take_route(delivery, event, route, direct.is_some()));
        let routed = join_all(routes.iter().map(take)).await;
        match routed.into_iter().find_map(Result::err) {
            None => {
                self.metrics.count_routed(
                    event.source.as_str(),
                    routes,
                    if direct.is_some() { age } else { delivery.age() },
                );
                delivery.ack().await;
            }
            Some(error) => {
                warn!(error = error.chain(), source = %event.source, event = %event.id, "an event cannot be routed; trying again");
                let delay = if error.may_pass() { RETRY_DELAY } else { try_again(&error) };
                delivery.again_after(delay).await;
            }
        }
    }

    /// Keeps the calls of an event as dead letters, because functions trigger each other.
    async fn end_loop(&self, delivery: &Delivery<Event>, event: &Event, reason: &str) {
        warn!(source = %event.source, event = %event.id, reason, "the calls of an event become dead letters");
        for route in &event.decision.routes {
            // A callback would go on with the loop.
            let call = Call { callback: None, steps: None, ..event.call(route, None, skep_bus::now()) };
            if let Err(error) = self.dead_letter_once(&call, reason).await {
                let delay = if error.may_pass() { RETRY_DELAY } else { try_again(&error) };
                return delivery.again_after(delay).await;
            }
        }
        delivery.ack().await;
    }

    /// Runs the call of a route, or queues it, or keeps it as a dead letter that says why it cannot be queued.
    async fn take_route(
        self: &Arc<Self>,
        delivery: &Delivery<Event>,
        event: &Event,
        route: &EventRoute,
        may_be_direct: bool,
    ) -> skep_bus::Result<()> {
        let mut call = event.call(route, None, skep_bus::now());
        let mut publishing = spans::publish_within(self, event.trace.as_ref(), &mut call);
        let span = spans::queueing(&call);
        if let Some(debounce) = &route.debounce {
            return Box::pin(self.take_debounced(event, debounce, call)).instrument(span).await;
        }
        let is_direct = may_be_direct && self.may_run_directly(&call);
        if is_direct {
            drop(publishing.take());
            if self.run_directly(delivery, &call).await {
                return Ok(());
            }
            // It may have been begun, so the worker that gets it from its lane asks the others and looks first.
            call.interruptions = 1;
        }
        // Held, because another worker that this event is delivered to as well asks about it.
        let mut held = self.held.hold(&call.call_id);
        if delivery.may_be_repeated
            && (held.doubt() || self.holders.has_another(&call.call_id).await? || !held.settle())
        {
            return Err(Error::unavailable(format!("another queue-worker has call {}", call.call_id)));
        }
        let is_first = !is_direct && !delivery.may_be_repeated && event.decision.is_routed_only;
        self.queue(call, is_first).instrument(span).await
    }

    /// Queues a call; `is_first` says that it was not queued before.
    pub(crate) async fn queue(&self, call: Call, is_first: bool) -> skep_bus::Result<()> {
        if self.dispatch.registry().get(&call.function).is_none() {
            let reason = format!("function {} is not deployed", call.function);
            return self.dead_letter_once(&call, &reason).await;
        }
        match self.bus.calls.submit_derived(&call, is_first).await {
            Ok(_) => Ok(()),
            Err(error) if error.may_pass() => Err(error),
            Err(Error::IdInUse(id)) => {
                // A caller has chosen this id; the record of that call is not ours.
                let call = Call { call_id: id.derived("taken"), ..call };
                self.dead_letter_once(&call, "a caller has used the id of this call for another one").await
            }
            Err(error) => self.dead_letter_once(&call, &error.chain()).await,
        }
    }

    /// Makes a dead letter of a call that was not queued before.
    async fn dead_letter_once(&self, call: &Call, reason: &str) -> skep_bus::Result<()> {
        if self.bus.calls.status(&call.call_id).await?.is_some() {
            return Ok(());
        }
        let record = without_answer(call.status(), call.returned_headers());
        let (headers, body) = self.bus.calls.message_of(call);
        self.store_dead_letter(record, reason, &headers, &body).await
    }
}
