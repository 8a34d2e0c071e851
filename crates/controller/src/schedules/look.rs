//! One look at one schedule: what it wants planned, listed, reported or taken back is done, and then written down.

use std::sync::Arc;

use skep_bus::{ControllerBus, Error, Lease, PlannedCalls, Result, Submitted};
use skep_own_events::OwnEvents;
use skep_protocol::{Event, FunctionName, Missed, SchedulePlan, SourceName};
use skep_sources::{Due, Fact, Gap, Listed, Receiver, Run, Schedule, Step, occurrence_id};
use time::OffsetDateTime;
use tracing::{debug, info, warn};

use super::ScheduleMetrics;
use crate::subscriptions::Subscriptions;

/// A schedule that runs, as it is declared.
pub(super) struct Declared {
    pub(super) receiver: Receiver,
    /// A hash of the declaration.
    pub(super) spec: String,
}

/// A schedule that runs, and the functions that it calls now.
pub(super) struct Wanted {
    pub(super) declared: Arc<Declared>,
    pub(super) functions: Vec<FunctionName>,
}

/// What a look at a schedule has come to.
pub(super) struct Looked {
    pub(super) plan: Option<SchedulePlan>,
    pub(super) look_at: Option<OffsetDateTime>,
}

/// What all looks have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) bus: ControllerBus,
    pub(super) lease: Arc<Lease>,
    pub(super) metrics: Option<ScheduleMetrics>,
    pub(super) own_events: Arc<OwnEvents>,
    pub(super) subscriptions: Arc<Subscriptions>,
}

impl Declared {
    /// The functions that have calls of its occurrences.
    pub(super) fn functions(&self, subscriptions: &Subscriptions) -> Vec<FunctionName> {
        let Some(schedule) = self.receiver.schedule() else { return Vec::new() };
        self.receiver.scheduled_functions(schedule, &|topics| subscriptions.subscribed(topics))
    }
}

/// One look at one schedule.
pub(super) struct Look<'planner> {
    pub(super) shared: &'planner Shared,
    /// What waited when the looks of this moment began.
    pub(super) planned: &'planner PlannedCalls,
    pub(super) name: SourceName,
}

