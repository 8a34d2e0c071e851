//! Follows the sources, and looks at each schedule when something changes or is due.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use skep_bus::{ControllerBus, Error, Lease, Result, SourceEvent, Submitted};
use skep_protocol::{SchedulePlan, SourceName, SourceRecord};
use skep_sources::{Defaults, Due, Listed, Receiver, Run, Schedule, occurrence_id, short_digest};
use time::OffsetDateTime;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::ScheduleMetrics;

/// Schedules that are looked at at once, so that planning leaves room for the calls themselves.
const AT_ONCE: usize = 16;
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// The clock may be set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(30);
const CHANGES_TOGETHER: usize = 256;

/// Plans, until it is dropped.
pub(crate) async fn run(bus: ControllerBus, lease: Arc<Lease>, metrics: Option<ScheduleMetrics>) {
    loop {
        let mut planner = Planner {
            bus: bus.clone(),
            lease: Arc::clone(&lease),
            metrics: metrics.clone(),
            schedules: HashMap::new(),
            plans: BTreeMap::new(),
            looks: BinaryHeap::new(),
        };
        if let Err(error) = Box::pin(planner.follow()).await {
            warn!(error = error.chain(), "schedules cannot be followed; what is planned runs. Trying again");
        }
        sleep(RETRY_DELAY).await;
    }
}

struct Planner {
    bus: ControllerBus,
    lease: Arc<Lease>,
    metrics: Option<ScheduleMetrics>,
    /// Those that have occurrences now.
    schedules: HashMap<SourceName, Arc<Declared>>,
    /// How far each is planned; also of those that are gone or paused and may have calls that wait.
    plans: BTreeMap<SourceName, SchedulePlan>,
    /// When to look at which, the earliest first. A look too many does no harm.
    looks: BinaryHeap<Reverse<(OffsetDateTime, SourceName)>>,
}

/// A schedule that runs, as it is declared.
struct Declared {
    receiver: Receiver,
    /// A hash of the declaration.
    spec: String,
}

/// What a look at a schedule has come to.
struct Looked {
    plan: Option<SchedulePlan>,
    look_at: Option<OffsetDateTime>,
}

impl Planner {
    /// Ends when the connection is lost, or this is the controller no more.
    async fn follow(&mut self) -> Result<()> {
        self.plans = self.bus.sources.plans().await?;
        let mut changes = pin!(self.bus.sources.watch().await?.ready_chunks(CHANGES_TOGETHER));
        let mut changed: BTreeSet<SourceName> = self.plans.keys().cloned().collect();
        let mut is_current = false;
        loop {
            if is_current {
                self.take_due(&mut changed);
                self.look_at_all(std::mem::take(&mut changed)).await?;
            }
            let pause = if is_current { self.pause() } else { MAX_SLEEP };
            tokio::select! {
                biased;
                batch = changes.next() => {
                    let Some(batch) = batch else { return Ok(()) };
                    for event in batch {
                        match event? {
                            SourceEvent::Put { source, .. } => {
                                changed.insert(source.record.name.clone());
                                self.put(&source.record);
                            }
                            SourceEvent::Deleted { name, .. } => {
                                self.schedules.remove(&name);
                                changed.insert(name);
                            }
                            SourceEvent::Current => is_current = true,
                        }
                    }
                }
                () = sleep(pause) => {}
            }
        }
    }

    fn put(&mut self, record: &SourceRecord) {
        match declared(record, &self.bus) {
            Some(declared) => drop(self.schedules.insert(record.name.clone(), Arc::new(declared))),
            None => drop(self.schedules.remove(&record.name)),
        }
    }

    /// Adds those whose time to be looked at has come.
    fn take_due(&mut self, due: &mut BTreeSet<SourceName>) {
        let now = skep_bus::now();
        while self.looks.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            due.extend(self.looks.pop().map(|Reverse((_, name))| name));
        }
    }

    fn pause(&self) -> Duration {
        let next = self.looks.peek().map(|Reverse((at, _))| *at - skep_bus::now());
        next.map_or(MAX_SLEEP, |pause| Duration::try_from(pause).unwrap_or_default().min(MAX_SLEEP))
    }

    async fn look_at_all(&mut self, names: BTreeSet<SourceName>) -> Result<()> {
        let looks = names.into_iter().map(|name| {
            let (declared, plan) = (self.schedules.get(&name).cloned(), self.plans.get(&name).cloned());
            let look = Look { bus: &self.bus, lease: &self.lease, metrics: self.metrics.as_ref(), name: name.clone() };
            async move { (name, plan.clone(), Box::pin(look.run(declared, plan)).await) }
        });
        let looked: Vec<_> = stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
        for (name, before, looked) in looked {
            let Looked { plan, look_at } = match looked {
                Ok(looked) => looked,
                Err(Error::NotController) => return Err(Error::NotController),
                Err(error) => {
                    warn!(error = error.chain(), source = %name, "a schedule cannot be planned now; trying again");
                    Looked { plan: before, look_at: Some(skep_bus::now() + RETRY_DELAY) }
                }
            };
            match plan {
                Some(plan) => drop(self.plans.insert(name.clone(), plan)),
                None => drop(self.plans.remove(&name)),
            }
            self.looks.extend(look_at.map(|at| Reverse((at, name))));
        }
        Ok(())
    }
}

