//! Calls that a schedule plans ahead: they wait as delayed calls do, and can be taken back without a trace.
//!
//! A planned call has no receipt until it comes due, because until then its schedule may change.

use std::collections::{BTreeSet, HashMap};

use futures_util::TryStreamExt;
use skep_protocol::{Call, CallId, FunctionName, MISSED, SourceName};

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

    /// Notes a call as accepted that was not submitted: a planned one that is due, or one that runs straight from its event.
    pub fn note_accepted(&self, call: &Call) {
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

    /// How many of a schedule's calls did not run because they came too late, from the newest on to the first that was in time.
    pub async fn missed(&self, newest_first: &[CallId]) -> Result<u64> {
        let mut count = 0;
        for id in newest_first {
            let is_missed = match self.nats.find_delayed(id).await? {
                // It is not decided yet.
                Some(message) => parked::read(&message)?.last_attempt.is_none(),
                // What did not run has a record before it leaves that place.
                None => {
                    let reason = self.record(id).await?.and_then(|record| record.status.reason);
                    reason.is_some_and(|reason| reason.starts_with(MISSED))
                }
            };
            if !is_missed {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Whether a call is in a lane or a backlog already.
    pub async fn is_queued(&self, id: &CallId) -> Result<bool> {
        Ok(!self.nats.find_queued(id).await?.is_empty())
    }

    /// What waits for its time in the queues of these functions, and may be of schedules.
    pub async fn planned(&self, functions: &BTreeSet<FunctionName>) -> Result<PlannedCalls> {
        let mut planned = PlannedCalls::default();
        for function in functions {
            let waiting = self.nats.subjects.delayed_of(Some(function));
            let listed = self.nats.streams.delayed.info_with_subjects(waiting).await.map_err(Error::unavailable)?;
            let mut listed = listed.map_err(Error::unavailable);
            while let Some((subject, _)) = listed.try_next().await? {
                planned.add(subject);
            }
        }
        Ok(planned)
    }

    /// Takes back the calls of a schedule that wait. Those whose time has come stay as they are.
    ///
    /// Returns the ids of those that are listed as events already: these are not taken back.
    pub async fn unplan(&self, source: &SourceName, planned: &PlannedCalls) -> Result<Vec<CallId>> {
        let mut begun = Vec::new();
        for subject in planned.of(source) {
            let Some(message) = records::find(&self.nats.streams.delayed, subject.clone()).await? else { continue };
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
        Ok(begun)
    }
}

/// Calls that may be of schedules and wait for their time, by the beginning that the ids of a schedule have in common.
#[derive(Debug, Default)]
pub struct PlannedCalls(HashMap<String, Vec<String>>);

impl PlannedCalls {
    fn add(&mut self, subject: String) {
        let id = subject.rsplit('.').next().unwrap_or_default();
        // No name of a source has one of these.
        if let Some((source, _)) = id.split_once('_') {
            self.0.entry(format!("{source}_")).or_default().push(subject);
        }
    }

    fn of(&self, source: &SourceName) -> &[String] {
        self.0.get(&CallId::of_schedule(source)).map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_the_schedule_whose_id_they_begin_with() {
        let mut planned = PlannedCalls::default();
        for id in ["cron-a_job-20261130T020000Z", "cron-a_job_b-1", "cron-ab_job-1", "order-17", "a_job-1", "cron-a-1"]
        {
            planned.add(format!("skep.delayed.wait.job.{id}"));
        }
        let of = |source: &str| planned.of(&source.parse().unwrap()).len();
        assert_eq!((of("a"), of("ab"), of("b")), (2, 1, 0));
    }
}
