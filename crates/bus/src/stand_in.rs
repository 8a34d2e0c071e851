//! A call that runs long: it leaves its lane, and a schedule stands in for it, due when its worker is no longer heard of.
//!
//! So nothing that runs pins its lane, and a worker that dies leaves its calls to others, as with a delivery.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use skep_protocol::Invocation;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, warn};

use crate::{Bus, Delivery, Error, Result, clock, queue::ACK_WAIT};

/// A lease outlives so many renewals that did not come.
const MISSED_RENEWALS: u32 = 3;
/// A call that is given back more often leaves its lane, so that it does not pin it.
const MAX_GIVEN_BACK: u64 = 20;

/// The schedule that stands in for a call.
pub(crate) struct StandIn {
    bus: Bus,
    /// Its number in the delayed stream; only who knows it may change the schedule.
    sequence: u64,
}

impl StandIn {
    /// The call has come to its end, or goes on as something else.
    pub(crate) async fn end(&self) {
        if let Err(error) = self.bus.remove_message("DELAYED", self.sequence).await {
            warn!(error = error.chain(), "a lease was not ended; its call will be looked at again");
        }
    }
}

impl Delivery<Invocation> {
    /// Runs a call and keeps it from being handed to anyone else meanwhile, for as long as it takes; after a while outside of its lane.
    pub async fn hold_call<F: Future>(
        &self,
        bus: &Bus,
        invocation: &Invocation,
        long_after: Duration,
        work: F,
    ) -> F::Output {
        let mut extend = interval(ACK_WAIT / 3);
        let mut renew = interval(long_after);
        for timer in [&mut extend, &mut renew] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            timer.tick().await;
        }
        let mut can_be_leased = true;
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return output,
                _ = extend.tick(), if self.stand_in().is_none() => self.tell(AckKind::Progress).await,
                _ = renew.tick(), if can_be_leased => {
                    let begun = invocation.begun.unwrap_or(0) + 1;
                    let renewed = self.stand_in_until(bus, invocation, begun, long_after * MISSED_RENEWALS);
                    if let Err(error) = renewed.await {
                        // Without a lease it stays in its lane.
                        can_be_leased = error.may_pass();
                        warn!(error = error.chain(), call_id = %invocation.call_id, can_be_leased, "the lease of a long call was not renewed");
                    }
                }
            }
        }
    }

    /// Begins a lease, or lets it last longer.
    async fn stand_in_until(&self, bus: &Bus, invocation: &Invocation, begun: u64, lasts: Duration) -> Result<()> {
        let known = self.stand_in().map(|stand_in| stand_in.sequence);
        let leased = Invocation { begun: Some(begun), ..invocation.clone() };
        let due_at = clock::now() + lasts;
        // Where its time has come already, a schedule of an earlier state would take the place of what somebody is about to move.
        let fence = bus.subjects.delayed_or_due(&invocation.function, &invocation.call_id);
        let Some(sequence) = bus.put_delayed(&leased, due_at, fence, known.unwrap_or(0)).await? else {
            // Someone else has the call now, or it was cancelled; its record decides.
            debug!(call_id = %invocation.call_id, "the lease of a long call is lost");
            return Ok(());
        };
        self.set_stand_in(StandIn { bus: bus.clone(), sequence });
        if known.is_none() {
            // Not the ack first: what is acknowledged and still there would stand in the way back, as if the call was in its lane.
            self.leave_lane(bus).await?;
            self.tell(AckKind::Ack).await;
        }
        Ok(())
    }

    /// Gives a call back, to be delivered again after a while.
    pub async fn give_back(&self, bus: &Bus, invocation: &Invocation, delay: Duration) {
        if self.stand_in().is_none() && self.delivered < MAX_GIVEN_BACK {
            return self.again_after(delay).await;
        }
        let begun = invocation.begun.unwrap_or(0);
        if let Err(error) = self.stand_in_until(bus, invocation, begun, delay).await {
            warn!(error = error.chain(), call_id = %invocation.call_id, "a call was not given back; it comes when its lease or its deadline is over");
        }
    }

    /// How often in a row it was handed out and neither came to an end nor was given back.
    pub fn broken_off(&self, invocation: &Invocation) -> u64 {
        // Whoever is given back so often leaves its lane, so what goes beyond was not given back.
        invocation.begun.unwrap_or(0) + self.delivered.saturating_sub(MAX_GIVEN_BACK)
    }
}

impl Bus {
    /// Removes one message of a stream; it is no error if it is gone.
    pub(crate) async fn remove_message(&self, stream: &str, sequence: u64) -> Result<()> {
        // Without `no_erase` the server overwrites the message first.
        let request = serde_json::json!({ "seq": sequence, "no_erase": true });
        let subject = format!("STREAM.MSG.DELETE.{}", self.subjects.stream(stream));
        let _: serde_json::Value = self.jetstream.request(subject, &request).await.map_err(Error::unavailable)?;
        Ok(())
    }
}
