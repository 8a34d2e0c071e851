//! Calls that a schedule plans ahead: they wait as delayed calls do, and can be taken back without a trace.
//!
//! A planned call has no receipt until it comes due, because until then its schedule may change.

use futures_util::TryStreamExt;
use skep_protocol::{Call, CallId, FunctionName, SourceName};

use crate::{
    Calls, Error, Result, Submitted,
    calls::{records, submit::same_call},
    client::clock,
    queue::parked,
};

impl Calls {
    /// Stores a call that waits for its time, even if that is over. One that waits, runs or has ended makes no second one.
    pub async fn plan(&self, call: &Call) -> Result<Submitted> {
        call.check_headers().map_err(Error::HeadersTooLarge)?;
        if self.may_be_known(&call.call_id, false).await?
            && let Some(known) = self.stored_status(&call.call_id).await?
        {
            return same_call(call, known);
        }
        self.nats.submit_delayed(call).await
    }

    /// Notes a planned call as accepted, now that it is due.
    pub fn note_due(&self, call: &Call) {
        self.nats.ledger.note(call);
    }

    /// Whether a call has neither ended nor gone.
    pub async fn is_open(&self, id: &CallId) -> Result<bool> {
        // Most have ended, and are looked up together.
        if self.nats.recorded.has(id).await? {
            return Ok(false);
        }
        Ok(self.stored_status(id).await?.is_some_and(|status| !status.state.is_final()))
    }

    /// Whether a call is in a lane or a backlog already.
    pub async fn is_queued(&self, id: &CallId) -> Result<bool> {
        Ok(!self.nats.find_queued(id).await?.is_empty())
    }

    /// Takes back the calls of a schedule that wait in the queues of these functions. Those whose time has come stay as they are.
    ///
    /// Returns the ids of those that are listed as events already: these are not taken back.
    pub async fn unplan(&self, source: &SourceName, functions: &[FunctionName]) -> Result<Vec<CallId>> {
        let beginning = CallId::of_schedule(source);
        let mut begun = Vec::new();
        for function in functions {
            let waiting = self.nats.subjects.delayed_of(Some(function));
            let listed = self.nats.streams.delayed.info_with_subjects(waiting).await.map_err(Error::unavailable)?;
            let subjects: Vec<(String, usize)> = listed.try_collect().await.map_err(Error::unavailable)?;
            for (subject, _) in subjects {
                if !subject.rsplit('.').next().is_some_and(|id| id.starts_with(&beginning)) {
                    continue;
                }
                let Some(message) = records::find(&self.nats.streams.delayed, subject).await? else { continue };
                let call = parked::read(&message)?;
                match &call.occurrence {
                    Some(occurrence) if call.last_attempt.is_none() => {
                        if occurrence.planned_at > clock::now() {
                            self.nats.remove_message("DELAYED", message.sequence).await?;
                        } else {
                            begun.push(call.call_id);
                        }
                    }
                    // A retry, or the lease of one that runs.
                    Some(_) | None => {}
                }
            }
        }
        Ok(begun)
    }
}
