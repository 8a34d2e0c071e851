//! The number of a function's replicas: set by hand, by alerts, and as its use asks for.

use skep_protocol::{AlertStatus, FunctionRecord, FunctionStats, control::Change, format_duration};
use skep_provider::Cause;
use time::OffsetDateTime;
use tokio::{sync::oneshot, time::Instant};
use tracing::{info, warn};

use crate::{
    Result,
    scaling::{self, Load, Present},
};

use super::{reconciler::Reconciler, request::not_found};

/// A call that comes due within this share of the idle time is use.
const SOON: f64 = 0.1;

impl Reconciler {
    /// Sets the number that a person wants.
    pub(super) async fn set(
        &mut self,
        record: FunctionRecord,
        replicas: u64,
        held_until: Option<OffsetDateTime>,
    ) -> Result<Change> {
        let held_until = held_until.filter(|_| self.scaler.is_automatic(&self.scaling));
        let change = self.scale(FunctionRecord { held_until, ..record }, replicas, "set by hand").await?;
        self.scaler.hold(replicas, held_until);
        Ok(change)
    }

    /// Gives a function replicas that is at zero and called.
    pub(super) async fn wake(&mut self, record: FunctionRecord) -> Result<Change> {
        if record.replicas > 0 {
            return Ok(Change::Unchanged);
        }
        let policy = scaling::policy(&record.deployment);
        let load = self.shared.loads.peek(&self.name);
        let replicas = self.scaler.awake(&self.scaling, &self.scaling.policy(policy.max_inflight), &load);
        self.scale(FunctionRecord { held_until: None, ..record }, replicas, "woken by a call").await
    }

    pub(super) async fn alert(&mut self, record: FunctionRecord, status: AlertStatus) -> Result<Change> {
        let wanted = self.scaling.after_alert(record.replicas, status);
        let is_firing = status == AlertStatus::Firing;
        let replicas = self.scaler.after_alert(&self.scaling, record.replicas, is_firing, wanted);
        if replicas == record.replicas {
            return Ok(Change::Unchanged);
        }
        self.scale(record, replicas, if is_firing { "an alert" } else { "the end of an alert" }).await
    }

    /// Has the number of replicas follow the use, if that is wanted, and reports the last second.
    pub(super) async fn decide(&mut self, load: Load, reply: oneshot::Sender<Result<FunctionStats>>) {
        let Some(record) = self.record.clone() else {
            let _ = reply.send(Err(not_found(&self.name)));
            return;
        };
        let present = Present {
            wanted: record.replicas,
            ready: record.endpoints.len() as u64,
            shortage: self.replicas.shortage(),
            cpu: self.replicas.cpu(),
        };
        let mut wanted = None;
        if self.scaler.is_automatic(&self.scaling) {
            let policy = self.scaling.policy(scaling::policy(&record.deployment).max_inflight);
            wanted = self.scaler.decide(&load, &present, policy);
            self.shared.upcoming.look_ahead(&self.name, self.scaler.horizon());
        }
        // The asker may have waited long enough.
        let _ = reply.send(Ok(self.scaler.stats(&load, &present, &self.scaling, &record)));
        if let Some(replicas) = wanted {
            let reason = self.scaler.reason();
            if record.replicas == 0 {
                // It has its idle time from now on.
                self.touched = Instant::now();
            }
            if let Err(error) = self.scale(record, replicas, &reason).await {
                self.scaler.refuse(&error);
            }
        } else if self.scaler.is_settled(&self.scaling, record.replicas) {
            self.shared.loads.settle(&self.name);
        }
    }

    async fn scale(&mut self, record: FunctionRecord, replicas: u64, reason: &str) -> Result<Change> {
        self.shared.provider.runtime.check_replicas(&self.name, replicas)?;
        let before = record.replicas;
        let change = self.put(FunctionRecord { replicas, ..record }, Cause::Scaled).await?;
        if replicas != before {
            self.scaler.changed(before, replicas, reason.to_owned());
        }
        Ok(change)
    }

    /// When it will have been idle for long enough to be scaled to zero.
    pub(super) fn idle_at(&self) -> Option<Instant> {
        let idle_timeout = scaling::idle_timeout(&self.scaling, self.record.as_ref()?.replicas)?;
        let used = self.shared.loads.last_use(&self.name);
        Some(used.map_or(self.touched, |used| used.max(self.touched)) + idle_timeout)
    }

    /// Scales it to zero, unless it was used meanwhile, or its use could not be reported.
    pub(super) async fn scale_down_if_idle(&mut self) {
        if self.idle_at().is_none_or(|idle_at| idle_at > Instant::now()) {
            return;
        }
        self.touched = Instant::now();
        let Some(record) = self.record.clone() else { return };
        if !self.shared.reports_are_complete() {
            return;
        }
        let idle = self.scaling.zero_after.unwrap_or_default();
        let soon = self.scaler.horizon().max(idle.mul_f64(SOON));
        if self.shared.upcoming.is_within(&self.name, skep_bus::now(), soon) {
            return;
        }
        let reason = format!("nobody has used it for {}", format_duration(idle));
        match self.scale(FunctionRecord { held_until: None, ..record }, 0, &reason).await {
            Ok(_) => info!(function = %self.name, "function was idle"),
            Err(error) => warn!(%error, function = %self.name, "an idle function was not scaled to zero"),
        }
    }
}
