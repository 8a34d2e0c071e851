//! The lease of a call that runs long: the call leaves its lane, and a parked message is due when its worker no longer renews it.
//!
//! So a running call does not pin its lane, and the calls of a worker that dies go to others, as with a delivery.

use std::{pin::pin, sync::Arc, time::Duration};

use async_nats::jetstream::AckKind;
use skep_protocol::Call;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

use crate::{Connection, Delivery, Place, Queues, Result, client::clock, queue::ACK_TIMEOUT, queue::relocate::Why};

/// The number of missed renewals that a lease survives.
const MISSED_RENEWALS: u32 = 3;
/// A call that runs straight from its event for longer gets a lease, so that the event does not wait for it.
const EVENT_HOLD_TIMEOUT: Duration = Duration::from_millis(500);
/// A call that is given back more often leaves its lane, so that it does not pin it.
const MAX_GIVEN_BACK: u64 = 20;

/// The parked message that stands for a call while a worker has it.
pub(crate) struct RunLease {
    nats: Arc<Connection>,
    /// Its number in the stream; only the worker that knows it may change the lease.
    sequence: u64,
}

impl RunLease {
    /// The call has come to its end, or goes on as something else.
    pub(crate) async fn end(&self) {
        if let Err(error) = self.nats.remove_message("DELAYED", self.sequence).await {
            warn!(error = error.chain(), "a lease was not ended; its call is checked again when it expires");
        }
    }
}

impl Delivery<Call> {
    /// Runs a call and keeps it from being handed to anyone else meanwhile, for as long as it takes; after a while outside of its lane.
    pub async fn hold_call<F: Future>(&self, queues: &Queues, call: &Call, long_after: Duration, work: F) -> F::Output {
        let mut extend = interval(ACK_TIMEOUT / 3);
        extend.set_missed_tick_behavior(MissedTickBehavior::Delay);
        extend.tick().await;
        let mut lasts = if self.place == Place::Event { long_after.min(EVENT_HOLD_TIMEOUT) } else { long_after };
        let mut renew = pin!(sleep(lasts));
        let mut can_be_leased = true;
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return output,
                _ = extend.tick(), if self.run_lease().is_none() => self.acknowledge(AckKind::Progress).await,
                () = &mut renew, if can_be_leased => {
                    // One that has a lease keeps it.
                    if !self.is_running() && self.run_lease().is_none() {
                        renew.as_mut().reset(Instant::now() + lasts);
                        continue;
                    }
                    // A lease is short at first, as an ack is, and longer the longer the call runs.
                    lasts = (lasts * 2).max(ACK_TIMEOUT / 3).min(long_after);
                    let renewed = self.lease(queues, call, call.interruptions + 1, lasts * MISSED_RENEWALS);
                    if let Err(error) = renewed.await {
                        // Without a lease it stays where it is.
                        can_be_leased = error.may_pass();
                        warn!(error = error.chain(), can_be_leased, "the lease of a long call was not renewed");
                    }
                    renew.as_mut().reset(Instant::now() + lasts);
                }
            }
        }
    }

    /// Begins a lease, or lets it last longer.
    async fn lease(&self, queues: &Queues, call: &Call, interruptions: u64, lasts: Duration) -> Result<()> {
        let known = self.run_lease().map(|lease| lease.sequence);
        let leased = Call { interruptions, ..call.clone() };
        let until = clock::now() + lasts;
        // A call that is due already must not be replaced by a lease of an earlier state: another worker is about to move it.
        let fence = queues.nats.subjects.delayed_or_due(&call.function, &call.call_id);
        let Some(sequence) = queues.nats.park(&leased, until, Why::Lease, fence, known.unwrap_or(0)).await? else {
            // Someone else has the call now, or it was cancelled; its record decides.
            debug!("the lease of a long call is lost");
            return Ok(());
        };
        self.set_run_lease(RunLease { nats: Arc::clone(&queues.nats), sequence });
        if known.is_none() {
            // Not the ack first: what is acknowledged and still there would stand in the way back, as if the call was in its lane.
            self.leave_lane(queues).await?;
            self.acknowledge(AckKind::Ack).await;
        }
        Ok(())
    }

    /// Gives a call back, to be delivered again after a while.
    pub async fn give_back(&self, queues: &Queues, call: &Call, delay: Duration) {
        if self.run_lease().is_none() && self.delivered < MAX_GIVEN_BACK {
            return self.again_after(delay).await;
        }
        // It counts as interrupted once, so the next worker does not take it for a new call.
        let interruptions = call.interruptions.max(1);
        if let Err(error) = self.lease(queues, call, interruptions, delay).await {
            warn!(
                error = error.chain(),
                "a call was not given back; it is delivered again when its lease or its deadline expires"
            );
        }
    }

    /// How often in a row it was handed out and neither came to an end nor was given back.
    pub fn interruptions(&self, call: &Call) -> u64 {
        // A call that is given back this often leaves its lane, so any further delivery was not given back.
        call.interruptions + self.delivered.saturating_sub(MAX_GIVEN_BACK)
    }
}