impl Look<'_> {
    pub(super) async fn run(&self, wanted: Option<Wanted>, plan: Option<SchedulePlan>) -> Result<Looked> {
        if !self.shared.lease.is_held() {
            return Err(Error::unavailable("this controller may not lead any more"));
        }
        let Some(Wanted { declared, functions }) = wanted else {
            if plan.is_some() {
                self.end().await?;
            }
            return Ok(Looked { plan: None, look_at: None });
        };
        let Some(schedule) = declared.receiver.schedule() else { return Ok(Looked { plan, look_at: None }) };
        let plan = match plan {
            Some(plan) if plan.spec == declared.spec && plan.functions == functions => plan,
            Some(plan) if plan.spec == declared.spec => self.plan_again(functions, &plan).await?,
            changed => self.begin(&declared, functions, changed).await?,
        };
        self.step(&declared, schedule, plan).await
    }

    /// A new or changed schedule: what waits by an earlier declaration goes, and nothing was missed.
    async fn begin(
        &self,
        declared: &Declared,
        functions: Vec<FunctionName>,
        before: Option<SchedulePlan>,
    ) -> Result<SchedulePlan> {
        if before.is_some() {
            self.unplan().await?;
        }
        let now = skep_bus::now();
        let plan = SchedulePlan { spec: declared.spec.clone(), planned_until: now, listed_until: now, functions };
        self.shared.lease.put_plan(&self.name, &plan).await?;
        info!(source = %self.name, is_new = before.is_none(), "a schedule is planned");
        Ok(plan)
    }

    /// Other functions name its topics than when it was planned, so what is to come is planned anew. What was missed stays missed.
    async fn plan_again(&self, functions: Vec<FunctionName>, before: &SchedulePlan) -> Result<SchedulePlan> {
        // An occurrence of the time between is planned twice, which makes one call.
        let planned_until = before.planned_until.min(skep_bus::now());
        self.unplan().await?;
        let plan = SchedulePlan { planned_until, functions, ..before.clone() };
        self.shared.lease.put_plan(&self.name, &plan).await?;
        info!(source = %self.name, "other functions name the topics of a schedule, so it is planned anew");
        Ok(plan)
    }

    async fn unplan(&self) -> Result<Vec<skep_protocol::CallId>> {
        self.shared.bus.calls.unplan(&self.name, self.planned).await
    }

    /// A schedule that is gone, paused or disabled: what waits goes, and what has begun to wait for its jitter is cancelled.
    async fn end(&self) -> Result<()> {
        for begun in self.unplan().await? {
            self.shared.bus.calls.cancel(&begun).await?;
        }
        self.shared.lease.remove_plan(&self.name).await?;
        info!(source = %self.name, "a schedule has ended or is paused; its calls that waited are taken back");
        Ok(())
    }

    async fn step(&self, declared: &Declared, schedule: &Schedule, plan: SchedulePlan) -> Result<Looked> {
        let now = skep_bus::now();
        let mut step = schedule.step(plan.planned_until, plan.listed_until, now);
        if schedule.missed == Missed::Latest && step.run.first().is_some_and(|due| due.missed.is_some()) {
            self.count_unfired(&declared.receiver, schedule, &plan, &mut step).await?;
        }
        for due in &step.run {
            self.plan(declared, schedule, due, now).await?;
        }
        if let Some(gap) = &step.gap {
            self.tell_missed(gap).await?;
        }
        for listed in &step.listed {
            self.list(declared, schedule, listed).await?;
        }
        let listed_until = step.listed.last().map_or(plan.listed_until, |last| last.at.max(plan.listed_until));
        let next = SchedulePlan { planned_until: step.planned_until, listed_until, ..plan.clone() };
        // What is listed again is the same event.
        if next.planned_until != plan.planned_until {
            self.shared.lease.put_plan(&self.name, &next).await?;
        }
        Ok(Looked { plan: Some(next), look_at: step.look_at })
    }

    /// The one that runs does so in the place of planned ones that nobody ran, too.
    async fn count_unfired(
        &self,
        receiver: &Receiver,
        schedule: &Schedule,
        plan: &SchedulePlan,
        step: &mut Step,
    ) -> Result<()> {
        let Some(route) = receiver.routes().first() else { return Ok(()) };
        let (after, up_to) = (plan.listed_until, plan.planned_until);
        let missed = self.shared.bus.calls.missed(&receiver.calls_between(route.name(), after, up_to)).await?;
        let first = schedule.last_between(after, up_to).into_iter().rev().take(missed as usize).next_back();
        if let Some(first) = first {
            step.also_missed(first, missed);
        }
        Ok(())
    }

    /// Reports, once for each gap, that not all of it runs; in the metrics too.
    async fn tell_missed(&self, gap: &Gap) -> Result<()> {
        let Gap { count, first, last, run } = *gap;
        let fact = Fact::ScheduleMissed { source: self.name.clone(), count, first, last, run };
        // Its id follows from the first of them, so a planner that is cut off here reports it once.
        self.shared.own_events.publish(&fact).await?;
        let missed = count - run;
        self.shared.metrics.iter().for_each(|metrics| metrics.count_missed(&self.name, missed));
        warn!(source = %self.name, missed, %first, %last, "occurrences of a schedule were missed and do not run");
        Ok(())
    }

    async fn plan(&self, declared: &Declared, schedule: &Schedule, due: &Due, now: OffsetDateTime) -> Result<()> {
        let Some(id) = occurrence_id(due.at) else { return Ok(()) };
        let receiver = &declared.receiver;
        let subscribers = |topics: &[String]| self.shared.subscriptions.subscribed(topics);
        let event = receiver.occurrence_event(schedule, id, (due.at, due.missed), None, &subscribers);
        for call in receiver.occurrence_calls(schedule, &event, due, Run::Planned, now) {
            match self.shared.bus.calls.plan(&call).await {
                Ok(Submitted::Accepted) => {
                    debug!(call_id = %call.call_id, "a call is planned");
                    self.shared.metrics.iter().for_each(|metrics| metrics.count_planned(&self.name));
                }
                Ok(Submitted::Duplicate) => {}
                Err(error) if error.may_pass() => return Err(error),
                Err(error) => {
                    warn!(error = error.chain(), call_id = %call.call_id, "a call of a schedule cannot be planned; it does not run");
                }
            }
        }
        Ok(())
    }

    /// Whether an earlier planner, which was cut off, has planned calls of an occurrence.
    async fn is_known(&self, event: &Event) -> Result<bool> {
        for route in &event.decision.routes {
            if self.shared.bus.calls.status(&event.call_id(&route.route, None)).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stores an occurrence whose time has come in the list of events.
    async fn list(&self, declared: &Declared, schedule: &Schedule, listed: &Listed) -> Result<()> {
        let Some(id) = occurrence_id(listed.at) else { return Ok(()) };
        let receiver = &declared.receiver;
        let subscribers = |topics: &[String]| self.shared.subscriptions.subscribed(topics);
        let event = |ignored| {
            receiver.occurrence_event(schedule, id.clone(), (listed.at, listed.missed), ignored, &subscribers)
        };
        let mut stored = event(None);
        if listed.ignored.is_some() && !self.is_known(&stored).await? {
            stored = event(listed.ignored);
        }
        match self.shared.bus.events.store(&stored, receiver.keep()).await {
            Ok(_) => Ok(()),
            Err(error) if error.may_pass() => Err(error),
            Err(error) => {
                warn!(error = error.chain(), source = %self.name, "an occurrence cannot be listed; its calls run");
                Ok(())
            }
        }
    }
}
