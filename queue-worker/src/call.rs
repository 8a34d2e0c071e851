//! One delivery of a call, from its slot to its ack.
//!
//! There may be thousands of these futures at a time, and most calls succeed, so what is rare and large in them is boxed.

use std::{borrow::Cow, pin::pin, sync::Arc, time::Duration};

use http::HeaderMap;
use skep_backoff::Backoff;
use skep_bus::{Delivery, Error, Location, Place, Submitted, life::NextStep};
use skep_dispatch::Function;
use skep_protocol::{Call, CallRecord, CallState, CallStatus, RETRY_MAX_AGE, RetryPolicy, format_duration};
use tokio::time::sleep;
use tracing::{Instrument, info, warn};

use crate::{
    Worker,
    attempt::{Answer, Attempt, Outcome},
    backlog::OverflowReason,
    dead_lettering::without_answer,
    decision::{Circumstances, Decision, decide, is_too_old},
    held::HeldCall,
    slots::Slot,
    spans,
    verdict::{Verdict, verdict},
};

/// How long to wait for a function at zero to wake, before waiting for a slot.
const WAKE_TIMEOUT: Duration = Duration::from_secs(1);
/// A call in a lane waits this long for a slot before it overflows, so that a stuck function does not fill the lane.
const LANE_SLOT_TIMEOUT: Duration = Duration::from_millis(250);
/// A call in a backlog waits as long as it takes, and is checked again after this.
const BACKLOG_SLOT_TIMEOUT: Duration = Duration::from_secs(10);
/// When what exists nowhere else is stored again.
const STORE: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

impl Worker {
    /// Handles a delivery. It ends in exactly one ack, or is given back.
    pub(crate) async fn run_delivery(self: Arc<Self>, delivery: Delivery<Call>) {
        let call = match &delivery.content {
            Ok(call) => call,
            Err(reason) => {
                let reason = format!("the message cannot be read: {reason}");
                return self.dead_letter_unreadable(&delivery, &reason).await;
            }
        };
        let mut held = self.held.hold(&call.call_id);
        let cancelled = held.cancelled.clone();
        // Pinned here, because each function that takes a future by value reserves room for it again.
        let run = pin!(self.run_call(&delivery, call, &mut held));
        let span = spans::delivery(call);
        tokio::select! {
            () = self.hold(&delivery, call, run).instrument(span.clone()) => {}
            // Its record is written already; the running attempt ends with the request that is dropped.
            () = cancelled.cancelled() => {
                span.in_scope(|| info!("a call was cancelled"));
                delivery.ack().await;
            }
        }
    }

    /// A call in a backlog does not pin a lane, however long it takes.
    async fn hold(&self, delivery: &Delivery<Call>, call: &Call, work: impl Future<Output = ()>) {
        if delivery.place == Place::Backlog {
            delivery.hold(work).await;
        } else {
            delivery.hold_call(&self.bus.queues, call, self.config.long_after, work).await;
        }
    }

    async fn run_call(self: &Arc<Self>, delivery: &Delivery<Call>, call: &Call, held: &mut HeldCall<'_>) {
        let mut connections = self.bus.connection.connections();
        let is_in_doubt = delivery.may_be_held_elsewhere(call);
        if !self.is_to_be_run(delivery, call, held, is_in_doubt).await {
            return;
        }
        let (number, mut busy, mut span) = (call.attempts() + 1, 0, None);
        loop {
            let Some((function, slot)) = self.slot(delivery, call).await else { return };
            if self.bus.connection.connections() != connections || !self.bus.connection.is_connected() {
                // It may have been given to another worker, ended or been cancelled while this worker was not connected.
                drop(slot);
                delivery.pause();
                connections = self.bus.connection.connections();
                if !self.is_to_be_run(delivery, call, held, true).await {
                    return;
                }
                continue;
            }
            delivery.begin();
            let policy = &*retry_policy(&function, call);
            // An attempt that waits for a free replica has one span.
            span = span.or_else(|| spans::process(&self.config.tracer, delivery, call, number));
            let attempt = Attempt::begin(number, policy.attempts).traced(span.clone());
            let outcome = self.attempt(&function, call, &attempt).await;
            drop(slot);
            busy += u32::from(matches!(outcome, Outcome::Busy));
            let age = call.age(skep_bus::now());
            let circumstances = Circumstances { attempt: number, busy, age, random: fastrand::f64() };
            let decision = decide(outcome.ended(), circumstances, policy);
            attempt.decided(&decision, &outcome);
            match decision {
                Decision::Done => return self.finish(delivery, call, &attempt, outcome).await,
                Decision::Dead(reason) => {
                    let record = attempt.record(call, CallState::Dead, outcome.into_answer());
                    return Box::pin(self.dead_letter(delivery, record, &reason)).await;
                }
                Decision::RetryAfter(wait) => {
                    Box::pin(self.retry(delivery, call, &attempt, &outcome, wait)).await;
                    // The next attempt has an answer of its own.
                    if let Some(body) = outcome.into_answer().as_ref().and_then(|answer| answer.body.stored()) {
                        self.bus.bodies.discard(&body.key);
                    }
                    return;
                }
                Decision::WaitFor(wait) => tokio::select! {
                    () = sleep(wait) => {}
                    () = self.shutdown.cancelled() => return delivery.give_back(&self.bus.queues, call, wait).await,
                },
            }
        }
    }

