//! The report of what is used from here, each second, to the controller.

use std::time::Duration;

use skep_bus::Activity;
use skep_protocol::{FunctionLoad, LoadReport, Part};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Registry;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Without a function in use for this long, the reports end until there is one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A sender that has nothing to report says this often that it is there.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(20);

/// Reports until shutdown.
pub(crate) async fn run(activity: Activity, registry: Registry, part: Part, shutdown: CancellationToken) {
    let mut reports = Reports::new(activity, registry, part);
    let mut ticks = tokio::time::interval(REPORT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        shutdown.run_until_cancelled(reports.send(false)).await;
    }
    reports.send(true).await;
}

struct Reports {
    activity: Activity,
    registry: Registry,
    sender: String,
    part: Part,
    seq: u64,
    /// When the last figures were taken.
    reported: Instant,
    /// When the last report was sent.
    sent: Option<Instant>,
    /// When a function was in use last; `None` if the controller knows that none is.
    used: Option<Instant>,
}

impl Reports {
    fn new(activity: Activity, registry: Registry, part: Part) -> Self {
        let sender = Uuid::new_v4().simple().to_string();
        Self { activity, registry, sender, part, seq: 0, reported: Instant::now(), sent: None, used: None }
    }

    async fn send(&mut self, is_end: bool) {
        let snapshot = self.registry.snapshot();
        let used = snapshot.iter().filter_map(|function| {
            let calls = function.usage.take(&function.metrics)?;
            Some(FunctionLoad { name: function.name.clone(), calls })
        });
        let functions: Vec<_> = used.collect();
        let now = Instant::now();
        let ms = now.duration_since(std::mem::replace(&mut self.reported, now)).as_millis();
        if !functions.is_empty() {
            self.used = Some(now);
        }
        let last = is_end || self.used.is_none_or(|used| used.elapsed() >= IDLE_TIMEOUT);
        if self.used.is_none() && self.sent.is_some_and(|sent| sent.elapsed() < PRESENCE_INTERVAL) {
            return;
        }
        if last {
            self.used = None;
        }
        self.sent = Some(now);
        let (sender, ms) = (self.sender.clone(), u64::try_from(ms).unwrap_or(u64::MAX));
        let report = LoadReport { sender, seq: self.seq, ms, last, part: Some(self.part.clone()), functions };
        self.activity.report(report, &mut self.seq).await;
    }
}