/// The schedule of a source, if it is one and has occurrences now.
fn declared(record: &SourceRecord, bus: &ControllerBus) -> Option<Declared> {
    let is_schedule = |key: &&str| record.spec.get(key).is_some();
    if record.paused || !["cron", "every"].iter().any(is_schedule) {
        return None;
    }
    let defaults = Defaults::new(bus.connection.default_namespace());
    match Receiver::from_spec(record.name.clone(), &record.spec, &defaults) {
        Ok(receiver) if receiver.source().disabled || receiver.schedule().is_none() => None,
        Ok(receiver) => Some(Declared { receiver, spec: short_digest(&record.spec.to_string()) }),
        Err(error) => {
            warn!(%error, source = %record.name, "a schedule cannot be read and has no occurrences");
            None
        }
    }
}

/// One look at one schedule.
struct Look<'planner> {
    bus: &'planner ControllerBus,
    lease: &'planner Lease,
    metrics: Option<&'planner ScheduleMetrics>,
    name: SourceName,
}

impl Look<'_> {
    async fn run(&self, declared: Option<Arc<Declared>>, plan: Option<SchedulePlan>) -> Result<Looked> {
        if !self.lease.is_held() {
            return Err(Error::unavailable("this controller may not lead any more"));
        }
        let Some(declared) = declared else {
            if let Some(plan) = plan {
                self.end(&plan).await?;
            }
            return Ok(Looked { plan: None, look_at: None });
        };
        let Some(schedule) = declared.receiver.schedule() else { return Ok(Looked { plan, look_at: None }) };
        let plan = match plan {
            Some(plan) if plan.spec == declared.spec => plan,
            changed => self.begin(&declared, changed).await?,
        };
        self.step(&declared, schedule, plan).await
    }

    /// A new or changed schedule: what waits by an earlier declaration goes, and nothing was missed.
    async fn begin(&self, declared: &Declared, before: Option<SchedulePlan>) -> Result<SchedulePlan> {
        if let Some(before) = &before {
            self.bus.calls.unplan(&self.name, &before.functions).await?;
        }
        let now = skep_bus::now();
        let mut functions: Vec<_> =
            declared.receiver.routes().iter().map(|route| route.first_function().clone()).collect();
        functions.sort();
        functions.dedup();
        let plan = SchedulePlan { spec: declared.spec.clone(), planned_until: now, listed_until: now, functions };
        self.lease.put_plan(&self.name, &plan).await?;
        info!(source = %self.name, is_new = before.is_none(), "a schedule is planned");
        Ok(plan)
    }

    /// A schedule that is gone, paused or disabled: what waits goes, and what has begun to wait for its jitter is cancelled.
    async fn end(&self, plan: &SchedulePlan) -> Result<()> {
        for begun in self.bus.calls.unplan(&self.name, &plan.functions).await? {
            self.bus.calls.cancel(&begun).await?;
        }
        self.lease.remove_plan(&self.name).await?;
        info!(source = %self.name, "a schedule has ended or is paused; its calls that waited are taken back");
        Ok(())
    }

    async fn step(&self, declared: &Declared, schedule: &Schedule, plan: SchedulePlan) -> Result<Looked> {
        let now = skep_bus::now();
        let step = schedule.step(plan.planned_until, plan.listed_until, now);
        for due in &step.run {
            self.plan(declared, schedule, due, now).await?;
        }
        if step.missed > 0 {
            self.metrics.inspect(|metrics| metrics.count_missed(&self.name, step.missed));
            warn!(source = %self.name, missed = step.missed, "occurrences of a schedule were missed and do not run");
        }
        for listed in &step.listed {
            self.list(declared, schedule, listed).await?;
        }
        let listed_until = step.listed.last().map_or(plan.listed_until, |last| last.at.max(plan.listed_until));
        let next = SchedulePlan { planned_until: step.planned_until, listed_until, ..plan.clone() };
        // What is listed again is the same event.
        if next.planned_until != plan.planned_until {
            self.lease.put_plan(&self.name, &next).await?;
        }
        Ok(Looked { plan: Some(next), look_at: step.look_at })
    }

    async fn plan(&self, declared: &Declared, schedule: &Schedule, due: &Due, now: OffsetDateTime) -> Result<()> {
        let Some(id) = occurrence_id(due.at) else { return Ok(()) };
        let receiver = &declared.receiver;
        let event = receiver.occurrence_event(schedule, id, (due.at, due.missed), None);
        for call in receiver.occurrence_calls(schedule, &event, due, Run::Planned, now) {
            match self.bus.calls.plan(&call).await {
                Ok(Submitted::Accepted) => {
                    debug!(call_id = %call.call_id, "a call is planned");
                    self.metrics.inspect(|metrics| metrics.count_planned(&self.name));
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
    async fn is_known(&self, event: &skep_protocol::Event) -> Result<bool> {
        for route in &event.decision.routes {
            if self.bus.calls.status(&event.call_id(&route.route, None)).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stores an occurrence whose time has come in the list of events.
    async fn list(&self, declared: &Declared, schedule: &Schedule, listed: &Listed) -> Result<()> {
        let Some(id) = occurrence_id(listed.at) else { return Ok(()) };
        let receiver = &declared.receiver;
        let mut event = receiver.occurrence_event(schedule, id.clone(), (listed.at, listed.missed), None);
        if listed.ignored.is_some() && !self.is_known(&event).await? {
            event = receiver.occurrence_event(schedule, id, (listed.at, listed.missed), listed.ignored);
        }
        match self.bus.events.store(&event, receiver.keep()).await {
            Ok(_) => Ok(()),
            Err(error) if error.may_pass() => Err(error),
            Err(error) => {
                warn!(error = error.chain(), source = %self.name, "an occurrence cannot be listed; its calls run");
                Ok(())
            }
        }
    }
}