    /// The function and a slot of it; `None` if the delivery was ended instead.
    async fn slot(self: &Arc<Self>, delivery: &Delivery<Call>, call: &Call) -> Option<(Arc<Function>, Slot)> {
        loop {
            let Some(function) = self.dispatch.registry().get(&call.function) else {
                let reason = format!("function {} is not deployed", call.function);
                self.dead_letter_call(delivery, call, &reason).await;
                return None;
            };
            let policy = &*retry_policy(&function, call);
            if is_too_old(call.age(skep_bus::now()), policy) {
                let max_age = format_duration(policy.max_age.unwrap_or_default());
                let reason = format!("it waited longer than {max_age}, its {RETRY_MAX_AGE}");
                self.dead_letter_call(delivery, call, &reason).await;
                return None;
            }
            let in_lane = delivery.place != Place::Backlog;
            if in_lane && self.should_overflow(&function, delivery.place) {
                Box::pin(self.overflow(delivery, call, OverflowReason::Congested)).await;
                return None;
            }
            let patience = if in_lane { LANE_SLOT_TIMEOUT } else { BACKLOG_SLOT_TIMEOUT };
            let slot = tokio::select! {
                slot = self.slots.acquire(&function, self.dispatch.wake(&function, WAKE_TIMEOUT), patience) => slot,
                () = self.shutdown.cancelled() => {
                    delivery.give_back(&self.bus.queues, call, Duration::ZERO).await;
                    return None;
                }
            };
            match slot {
                // The slot may be one of a replica that came while we waited.
                Some(slot) => return Some((self.dispatch.registry().get(&function.name).unwrap_or(function), slot)),
                None if in_lane => {
                    Box::pin(self.overflow(delivery, call, OverflowReason::NoSlot)).await;
                    return None;
                }
                None => {}
            }
        }
    }

    /// Whether a call should leave its lane at once, because others of its function wait elsewhere, or too many of them wait here.
    pub(crate) fn should_overflow(&self, function: &Function, place: Place) -> bool {
        let is_congested = place == Place::Lane && self.slots.is_congested(function);
        is_congested || self.backlogs.is_backlogged(&function.name, place)
    }

    /// Whether this delivery is the one that is to run the call; if not, it is ended.
    async fn is_to_be_run(
        &self,
        delivery: &Delivery<Call>,
        call: &Call,
        held: &mut HeldCall<'_>,
        is_in_doubt: bool,
    ) -> bool {
        let found = self.next_step(delivery, call, held, is_in_doubt).await;
        if let Err(error) = &found {
            warn!(error = error.chain(), "the record of this call cannot be looked up");
        }
        match verdict(&found, delivery.delivered, delivery.interruptions(call)) {
            Verdict::Run => return true,
            Verdict::Acknowledge => delivery.ack().await,
            Verdict::Again(delay) => delivery.again_after(delay).await,
            Verdict::GiveBack(delay) => delivery.give_back(&self.bus.queues, call, delay).await,
            Verdict::Dead(reason) => self.dead_letter_call(delivery, call, &reason).await,
        }
        false
    }

    /// What is to become of a delivery; `None` if another delivery of its call is held, here or by another worker.
    async fn next_step(
        &self,
        delivery: &Delivery<Call>,
        call: &Call,
        held: &mut HeldCall<'_>,
        is_in_doubt: bool,
    ) -> skep_bus::Result<Option<NextStep>> {
        if !is_in_doubt {
            return self.bus.queues.next_step(delivery, call, false).await.map(Some);
        }
        if held.doubt() || self.holders.has_another(&call.call_id).await? {
            return Ok(None);
        }
        let step = self.bus.queues.next_step(delivery, call, true).await?;
        Ok(Some(step).filter(|step| *step != NextStep::Run || held.settle()))
    }

