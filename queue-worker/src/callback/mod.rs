//! Delivers the results of calls that asked for it to their callback URL.
//!
//! A record with a callback is the outbox entry: each delivery from the stream is one try, and a failed try returns it with a growing delay.
//! So a waiting callback holds nothing in the worker, and survives it.
//! [`guard`] says which addresses may be dialled, [`destinations`] isolates receivers, [`schedule`] decides what a failure means.

mod destinations;
mod guard;
mod inward;
mod own;
mod post;
mod schedule;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, header};
use skep_bus::{Delivery, NewDeadLetter};
use skep_dispatch::Registry;
use skep_protocol::{CallBody, CallRecord, CallState, CallStatus, CallbackTarget, CallbackTry, DeadKind, headers};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, warn};
use url::Url;

pub(crate) use self::destinations::Destinations;
use self::{
    destinations::Admission,
    guard::{Caller, Guard},
    own::Own,
    post::Post,
    schedule::{BACKOFF, Next, Refusal, next},
};
pub use self::{
    guard::{Allowance, AllowanceError},
    inward::{SubjectPattern, SubjectPatternError},
};
use crate::{Worker, WorkerConfig, dead_lettering::try_again, pull::Puller, spans};

/// Callbacks under way at once.
const WINDOW: usize = 128;
/// A receiver that has its share of callbacks gets the next one after at most this.
const MAX_TURN: Duration = Duration::from_secs(10);

/// Where callbacks may go beside public addresses, and where they never go.
#[derive(Clone, Debug, Default)]
pub struct CallbackRules {
    pub allow: Vec<Allowance>,
    /// The same for calls that came from this machine itself.
    pub local: Vec<Allowance>,
    /// What skep listens on, and NATS.
    pub own: Vec<SocketAddr>,
}

/// What the delivery of callbacks needs.
pub(crate) struct Callbacks {
    post: Post,
    destinations: Arc<Destinations>,
}

impl Callbacks {
    pub(crate) fn new(config: &WorkerConfig, registry: &Registry) -> reqwest::Result<Self> {
        let user_agent = format!("skep-queue-worker/{}", config.version);
        let CallbackRules { allow, local, own } = config.callback_rules.clone();
        let guard = Guard::new(allow, local, Own { listeners: own, registry: Some(registry.clone()) });
        let post = Post::new(user_agent, config.callback_timeout, guard)?;
        Ok(Self { post, destinations: Arc::default() })
    }
}

/// What became of one delivery.
enum Tried {
    Taken,
    Refused(Refusal),
    /// The receiver was not asked: it has enough, or is taken to be down.
    Untried {
        after: Duration,
        limit: Duration,
        reason: &'static str,
        /// The same for the metrics.
        label: &'static str,
    },
}

pub(crate) async fn run(worker: Arc<Worker>, tasks: TaskTracker) {
    let puller = Puller { queue: "callbacks", window: WINDOW, tasks, shutdown: worker.shutdown.clone() };
    let queue = worker.bus.queues.callbacks();
    puller
        .run(queue, |delivery| {
            let worker = Arc::clone(&worker);
            async move {
                let span = spans::callback(&delivery);
                delivery.hold(Box::pin(worker.deliver(&delivery))).instrument(span).await;
            }
        })
        .await;
}

