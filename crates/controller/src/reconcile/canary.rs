//! The canary of a function: its replicas, how it is judged, and its end.
//!
//! It is a part of the function's spec, so one write begins or ends it, and a controller that takes over goes on with it.

use std::{sync::Arc, time::Duration};

use skep_protocol::{
    AuditAction, AuditLogEntry, Author, Canary, CanaryMode, CanaryOverview, CanaryReport, CanarySettings, CanaryStatus,
    FunctionDeployment, FunctionName, FunctionRecord, FunctionSpec, FunctionVersion, KeptVersion, Note, ReplicaStatus,
    Share, TrialId, VersionCause,
    control::{Change, Promoted, RolledBack},
    has_same_settings,
};
use skep_provider::{Cause, Replicas};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{
    Error, Result, scaling,
    trials::decide::{CanaryDecision, CanaryFigures, decide, outlook},
};

use super::{
    reconciler::Reconciler,
    request::not_found,
    versions::{CONTROLLER, next},
};

/// A canary is looked at as often, even if nothing is reported of it.
pub(super) const JUDGE_INTERVAL: Duration = Duration::from_secs(1);

/// The replicas of a canary; those of one that has ended are here until they are gone.
pub(super) struct CanaryReplicas {
    name: FunctionName,
    pub(super) replicas: Box<dyn Replicas>,
    /// Since when they are to be ready and are not.
    unready_since: Option<Instant>,
    /// How many there were when all of them were ready.
    ready: Option<u64>,
    /// How often some of them ended or were not ready any more.
    losses: u32,
}

impl CanaryReplicas {
    /// Returns when something may have changed; without a canary it never does.
    pub(super) async fn changed(canary: &mut Option<Self>) {
        match canary {
            Some(canary) => canary.replicas.changed().await,
            None => std::future::pending().await,
        }
    }
}

/// What the replicas of a canary are to be, as a provider reads it.
fn record_of(record: &FunctionRecord, canary: &Canary) -> FunctionRecord {
    let spec = FunctionSpec {
        deployment: Arc::clone(&canary.deployment),
        replicas: canary.share.of_replicas(record.replicas),
        created_at: record.created_at,
        held_until: None,
        version: Some(canary.version.clone()),
        canary: None,
    };
    let endpoints = record.canary_status.as_ref().map(|status| status.endpoints.clone()).unwrap_or_default();
    FunctionRecord::new(spec, ReplicaStatus { endpoints, ..ReplicaStatus::default() })
}

fn trial_of(version: &FunctionVersion) -> TrialId {
    TrialId { version: version.number, at: version.at }
}

fn settings(deployment: &FunctionDeployment) -> CanarySettings {
    scaling::policy(deployment).canary
}

// Replicas.
impl Reconciler {
    /// The replicas of the canary, which may be none yet.
    fn canary_replicas(&mut self) -> Result<&mut CanaryReplicas> {
        if self.canary.is_none() {
            let name = self.name.of_canary().map_err(|error| Error::Invalid(error.to_string()))?;
            let replicas = self.shared.provider.runtime.replicas(&name);
            self.canary = Some(CanaryReplicas { name, replicas, unready_since: None, ready: None, losses: 0 });
        }
        self.canary.as_mut().ok_or(Error::Busy)
    }

    /// Goes on with the canary that the record has, or ends the replicas of one that it has no more.
    pub(super) fn adopt_canary(&mut self) {
        let wanted = self.record.as_ref().and_then(|record| Some(record_of(record, record.canary.as_ref()?)));
        match wanted {
            Some(wanted) => {
                if let Ok(canary) = self.canary_replicas() {
                    canary.replicas.adopt(&wanted);
                }
            }
            None => self.canary.iter_mut().for_each(|canary| canary.replicas.remove()),
        }
    }

    /// Brings the canary's replicas to what a new record says.
    pub(super) async fn apply_canary(&mut self, record: &FunctionRecord, cause: Cause) -> Result<()> {
        let Some(canary) = &record.canary else {
            self.canary.iter_mut().for_each(|canary| canary.replicas.remove());
            return Ok(());
        };
        let wanted = record_of(record, canary);
        let replicas = self.canary_replicas()?;
        if matches!(cause, Cause::Deployed { .. }) {
            (replicas.unready_since, replicas.ready, replicas.losses) = (None, None, 0);
        }
        replicas.replicas.apply(&wanted, cause).await
    }

