//! Each second of the functions in use: their queues are looked at, decisions are made, and all of it is published.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use skep_bus::{QueueDepth, Result};
use skep_protocol::{FunctionName, FunctionStats, Stats, Totals};
use tokio::{
    join,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::debug;

use super::{Loads, ScalingMetrics, metrics::Shown};
use crate::reconcile::Reconcilers;

const INTERVAL: Duration = Duration::from_secs(1);
/// Functions of which the queues are looked at together.
const TOGETHER: usize = 64;
/// What the bus has not answered until then follows in the next second.
const LOOK_TIMEOUT: Duration = Duration::from_millis(700);
/// How often queues of functions are searched for that nobody uses.
const SEARCH_INTERVAL: Duration = Duration::from_secs(5);
/// How often dead letters and waiting callbacks are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);
/// What a function's task does not decide in this time is not published.
const DECISION_TIMEOUT: Duration = Duration::from_millis(200);

/// What is kept from one second to the next.
pub(crate) struct Seconds {
    reconcilers: Arc<Reconcilers>,
    metrics: Shown,
    seq: u64,
    began: Instant,
    searched: Option<Instant>,
    counted: Option<(Instant, Counted)>,
}

/// What is stored; what could not be counted is missing.
#[derive(Clone, Copy)]
struct Counted {
    dead_letters: Option<u64>,
    callbacks: Option<u64>,
}

impl Seconds {
    pub(crate) fn new(reconcilers: Arc<Reconcilers>, metrics: ScalingMetrics) -> Self {
        let metrics = Shown(metrics);
        Self { reconcilers, metrics, seq: 0, began: Instant::now(), searched: None, counted: None }
    }

    /// Goes on until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.second().await;
        }
    }

    async fn second(&mut self) {
        let senders = self.loads().sweep();
        self.see_due().await;
        let used = self.loads().in_use();
        self.look(&used).await;
        let functions = self.decide().await;
        self.metrics.0.show(&functions);
        let mut totals = Totals { senders: senders as u64, functions: self.reconcilers.count(), ..Totals::default() };
        for function in &functions {
            totals.calls.add(&function.calls);
            totals.waiting += function.waiting;
        }
        let counted = self.counted().await;
        (totals.dead_letters, totals.callbacks) = (counted.dead_letters, counted.callbacks);
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.began = Instant::now();
        self.seq += 1;
        let stats = Stats { at: skep_bus::now(), seq: self.seq, ms, functions, totals };
        self.reconcilers.bus.stats.publish(stats).await;
    }

    /// Looks at the queues of functions in use, and now and then for those of others.
    async fn look(&mut self, used: &[FunctionName]) {
        let is_due = self.searched.is_none_or(|at| at.elapsed() >= SEARCH_INTERVAL);
        if used.is_empty() && !is_due {
            return;
        }
        let looked = timeout(LOOK_TIMEOUT, see_waiting(&self.reconcilers.bus.queue_depth, self.loads(), used)).await;
        match looked {
            Ok(Ok(())) => self.searched = Some(Instant::now()),
            Ok(Err(error)) => debug!(error = error.chain(), "queues cannot be looked at; trying again"),
            Err(_) => debug!("queues were not looked at in time; trying again"),
        }
    }

    /// Notes which calls come due before replicas that are started now are ready.
    async fn see_due(&self) {
        let mut soon = self.reconcilers.upcoming.soon(skep_bus::now());
        soon.retain(|name, _| self.reconcilers.require(name).is_ok());
        // What was cancelled is not known yet. More functions than these are looked at as if nothing was.
        let left = soon.keys().take(TOGETHER).map(async |name| {
            let there = self.reconcilers.bus.queue_depth.delayed_calls(name).await.ok()?;
            Some((name.clone(), there.0))
        });
        let left = timeout(LOOK_TIMEOUT, join_all(left)).await.unwrap_or_default();
        for (name, there) in left.into_iter().flatten() {
            soon.entry(name).and_modify(|due| *due = there.min(*due));
        }
        self.loads().see_due(soon);
    }

    /// Has each function in use decide in its own task.
    async fn decide(&self) -> Vec<FunctionStats> {
        let is_connected = self.reconcilers.reports_are_complete();
        let asked = self.loads().in_use().into_iter().filter_map(|name| {
            if self.reconcilers.require(&name).is_err() {
                self.loads().forget(&name);
                return None;
            }
            if !self.reconcilers.is_free(&name) {
                return None;
            }
            let mut load = self.loads().take(&name);
            load.is_complete &= is_connected;
            Some(timeout(DECISION_TIMEOUT, self.reconcilers.decide(name, load)))
        });
        join_all(asked).await.into_iter().filter_map(|answer| answer.ok()?.ok()).collect()
    }

    async fn counted(&mut self) -> Counted {
        if let Some((at, counted)) = self.counted
            && at.elapsed() < COUNT_INTERVAL
        {
            return counted;
        }
        let bus = &self.reconcilers.bus.housekeeping;
        let (dead, callbacks) =
            join!(timeout(LOOK_TIMEOUT, bus.dead_letters()), timeout(LOOK_TIMEOUT, bus.waiting_callbacks()));
        let counted = Counted {
            dead_letters: dead.ok().and_then(Result::ok),
            callbacks: callbacks.ok().and_then(Result::ok).map(|callbacks| callbacks.waiting),
        };
        self.counted = Some((Instant::now(), counted));
        counted
    }

    fn loads(&self) -> &Loads {
        &self.reconcilers.loads
    }
}

async fn see_waiting(bus: &QueueDepth, loads: &Loads, used: &[FunctionName]) -> Result<()> {
    let mut chunks = used.chunks(TOGETHER);
    loop {
        let chunk = chunks.next().unwrap_or_default();
        let found = bus.untaken(chunk).await?;
        for (name, waiting) in found.functions {
            loads.see_waiting(&name, waiting);
        }
        // Those that are in no chunk are looked at in the next second.
        found.others.iter().for_each(|name| loads.watch(name));
        if chunks.len() == 0 {
            return Ok(());
        }
    }
}
