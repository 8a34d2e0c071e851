//! Collects the facts about a delivered call; [`next_step`] decides.

use futures_util::future::try_join_all;
use skep_protocol::Call;

use crate::{
    Calls, Delivery, Place, Queues, Result,
    calls::records,
    queue::life::{Found, NextStep, Origin, Progress, next_step},
    queue::relocate::progress,
    wire,
};

impl Delivery<Call> {
    /// Whether another worker may have this call too: it may have been delivered before, or its lease has run out.
    pub fn may_be_held_elsewhere(&self, call: &Call) -> bool {
        self.may_be_repeated || call.interruptions > 0
    }
}

impl Queues {
    /// What is to become of a delivery. A first delivery of a new id is not looked up unless it is in doubt.
    ///
    /// No other worker may hold the call: it could store the record right after this look.
    pub async fn next_step(&self, delivery: &Delivery<Call>, call: &Call, is_in_doubt: bool) -> Result<NextStep> {
        let has_lease = delivery.run_lease().is_some();
        let origin = match delivery.place {
            Place::Event if !has_lease => Origin::Event,
            Place::Backlog => Origin::Backlog,
            Place::Event | Place::Lane | Place::BulkLane | Place::Elsewhere => Origin::Shared,
        };
        let was_moved = call.last_attempt.is_some() || call.run_at.is_some() || origin == Origin::Backlog;
        if !is_in_doubt && !call.has_callers_id && !was_moved {
            return Ok(NextStep::Run);
        }
        let mut found = Found { has_record: self.nats.recorded.has(&call.call_id).await?, ..Found::default() };
        if origin == Origin::Event {
            // It is new unless it is anywhere, however far. Many are looked up together.
            let is_known =
                is_in_doubt && !found.has_record && Calls::over(&self.nats).has_message(&call.call_id).await?;
            found.elsewhere = is_known.then(Progress::default);
            return Ok(next_step(origin, progress(call), &found));
        }
        let was_delivered = delivery.delivered > 1 || call.interruptions > 0 || has_lease;
        // The server may have forgotten the delivery of an attempt that failed, and not its successor.
        if !found.has_record && (was_delivered || (is_in_doubt && self.nats.parked.has(&call.call_id).await?)) {
            (found.backlog, found.elsewhere) = self.find_messages(call).await?;
        }
        // Its own lease is no other message.
        Ok(next_step(origin, progress(&delivery.as_leased(call)), &found))
    }

    /// How far a call is in the backlog of its function, and how far anywhere else.
    async fn find_messages(&self, call: &Call) -> Result<(Option<Progress>, Option<Progress>)> {
        let (function, id) = (&call.function, &call.call_id);
        let places = [
            (&self.nats.streams.backlog, self.nats.subjects.backlog(function, id)),
            (&self.nats.streams.delayed, self.nats.subjects.delayed(function, id)),
            (&self.nats.streams.delayed, self.nats.subjects.due(function, id)),
            (&self.nats.streams.invoke, self.nats.subjects.invoke(function, id)),
        ];
        let looks = places.map(|(stream, subject)| records::find(stream, subject));
        let mut found = try_join_all(looks).await?.into_iter();
        let progress = |message: Option<_>| {
            message.map(|message: async_nats::jetstream::message::StreamMessage| wire::progress(&message.headers))
        };
        let backlog = progress(found.next().flatten());
        Ok((backlog, found.map(progress).max().flatten()))
    }
}
