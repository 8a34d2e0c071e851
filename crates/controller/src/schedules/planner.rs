//! Follows the sources, and looks at each schedule when something changes or is due.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use skep_bus::{ControllerBus, Error, Result, SourceEvent};
use skep_protocol::{FunctionName, SchedulePlan, SourceName, SourceRecord};
use skep_sources::{Defaults, Receiver, short_digest};
use time::OffsetDateTime;
use tokio::{sync::watch, time::sleep};
use tracing::warn;

use super::look::{Declared, Look, Looked, Shared, Wanted};
use crate::subscriptions::Known;

/// Schedules that are looked at at once, so that planning leaves room for the calls themselves.
const AT_ONCE: usize = 16;
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// The clock may be set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(30);
const CHANGES_TOGETHER: usize = 256;

/// Plans, until it is dropped.
pub(super) async fn run(shared: Shared) {
    loop {
        let mut planner = Planner {
            subscribed: shared.subscriptions.changes(),
            shared: shared.clone(),
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
    shared: Shared,
    /// Which functions name topics.
    subscribed: watch::Receiver<Arc<Known>>,
    /// Those that have occurrences now.
    schedules: HashMap<SourceName, Arc<Declared>>,
    /// How far each is planned; also of those that are gone or paused and may have calls that wait.
    plans: BTreeMap<SourceName, SchedulePlan>,
    /// When to look at which, the earliest first. A look too many does no harm.
    looks: BinaryHeap<Reverse<(OffsetDateTime, SourceName)>>,
}

impl Planner {
    /// Ends when the connection is lost, or this is the controller no more.
    async fn follow(&mut self) -> Result<()> {
        self.plans = self.shared.bus.sources.plans().await?;
        let mut changes = pin!(self.shared.bus.sources.watch().await?.ready_chunks(CHANGES_TOGETHER));
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
                Ok(()) = self.subscribed.changed() => changed.extend(self.differing()),
                () = sleep(pause) => {}
            }
        }
    }

    /// Those that are to be planned anew, because other functions name their topics now.
    fn differing(&self) -> Vec<SourceName> {
        let plans = self.plans.iter();
        plans
            .filter(|(name, plan)| is_outdated(plan, self.wanted(name).as_ref()))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// What is wanted of a schedule now.
    fn wanted(&self, name: &SourceName) -> Option<Wanted> {
        let declared = self.schedules.get(name)?;
        Some(Wanted { declared: Arc::clone(declared), functions: declared.functions(&self.shared.subscriptions) })
    }

    fn put(&mut self, record: &SourceRecord) {
        match declared(record, &self.shared.bus) {
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
        // Decided once, so that what a look takes back was listed.
        let of = |name: SourceName| (self.wanted(&name), self.plans.get(&name).cloned(), name);
        let looks: Vec<_> = names.into_iter().map(of).collect();
        let outdated = looks
            .iter()
            .filter_map(|(wanted, plan, _)| plan.as_ref().filter(|plan| is_outdated(plan, wanted.as_ref())));
        let functions: BTreeSet<FunctionName> = outdated.flat_map(|plan| plan.functions.clone()).collect();
        // Many schedules of one function may end at once, so what waits of it is listed once for all of them.
        let planned = match self.shared.bus.calls.planned(&functions).await {
            Ok(planned) => planned,
            Err(error) => {
                warn!(error = error.chain(), "what is planned cannot be listed; trying again");
                let again = skep_bus::now() + RETRY_DELAY;
                self.looks.extend(looks.into_iter().map(|(_, _, name)| Reverse((again, name))));
                return Ok(());
            }
        };
        let looks = looks.into_iter().map(|(wanted, plan, name)| {
            let look = Look { shared: &self.shared, planned: &planned, name: name.clone() };
            async move { (name, plan.clone(), Box::pin(look.run(wanted, plan)).await) }
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

/// Whether calls of this plan are to be taken back.
fn is_outdated(plan: &SchedulePlan, wanted: Option<&Wanted>) -> bool {
    wanted.is_none_or(|wanted| wanted.declared.spec != plan.spec || wanted.functions != plan.functions)
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