    pub(super) fn converge_canary(&mut self) {
        let wanted = self.record.as_ref().and_then(|record| Some(record_of(record, record.canary.as_ref()?).replicas));
        let Some(canary) = &mut self.canary else { return };
        canary.replicas.converge();
        match wanted {
            None | Some(0) => (canary.unready_since, canary.ready) = (None, None),
            Some(_) if canary.replicas.is_ready() => (canary.unready_since, canary.ready) = (None, wanted),
            Some(_) => {
                canary.unready_since.get_or_insert_with(Instant::now);
                // More of them that are wanted were never ready.
                canary.losses += u32::from(canary.ready.take() == wanted);
            }
        }
    }

    /// What there is of the canary. It takes calls only while all of its replicas are its own, and ready.
    pub(super) fn canary_status(&self, record: &FunctionRecord) -> Option<CanaryStatus> {
        let version = record.canary.as_ref()?.version.number;
        let replicas = &self.canary.as_ref()?.replicas;
        let endpoints = if replicas.is_ready() { replicas.endpoints() } else { Vec::new() };
        Some(CanaryStatus { version, endpoints, problem: replicas.problem() })
    }

    /// Lets replicas end that the registry does not name any more, and forgets a canary of which none is left.
    pub(super) fn retire_canary(&mut self) {
        let Some(canary) = &mut self.canary else { return };
        canary.replicas.retire();
        if canary.replicas.is_empty() && self.record.as_ref().is_none_or(|record| record.canary.is_none()) {
            self.shared.provider.runtime.forget(&canary.name);
            self.canary = None;
        }
    }
}

// Judging.
impl Reconciler {
    fn canary_figures(&self, canary: &Canary) -> CanaryFigures {
        let replicas = self.canary.as_ref();
        let is_ready = replicas.is_some_and(|canary| canary.replicas.is_ready());
        let unready = replicas.and_then(|canary| canary.unready_since).map(|since| since.elapsed());
        CanaryFigures {
            counted: self.shared.trials.of(&self.name, trial_of(&canary.version)),
            age: (skep_bus::now() - canary.version.at).try_into().unwrap_or_default(),
            unready: (!is_ready).then(|| unready.unwrap_or_default()),
            failure: replicas.and_then(|canary| canary.replicas.failure()),
            losses: replicas.map_or(0, |canary| canary.losses),
            problem: replicas.and_then(|canary| canary.replicas.problem()),
            start_timeout: scaling::policy(&canary.deployment).update_timeout,
        }
    }

    /// The canary with what was counted of it.
    pub(super) fn canary_report(&self) -> Option<CanaryReport> {
        let record = self.record.as_ref()?;
        let canary = record.canary.as_ref()?;
        let figures = self.canary_figures(canary);
        Some(CanaryReport {
            canary: CanaryOverview::of(record)?,
            current_version: record.number(),
            next: outlook(&figures, &settings(&canary.deployment).limits),
            new: figures.counted.new.figures(),
            old: figures.counted.old.figures(),
        })
    }

    /// Promotes the canary or rolls it back, if it is time for that.
    pub(super) async fn judge_canary(&mut self) {
        let Some(canary) = self.record.as_ref().and_then(|record| record.canary.as_ref()) else { return };
        let number = canary.version.number;
        let decision = decide(&self.canary_figures(canary), &settings(&canary.deployment).limits);
        let done = match &decision {
            CanaryDecision::Keep => return,
            CanaryDecision::Promote => self.promote().await.map(|_| ()),
            CanaryDecision::RollBack(reason) => self.roll_back_canary(reason).await,
        };
        match (done, decision) {
            (Err(error), _) => {
                warn!(error = error.to_string(), function = %self.name, "a canary could not be ended yet");
            }
            (Ok(()), CanaryDecision::RollBack(reason)) => {
                warn!(function = %self.name, version = number, reason, "a canary is rolled back");
                self.log_end(AuditAction::Rollback, &format!("version {number} was rolled back: {reason}")).await;
            }
            (Ok(()), _) => {
                info!(function = %self.name, version = number, "a canary is promoted");
                self.log_end(AuditAction::Promote, &format!("version {number}")).await;
            }
        }
    }

    async fn roll_back_canary(&mut self, reason: &str) -> Result<()> {
        let number = self.record.as_ref().and_then(canary_number);
        let note = Note::fitted(&format!("version {} was rolled back: {reason}", number.unwrap_or_default()));
        let author = Author::new(CONTROLLER, Some(note));
        self.end_canary(VersionCause::AutomaticRollback, author).await.map(|_| ())
    }

    async fn log_end(&self, action: AuditAction, details: &str) {
        let entry = AuditLogEntry::new(skep_bus::now(), CONTROLLER, action);
        let entry = entry.about(&self.name.to_string()).with_details(details);
        // An entry that is lost is in the log of this process.
        let _is_stored = self.shared.bus.audit_log.write(&entry, None).await;
    }
}

