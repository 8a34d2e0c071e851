//! Occurrences that somebody asks for: now, or of times in the past.

use serde_json::Value;
use skep_bus::Source;
use skep_protocol::{
    CallOfEvent, EventId, FunctionName, Overlap, SourceName, SourceRecord,
    control::{BackfillSource, FireSource, Fired, FiredOccurrence},
};
use skep_sources::{Defaults, Due, Receiver, Run, Schedule, occurrence_id};
use time::format_description::well_known::Rfc3339;
use tracing::info;

use super::Sources;
use crate::{Error, Result};

const MAX_BACKFILL: usize = 1000;
const MAX_BACKFILL_ID: usize = 24;

impl Sources {
    /// Calls the functions of a schedule now, also of a paused one.
    pub(crate) async fn fire(&self, asked: FireSource) -> Result<Fired> {
        let receiver = self.schedule_of(&asked.name).await?;
        let schedule = required(&receiver)?;
        let now = skep_bus::now();
        let at = now.replace_nanosecond(0).unwrap_or(now);
        let id = format!("now-{}", EventId::generate()).parse().map_err(|error| Error::Invalid(format!("{error}")))?;
        let due = Due::asked(at, asked.overlap.unwrap_or(schedule.overlap), None);
        info!(source = %asked.name, "a schedule is fired");
        Ok(Fired { occurrences: vec![self.run_asked(&receiver, schedule, id, &due).await?] })
    }

    /// Makes the calls of all occurrences between two times in the past, the oldest first.
    pub(crate) async fn backfill(&self, asked: BackfillSource) -> Result<Fired> {
        let invalid = |reason: &str| Error::Invalid(format!("source {}: {reason}", asked.name));
        if asked.id.len() > MAX_BACKFILL_ID || asked.id.parse::<EventId>().is_err() {
            return Err(invalid("id: use 1 to 24 letters, digits, hyphens and underscores"));
        }
        if asked.to > skep_bus::now() {
            return Err(invalid("to: must not be later than now; what is to come is planned already"));
        }
        let receiver = self.schedule_of(&asked.name).await?;
        let schedule = required(&receiver)?;
        let after = asked.from - time::Duration::SECOND;
        let times: Vec<_> = schedule.between(after, asked.to).take(MAX_BACKFILL + 1).collect();
        if times.len() > MAX_BACKFILL {
            return Err(invalid("more than 1000 occurrences: ask for a shorter time"));
        }
        // All are wanted, so they wait for each other.
        let overlap = asked.overlap.unwrap_or(Overlap::Queue);
        let overlap = if overlap == Overlap::Queue { overlap.in_turn() } else { overlap };
        info!(source = %asked.name, occurrences = times.len(), "a schedule is backfilled");
        let mut fired = Fired::default();
        let mut previous = None;
        for at in times {
            let Some(time) = occurrence_id(at) else { continue };
            let id: EventId =
                format!("{time}-{}", asked.id).parse().map_err(|error| Error::Invalid(format!("{error}")))?;
            let due = Due::asked(at, overlap, previous.replace(id.clone()));
            fired.occurrences.push(self.run_asked(&receiver, schedule, id, &due).await?);
        }
        Ok(fired)
    }

    async fn run_asked(
        &self,
        receiver: &Receiver,
        schedule: &Schedule,
        id: EventId,
        due: &Due,
    ) -> Result<FiredOccurrence> {
        let subscribers = |topics: &[String]| self.subscriptions.subscribed(topics);
        let event = receiver.occurrence_event(schedule, id, (due.at, None), None, &subscribers);
        let calls = receiver.occurrence_calls(schedule, &event, due, Run::Now, skep_bus::now());
        for call in &calls {
            self.bus.calls.plan(call).await?;
        }
        // Asked for again, it is the same event.
        self.bus.events.store(&event, receiver.keep()).await?;
        let of_route = |call: skep_protocol::Call| {
            let route = call.occurrence?.route;
            Some(CallOfEvent { route, function: call.function, call_id: call.call_id, state: None })
        };
        Ok(FiredOccurrence {
            event: event.id,
            planned_at: schedule.local(due.at).format(&Rfc3339).unwrap_or_default(),
            calls: calls.into_iter().filter_map(of_route).collect(),
        })
    }

    async fn schedule_of(&self, name: &SourceName) -> Result<Receiver> {
        let source = self.require(name).await?;
        let defaults = Defaults::new(self.bus.connection.default_namespace());
        let receiver = Receiver::from_spec(name.clone(), &source.record.spec, &defaults);
        receiver.map_err(|error| Error::Invalid(format!("source {name}: {error}")))
    }

    /// Makes the source that a function's annotations declare, changes it, or removes it. Sources of others stay as they are.
    pub(crate) async fn set_of_function(
        &self,
        function: &FunctionName,
        wanted: Option<(SourceName, Value)>,
    ) -> Result<()> {
        let _alone = self.alone().await;
        let Some((name, spec)) = wanted else {
            for source in self.bus.sources.list().await? {
                if source.record.function.as_ref() == Some(function) {
                    self.lease.remove_source(&source.record.name).await?;
                    info!(source = %source.record.name, "the schedule of a function is removed");
                }
            }
            return Ok(());
        };
        let known = self.bus.sources.get(&name).await?;
        let now = skep_bus::now();
        let record = match known {
            Some(Source { record, .. }) if record.function.as_ref() != Some(function) => {
                let reason = format!("source {name} is not of function {function}: remove it, or the annotation topic");
                return Err(Error::Conflict(reason));
            }
            Some(Source { record, .. }) if record.spec == spec => return Ok(()),
            Some(Source { record, .. }) => SourceRecord { spec, updated_at: now, ..record },
            None => SourceRecord {
                name,
                spec,
                created_at: now,
                updated_at: now,
                paused_at: None,
                paused: false,
                function: Some(function.clone()),
            },
        };
        info!(source = %record.name, "the schedule of a function is set");
        self.put(&record).await.map(drop)
    }
}

fn required(receiver: &Receiver) -> Result<&Schedule> {
    receiver.schedule().ok_or_else(|| Error::Invalid(format!("source {} is no schedule", receiver.name())))
}