    /// Parks the next attempt, so that it holds no slot while it waits.
    async fn retry(
        &self,
        delivery: &Delivery<Call>,
        call: &Call,
        attempt: &Attempt,
        outcome: &Outcome,
        wait: Duration,
    ) {
        let last_attempt = Some(attempt.before(call, outcome, wait));
        let trace = call.trace.clone().or_else(|| attempt.trace(call));
        let next = Call { last_attempt, trace, interruptions: 0, ..call.clone() };
        let mut delays = STORE.delays();
        loop {
            match self.bus.queues.relocate(&next, Location::until_due(&next)).await {
                Ok(_) => break,
                Err(error) if !error.may_pass() => {
                    let record = attempt.record(call, CallState::Dead, None);
                    let reason =
                        format!("{}, and the next attempt cannot be stored: {}", outcome.reason(), error.chain());
                    return self.dead_letter(delivery, record, &reason).await;
                }
                Err(error) => {
                    warn!(error = error.chain(), "the next attempt cannot be stored; trying again");
                }
            }
            sleep(delays.next_delay()).await;
        }
        self.metrics.of(&call.function).count_retry();
        delivery.ack().await;
        // Until it is gone, the next attempt would find its subject in the lane taken; the move to the lane handles that, too.
        if let Err(error) = delivery.leave_lane(&self.bus.queues).await {
            info!(error = error.chain(), "a finished attempt could not be removed from its lane yet");
        }
    }

    async fn finish(&self, delivery: &Delivery<Call>, call: &Call, attempt: &Attempt, outcome: Outcome) {
        let answer = outcome.into_answer();
        let mut record = attempt.record(call, end_of(answer.as_ref()), answer);
        self.keep(&mut record);
        let stored = self.store_record(&record).await;
        self.metrics.of(&call.function).count_end(record.status.state);
        delivery.ack().await;
        // The worker that recorded another end may have kept the body for a dead letter.
        if let (Submitted::Accepted, Some(body)) = (stored, call.body.stored()) {
            self.bus.bodies.discard(&body.key);
        }
    }

    /// The function that a record names, if it is deployed.
    pub(crate) fn deployed(&self, name: &str) -> Option<Arc<Function>> {
        let name = self.bus.connection.default_namespace().function(name).ok()?;
        self.dispatch.registry().get(&name)
    }

    /// Sets how long a record is kept, if the function says so.
    pub(crate) fn keep(&self, record: &mut CallRecord) {
        let ttl = self.deployed(&record.status.function).and_then(|function| function.policy.result_ttl);
        record.status.kept_until = ttl.map(|ttl| skep_bus::now() + ttl);
    }

    /// Stores a record, however long the bus is away: the result exists nowhere else.
    ///
    /// One that NATS refuses is stored with nothing but how the call ended.
    pub(crate) async fn store_record(&self, record: &CallRecord) -> Submitted {
        let mut record = Cow::Borrowed(record);
        let mut delays = STORE.delays();
        loop {
            let error = match self.bus.outcomes.store_record(&record).await {
                Ok(stored) => {
                    if stored == Submitted::Duplicate {
                        info!("this call already has a record; the first one stays");
                    }
                    return stored;
                }
                Err(error) => error,
            };
            warn!(error = error.chain(), "the record cannot be stored; trying again");
            if !error.may_pass() {
                record = Cow::Owned(bare(&record, &error));
            }
            sleep(delays.next_delay()).await;
        }
    }
}

/// How a call ends that gets no further attempt after this answer.
fn end_of(answer: Option<&Answer>) -> CallState {
    if answer.is_some_and(Answer::is_good) { CallState::Succeeded } else { CallState::Failed }
}

/// How a call is retried: as its function says, but where the call says otherwise. What a route says is about its last step.
fn retry_policy<'policy>(function: &'policy Function, call: &Call) -> Cow<'policy, RetryPolicy> {
    let of_function = &function.policy.retry;
    if call.retry.is_empty() || call.steps.is_some() {
        Cow::Borrowed(of_function)
    } else {
        Cow::Owned(of_function.with(&call.retry))
    }
}

/// The end of a call without its result.
fn bare(record: &CallRecord, refused: &Error) -> CallRecord {
    let reason = Some(format!("its result cannot be stored: {}", refused.chain()));
    let (past_attempts, history) = (Vec::new(), Vec::new());
    let status = CallStatus { reason, kept_until: None, past_attempts, history, ..record.status.clone() };
    without_answer(status, HeaderMap::new())
}

#[cfg(test)]
mod tests;
