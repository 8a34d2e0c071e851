//! Submits what other services published: each message becomes an accepted call, or a dead letter that says why not.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use skep_bus::{Delivery, NatsHeaders, Published};
use skep_protocol::{CallId, CallStatus, FunctionName, check_hops, parse_callback, returned_headers};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, warn};
use url::Url;

use crate::{Worker, dead_lettering::without_answer, pull::Puller, spans};

const WINDOW: usize = 256;
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// How often published work is searched for messages that no worker can read.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

pub(crate) async fn run(worker: Arc<Worker>, tasks: TaskTracker) {
    let puller = Puller { queue: "publish", window: WINDOW, tasks, shutdown: worker.shutdown.clone() };
    let queue = worker.bus.inbound.published();
    puller
        .run(queue, |delivery| {
            let worker = Arc::clone(&worker);
            async move { Box::pin(delivery.hold(worker.submit_published(&delivery))).await }
        })
        .await;
}

/// Dead-letters published messages that never reach the loop above because the NATS client cannot read their headers.
pub(crate) async fn dead_letter_unreadable(worker: Arc<Worker>) {
    let mut connections = worker.bus.inbound.outside_connections();
    loop {
        let reconnected = tokio::select! {
            () = worker.shutdown.cancelled() => return,
            // The sender lives as long as the bus does.
            _ = connections.changed() => true,
            () = tokio::time::sleep(CHECK_INTERVAL) => false,
        };
        if let Err(error) = worker.dead_letter_unreadable_publishes(reconnected).await {
            debug!(error = error.chain(), "published work cannot be searched; trying again");
        }
    }
}

impl Worker {
    async fn dead_letter_unreadable_publishes(&self, always: bool) -> skep_bus::Result<()> {
        for message in self.bus.inbound.unreadable(always).await? {
            let status = CallStatus::accepted(message.call_id.clone(), &message.function, skep_bus::now());
            let record = without_answer(status, HeaderMap::new());
            self.store_dead_letter(record, message.reason, &NatsHeaders::new(), &message.payload).await?;
            self.bus.inbound.remove_unreadable(&message).await?;
        }
        Ok(())
    }

    async fn submit_published(self: Arc<Self>, delivery: &Delivery<Published>) {
        let derived = delivery.derived_id().unwrap_or_else(CallId::generate);
        let published = match &delivery.content {
            Ok(published) => published,
            Err(reason) => {
                let status = CallStatus::accepted(derived, delivery.function(), skep_bus::now());
                let reason = format!("the message cannot be read: {reason}");
                return self.dead_letter(delivery, without_answer(status, HeaderMap::new()), &reason).await;
            }
        };
        let (function, call_id, callback) = match self.judge(published, &derived) {
            Ok(judged) => judged,
            Err(reason) => return self.reject(delivery, published, derived, &reason).await,
        };
        let mut call = delivery.invocation(&self.bus.calls, published, function, call_id, callback);
        let incoming = self.config.tracer.published(&mut call.headers);
        let _publishing = spans::publish(&self, &incoming, &mut call);
        let span = spans::queueing(&call);
        match self.bus.calls.submit(&call).instrument(span.clone()).await {
            Ok(_) => delivery.ack().await,
            Err(error) if !error.may_pass() => {
                self.reject(delivery, published, derived, &error.to_string()).await;
            }
            Err(error) => {
                span.in_scope(|| {
                    warn!(error = error.chain(), "published work cannot be submitted; trying again");
                });
                delivery.again_after(RETRY_DELAY).await;
            }
        }
    }

    /// Makes a dead letter of what cannot become a call, and calls back the URL that the publisher named.
    async fn reject(&self, delivery: &Delivery<Published>, published: &Published, derived: CallId, reason: &str) {
        match self.free_id(published, derived).await {
            Ok(call_id) => {
                let namespace = self.bus.connection.default_namespace();
                let callback = published.callback.as_deref().and_then(|url| parse_callback(url, namespace).ok());
                // A callback would go on with a loop.
                let hops = published.hops.map_or(0, |hops| hops.saturating_add(1));
                let callback = callback.filter(|_| check_hops(hops).is_ok());
                let returned = callback.as_ref().map(|_| returned_headers(&published.headers)).unwrap_or_default();
                let status = CallStatus {
                    callback_url: callback,
                    callback_authorized: true,
                    ..CallStatus::accepted(call_id, &published.function, skep_bus::now())
                };
                self.dead_letter(delivery, without_answer(status, returned), reason).await;
            }
            Err(error) => {
                warn!(error = error.chain(), "published work cannot be checked; trying again");
                delivery.again_after(RETRY_DELAY).await;
            }
        }
    }

    /// The publisher's own id unless a call has it: the record of that call must stay free for its result.
    async fn free_id(&self, published: &Published, derived: CallId) -> skep_bus::Result<CallId> {
        let Some(id) = published.callers_id.as_deref().and_then(|id| id.parse().ok()) else { return Ok(derived) };
        let is_free = match self.bus.calls.status(&id).await {
            Ok(known) => known.is_none(),
            Err(error) if error.may_pass() => return Err(error),
            Err(_) => false,
        };
        Ok(if is_free { id } else { derived })
    }

    fn judge(&self, published: &Published, derived: &CallId) -> Result<(FunctionName, CallId, Option<Url>), String> {
        let namespace = self.bus.connection.default_namespace();
        let function = namespace.function_of_token(&published.function);
        let function = function.map_err(|error| error.to_string())?;
        if self.dispatch.registry().get(&function).is_none() {
            return Err(format!("function {function} is not deployed"));
        }
        let call_id = match &published.callers_id {
            Some(id) => id.parse().map_err(|error| format!("X-Call-Id: {error}"))?,
            None => derived.clone(),
        };
        published.run_at.clone()?;
        check_hops(published.hops.map_or(0, |hops| hops.saturating_add(1)))?;
        let callback = published.callback.as_deref().map(|url| parse_callback(url, namespace)).transpose()?;
        Ok((function, call_id, callback))
    }
}