// Beginning and ending.
impl Reconciler {
    /// Begins a canary, in the place of one that there may be.
    pub(super) async fn begin_canary(
        &mut self,
        record: FunctionRecord,
        mut deployment: FunctionDeployment,
        author: Author,
        share: Share,
    ) -> Result<Change> {
        if record.version.is_some() && record.ready_version != record.number() && record.replicas > 0 {
            let reason = format!("function {} is being updated: wait until that is ready", self.name);
            return Err(Error::Conflict(reason));
        }
        // Its name must be possible before anything is written.
        self.name.of_canary().map_err(|error| Error::Invalid(error.to_string()))?;
        self.admit(&deployment).await?;
        let kept = self.keep_current(&record).await?;
        let record = with_version(record, &kept);
        let kept = self.keep_all(&record).await?;
        let mut version = next(&kept, VersionCause::Update, author, &deployment, &record.deployment);
        version.replaces = canary_number(&record);
        let cause = Cause::Deployed { registry_auth: std::mem::take(&mut deployment.registry_auth) };
        let canary = Canary { version, deployment: Arc::new(deployment), share };
        let record = FunctionRecord { canary: Some(canary), canary_status: None, ..record };
        self.put_both(record, Cause::Scaled, cause).await
    }

    /// A deploy of what the canary has already: only the share may be another one.
    pub(super) async fn deploy_canary_again(
        &mut self,
        record: FunctionRecord,
        canary: Canary,
        mode: Option<CanaryMode>,
    ) -> Result<Change> {
        match mode {
            Some(CanaryMode::Off) => self.promote().await.map(|promoted| promoted.change),
            Some(CanaryMode::Share(share)) if share != canary.share => {
                let canary = Some(Canary { share, ..canary });
                self.put(FunctionRecord { canary, ..record }, Cause::Scaled).await
            }
            Some(CanaryMode::Share(_)) | None => Ok(Change::Unchanged),
        }
    }

    /// Gives all calls to the canary's version. The former one serves until its replicas are ready.
    pub(super) async fn promote(&mut self) -> Result<Promoted> {
        let Some(record) = self.record.clone() else { return Err(not_found(&self.name)) };
        let Some(Canary { version, deployment, .. }) = record.canary.clone() else {
            return Err(Error::Conflict(format!("function {} has no canary", self.name)));
        };
        let minimum = self.admit(&deployment).await?;
        self.keep_current(&record).await?;
        let replicas = scaling::after_update(&self.scaling, record.replicas, minimum);
        let has_answered = self.shared.trials.of(&self.name, trial_of(&version)).new.answered > 0;
        let number = version.number;
        let answered_version = if has_answered { Some(number) } else { record.answered_version };
        let record =
            FunctionRecord { deployment, replicas, answered_version, canary: None, canary_status: None, ..record };
        let cause = Cause::Updated { registry_auth: String::new() };
        let change = self.put_version(record, version, cause).await?;
        Ok(Promoted { change, version: number })
    }

    /// Ends the canary; the current version goes on under a new number, which says why.
    pub(super) async fn end_canary(&mut self, cause: VersionCause, author: Author) -> Result<RolledBack> {
        let Some(record) = self.record.clone() else { return Err(not_found(&self.name)) };
        let kept = self.keep_all(&record).await?;
        let former = record.canary.as_ref().map_or(&record.deployment, |canary| &canary.deployment);
        let mut version = next(&kept, cause, author, &record.deployment, former);
        let current = record.number();
        version.restores = current;
        version.replaces = canary_number(&record);
        let number = version.number;
        // The replicas stay, and so does what is known of them.
        let still = |known: Option<u64>| if known == current { Some(number) } else { known };
        let (ready_version, answered_version) = (still(record.ready_version), still(record.answered_version));
        let record = FunctionRecord { canary: None, canary_status: None, ready_version, answered_version, ..record };
        let change = self.put_version(record, version, Cause::Scaled).await?;
        Ok(RolledBack { change, version: number, restores: current.unwrap_or_default() })
    }
}

/// A record with the version that it is, if a skep wrote it that kept none.
fn with_version(record: FunctionRecord, kept: &[KeptVersion]) -> FunctionRecord {
    let Some(current) = kept.last().filter(|_| record.version.is_none()) else { return record };
    let version = current.version.clone();
    FunctionRecord { ready_version: Some(version.number), version: Some(version), ..record }
}

/// The number of a canary's version.
pub(super) fn canary_number(record: &FunctionRecord) -> Option<u64> {
    record.canary.as_ref().map(|canary| canary.version.number)
}

/// Whether a deployment is what the canary of a function has already.
pub(super) fn canary_with(record: &FunctionRecord, deployment: &FunctionDeployment) -> Option<Canary> {
    record.canary.clone().filter(|canary| has_same_settings(deployment, &canary.deployment))
}