impl Worker {
    async fn deliver(&self, delivery: &Delivery<CallRecord>) {
        let record = match &delivery.content {
            Ok(record) => record,
            Err(reason) => return self.dead_letter_unreadable(delivery, reason).await,
        };
        let Some(url) = &record.status.callback_url else {
            return delivery.ack().await;
        };
        if record.status.steps.is_some() && record.status.state != CallState::Succeeded {
            debug!("a step has failed, so the next one is not called");
            return delivery.ack().await;
        }
        let (next, label) = match self.try_once(delivery.delivered, record, url).await {
            Tried::Taken => {
                self.metrics.count_callback("delivered");
                self.metrics.count_callback_attempt("delivered", "");
                if delivery.delivered > 1 || delivery.was_redriven() {
                    self.keep_try(delivery, record, None, None).await;
                }
                debug!("callback delivered");
                return delivery.ack().await;
            }
            Tried::Refused(refusal) => {
                let limit = self.config.callback_max_age.min(self.last_moment(record));
                let label = refusal.label();
                (next(refusal, delivery.delivered, delivery.age(), limit, fastrand::f64()), label)
            }
            Tried::Untried { after, limit, reason, label } if delivery.age() + after < limit => {
                self.metrics.count_callback_attempt("put_off", label);
                debug!(reason, "callback waits for its receiver");
                return delivery.again_after(after).await;
            }
            Tried::Untried { reason, label, .. } => (Next::GiveUp { reason: reason.to_owned() }, label),
        };
        match next {
            Next::Again { after, reason } => {
                self.metrics.count_callback_attempt("again", label);
                warn!(reason, "callback failed; trying again");
                self.keep_try(delivery, record, Some(reason), Some(after)).await;
                delivery.again_after(after).await;
            }
            Next::GiveUp { reason } => {
                self.metrics.count_callback_attempt("dead", label);
                self.give_up(delivery, record, &reason).await;
            }
        }
    }

    async fn try_once(&self, tries: u64, record: &CallRecord, url: &Url) -> Tried {
        let result = match CallbackTarget::of(url, self.bus.connection.default_namespace()) {
            Ok(CallbackTarget::Web) => return self.try_web(tries, record, url).await,
            Ok(CallbackTarget::Function { name, path, query }) => {
                self.call_back_function(record, callback_headers(record), (name, path, query)).await
            }
            Ok(CallbackTarget::Subject(subject)) => {
                self.call_back_subject(record, &callback_headers(record), subject).await
            }
            Err(reason) => Err(Refusal::ForGood { reason }),
        };
        result.map_or_else(Tried::Refused, |()| Tried::Taken)
    }

    async fn try_web(&self, tries: u64, record: &CallRecord, url: &Url) -> Tried {
        let jitter = 0.75 + fastrand::f64() / 2.0;
        let ticket = match self.callbacks.destinations.admit(url).await {
            Admission::Go(ticket) => ticket,
            Admission::Down(rest) => {
                let limit = self.config.callback_max_age.min(self.last_moment(record));
                return Tried::Untried {
                    after: rest.mul_f64(jitter + 0.25),
                    limit,
                    reason: "the receiver does not answer",
                    label: "receiver_down",
                };
            }
            Admission::Busy => {
                let after = BACKOFF.after(tries).min(MAX_TURN).mul_f64(jitter);
                let (reason, label) = ("the receiver is too slow", "receiver_slow");
                return Tried::Untried { after, limit: self.last_moment(record), reason, label };
            }
        };
        let mut headers = callback_headers(record);
        let body = match self.signed(record, &mut headers).await {
            Ok(body) => body,
            Err(error) => return Tried::Refused(Refusal::for_now(error.chain())),
        };
        let span = spans::callback_try(&self.config.tracer, record.status.trace.as_ref(), url, tries);
        if let Some(span) = &span {
            span.context().write(&mut headers);
        }
        let caller = if record.has_local_caller() { Caller::OfThisMachine } else { Caller::Any };
        match self.callbacks.post.post(url, caller, headers, (body, record.body.length()), span.as_ref()).await {
            Ok(()) => {
                ticket.answered();
                Tried::Taken
            }
            Err(refusal) => {
                match &refusal {
                    Refusal::ForNow { .. } => ticket.failed(),
                    Refusal::ForGood { .. } => ticket.answered(),
                }
                Tried::Refused(refusal)
            }
        }
    }

    /// The body of a callback; its signature comes first, so a large one is read twice.
    async fn signed(&self, record: &CallRecord, headers: &mut HeaderMap) -> skep_bus::Result<reqwest::Body> {
        if let Some(keys) = &self.config.callback_keys {
            let mut signature = keys.begin(record.status.call_id.as_str(), skep_bus::now());
            match &record.body {
                CallBody::Whole(bytes) => signature.update(bytes),
                CallBody::Stored(stored) => {
                    let mut pieces = self.bus.bodies.open(stored).await?;
                    while let Some(piece) = pieces.try_next().await? {
                        signature.update(&piece);
                    }
                }
            }
            signature.end(headers);
        }
        match &record.body {
            CallBody::Whole(bytes) => Ok(bytes.clone().into()),
            CallBody::Stored(stored) => Ok(reqwest::Body::wrap_stream(self.bus.bodies.open(stored).await?)),
        }
    }

    /// Until then a callback must have become a dead letter, because its record goes soon after.
    fn last_moment(&self, record: &CallRecord) -> Duration {
        let CallStatus { kept_until, finished_at, .. } = &record.status;
        let kept_for = kept_until.zip(*finished_at).and_then(|(until, finished)| (until - finished).try_into().ok());
        kept_for.unwrap_or(Duration::MAX).min(self.config.keep_records).mul_f64(0.75)
    }

    /// Stores the try for the timeline of the call. Nothing depends on it, and a callback that is taken at once costs no write.
    async fn keep_try(
        &self,
        delivery: &Delivery<CallRecord>,
        record: &CallRecord,
        reason: Option<String>,
        again_after: Option<Duration>,
    ) {
        let at = skep_bus::now();
        let next_at = again_after.map(|after| at + after);
        let one = CallbackTry { number: delivery.delivered, at, reason, next_at };
        if let Err(error) = self.bus.outcomes.store_callback_try(&record.status, &one).await {
            debug!(error = error.chain(), "a try of a callback could not be stored");
        }
    }

    /// The record stays; the callback that could not be delivered is kept as a dead letter.
    async fn give_up(&self, delivery: &Delivery<CallRecord>, record: &CallRecord, reason: &str) {
        self.keep_try(delivery, record, Some(reason.to_owned()), None).await;
        let reason = format!("the callback could not be delivered: {reason}");
        let letter = NewDeadLetter {
            kind: DeadKind::Callback,
            function: &record.status.function,
            call_id: &record.status.call_id,
            reason: &reason,
            attempts: record.status.attempts,
            last_status: record.status.status,
            last_answer: &[],
            headers: &delivery.headers,
            payload: &delivery.payload,
        };
        if let Err(error) = self.bus.outcomes.store_dead_letter(letter).await {
            warn!(error = error.chain(), "a dead letter cannot be stored; trying again");
            return delivery.again_after(try_again(&error)).await;
        }
        if let Err(error) = self.report_undelivered(delivery, record, &reason).await {
            return delivery.again_after(try_again(&error)).await;
        }
        warn!(reason, "callback became a dead letter");
        self.metrics.count_callback("dead");
        let function = self.deployed(&record.status.function);
        self.metrics.count_dead(function.as_ref().map(|function| &function.name), DeadKind::Callback);
        delivery.ack().await;
    }
}

fn callback_headers(record: &CallRecord) -> HeaderMap {
    let mut map = record.callback_headers();
    if record.status.reason.is_some() {
        let code = match record.status.state {
            CallState::Dead => "dead",
            CallState::Cancelled => "cancelled",
            _ if record.body.length() == 0 => "no_result",
            _ => "incomplete_result",
        };
        map.insert(headers::SKEP_ERROR, HeaderValue::from_static(code));
    }
    // What the function answered, or the caller wanted back, is not for this.
    skep_trace::remove(&mut map);
    if let Some(trace) = &record.status.trace {
        trace.write(&mut map);
    }
    // Said even when it is 0, for many receivers read nothing without it.
    map.insert(header::CONTENT_LENGTH, HeaderValue::from(record.body.length()));
    map
}
