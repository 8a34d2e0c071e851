//! The versions of a function: each change of its settings makes one, and an update that does not become ready is rolled back.

use std::sync::Arc;

use skep_bus::Error as BusError;
use skep_protocol::{
    AuditAction, AuditLogEntry, Author, CanaryMode, FunctionDeployment, FunctionName, FunctionRecord, FunctionVersion,
    KeptVersion, Note, TrialId, VersionCause, VersionRoles, changed_settings,
    control::{Change, RolledBack},
    format_duration, has_same_settings, previous,
};
use skep_provider::Cause;
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::warn;

use crate::{Error, Result, scaling};

use super::{
    canary::{canary_number, canary_with},
    reconciler::{Reconciler, WRITE_RETRY_INTERVAL},
    request::not_found,
};

/// Who rolls back what does not become ready, in versions and in the audit log.
pub(super) const CONTROLLER: &str = "controller";
/// Who made a version of which no author is known.
const UNKNOWN: &str = "unknown";

impl Reconciler {
    /// Gives the function other settings, and so makes a version; with the same settings the version stays.
    pub(super) async fn update(
        &mut self,
        record: FunctionRecord,
        mut deployment: FunctionDeployment,
        author: Author,
        mode: Option<CanaryMode>,
    ) -> Result<Change> {
        // Credentials are no setting.
        let settings = FunctionDeployment { registry_auth: String::new(), ..deployment.clone() };
        if let Some(canary) = canary_with(&record, &settings) {
            return self.deploy_canary_again(record, canary, mode).await;
        }
        let is_same = has_same_settings(&settings, &record.deployment);
        match mode.unwrap_or_else(|| scaling::policy(&deployment).canary.mode) {
            CanaryMode::Share(share) if !is_same => {
                return self.begin_canary(record, deployment, author, share).await;
            }
            _ if is_same && record.canary.is_some() => {
                return self.end_canary(VersionCause::Rollback, author).await.map(|ended| ended.change);
            }
            CanaryMode::Share(_) | CanaryMode::Off => {}
        }
        let minimum = self.admit(&deployment).await?;
        let replicas = scaling::after_update(&self.scaling, record.replicas, minimum);
        let registry_auth = std::mem::take(&mut deployment.registry_auth);
        let cause = Cause::Updated { registry_auth };
        if is_same {
            return self.put(FunctionRecord { replicas, ..record }, cause).await;
        }
        let kept = self.keep_all(&record).await?;
        let mut version = next(&kept, VersionCause::Update, author, &deployment, &record.deployment);
        version.replaces = canary_number(&record);
        let deployment = Arc::new(deployment);
        let record = FunctionRecord { deployment, replicas, canary: None, ..as_former(record, &kept) };
        self.put_version(record, version, cause).await
    }

    /// Brings the settings of a former version back, as a new version. What the current version has needs only the end of the canary.
    pub(super) async fn go_back(&mut self, version: Option<u64>, author: Author) -> Result<RolledBack> {
        let Some(record) = self.record.clone() else { return Err(not_found(&self.name)) };
        if record.canary.is_some() && (version.is_none() || version == record.number()) {
            return self.end_canary(VersionCause::Rollback, author).await;
        }
        let kept = self.keep_all(&record).await?;
        let current = as_former(record.clone(), &kept).number().or(kept.last().map(|kept| kept.version.number));
        let chosen = self.chosen(&kept, current.unwrap_or_default(), version)?;
        let (restores, deployment) = (chosen.version.number, chosen.deployment.clone());
        let name = self.name.clone();
        let refused = |error| cannot_go_back(&name, restores, error);
        let minimum = self.admit(&deployment).await.map_err(refused)?;
        let replicas = scaling::after_update(&self.scaling, record.replicas, minimum);
        let mut version = next(&kept, VersionCause::Rollback, author, &deployment, &record.deployment);
        (version.restores, version.replaces) = (Some(restores), current);
        let number = version.number;
        let deployment = Arc::new(deployment);
        let record = FunctionRecord { deployment, replicas, canary: None, ..as_former(record, &kept) };
        let change = self.put_version(record, version, Cause::RolledBack).await.map_err(refused)?;
        Ok(RolledBack { change, version: number, restores })
    }

    /// The version that is named, or the previous one.
    fn chosen<'kept>(
        &self,
        kept: &'kept [KeptVersion],
        current: u64,
        version: Option<u64>,
    ) -> Result<&'kept KeptVersion> {
        let name = &self.name;
        let (first, last) = (kept.first(), kept.last().map(|kept| kept.version.number));
        let Some(version) = version else {
            let reason = format!("function {name} has no former version with other settings that did not fail");
            return previous(kept, current).ok_or(Error::Conflict(reason));
        };
        if version == current {
            return Err(Error::Conflict(format!("function {name} has version {version} already")));
        }
        let first = first.map_or(0, |kept| kept.version.number);
        let found = kept.iter().find(|kept| kept.version.number == version);
        found.ok_or_else(|| {
            let last = last.unwrap_or_default();
            Error::NotFound(format!("function {name} has no version {version}; {first} to {last} are kept"))
        })
    }

    /// The versions that are kept, the oldest first, and which one is what.
    pub(super) async fn versions(&self) -> Result<(Vec<KeptVersion>, VersionRoles)> {
        let Some(record) = &self.record else { return Err(not_found(&self.name)) };
        let (mut kept, current) = self.kept(record).await?;
        kept.extend(current);
        let ready = as_former(record.clone(), &kept).ready_version;
        let current = record.number().or(kept.last().map(|kept| kept.version.number));
        let canary = kept_canary(record).filter(|canary| !is_kept(&kept, canary));
        kept.extend(canary);
        Ok((kept, VersionRoles { current, ready, canary: canary_number(record) }))
    }

    /// What is kept, and the current version if that is missing: a former skep kept none, or its write has failed.
    async fn kept(&self, record: &FunctionRecord) -> Result<(Vec<KeptVersion>, Option<KeptVersion>)> {
        let mut kept = self.shared.bus.versions.of(&self.name).await?;
        // A canary is kept before it ends, and again when it is promoted.
        kept.dedup_by_key(|kept| kept.version.number);
        let last = kept.last().map_or(0, |kept| kept.version.number);
        let current = match &record.version {
            Some(version) if version.number <= last => return Ok((kept, None)),
            Some(version) => version.clone(),
            None => unknown(last + 1, record.created_at),
        };
        let deployment = FunctionDeployment::clone(&record.deployment);
        Ok((kept, Some(KeptVersion { version: current, deployment })))
    }

    /// The versions that are kept; the current one and then the canary are written if they are missing.
    pub(super) async fn keep_all(&self, record: &FunctionRecord) -> Result<Vec<KeptVersion>> {
        let mut kept = self.keep_current(record).await?;
        if let Some(canary) = kept_canary(record).filter(|canary| !is_kept(&kept, canary)) {
            self.shared.lease.keep_version(&self.name, &canary).await?;
            kept.push(canary);
        }
        Ok(kept)
    }

    /// The versions that are kept; the current one is written if it is missing.
    pub(super) async fn keep_current(&self, record: &FunctionRecord) -> Result<Vec<KeptVersion>> {
        let (mut kept, missing) = self.kept(record).await?;
        if let Some(missing) = missing {
            self.shared.lease.keep_version(&self.name, &missing).await?;
            kept.push(missing);
        }
        Ok(kept)
    }

    /// Writes a record that is a new version, and keeps that.
    pub(super) async fn put_version(
        &mut self,
        record: FunctionRecord,
        version: FunctionVersion,
        cause: Cause,
    ) -> Result<Change> {
        let deployment = FunctionDeployment::clone(&record.deployment);
        let change = self.put(FunctionRecord { version: Some(version.clone()), ..record }, cause).await?;
        self.update_deadline = None;
        if let Err(error) = self.shared.lease.keep_version(&self.name, &KeptVersion { version, deployment }).await {
            // The spec has what is needed to keep it at the next change.
            warn!(error = error.chain(), function = %self.name, "a version was not kept yet");
        }
        Ok(change)
    }

    /// Rolls the present update back if it will not become ready.
    pub(super) async fn judge_update(&mut self) {
        let Some((ready, reason)) = self.failed_update().or_else(|| self.failed_calls()) else { return };
        if let Err(error) = self.roll_back_update(ready, &reason).await {
            warn!(error = error.to_string(), function = %self.name, "an update could not be rolled back yet");
            self.update_deadline = Some(Instant::now() + WRITE_RETRY_INTERVAL);
        }
    }

    /// The version to go back to, and why, if the present one has failed.
    fn failed_update(&mut self) -> Option<(u64, String)> {
        let record = self.record.as_ref()?;
        let (current, ready) = (record.number()?, record.ready_version?);
        if current == ready || record.replicas == 0 || self.replicas.is_ready() {
            self.update_deadline = None;
            return None;
        }
        let limit = scaling::policy(&record.deployment).update_timeout?;
        let deadline = *self.update_deadline.get_or_insert_with(|| Instant::now() + limit);
        if let Some(reason) = self.replicas.failure() {
            return Some((ready, reason));
        }
        if Instant::now() < deadline {
            return None;
        }
        let problem = self.replicas.problem().map(|problem| format!(": {problem}")).unwrap_or_default();
        Some((ready, format!("it was not ready after {}{problem}", format_duration(limit))))
    }

    /// The version to go back to, and why, if all first calls of the present one have failed. One that was answered counts as good for ever.
    fn failed_calls(&mut self) -> Option<(u64, String)> {
        let record = self.record.as_mut()?;
        let version = record.version.as_ref()?;
        let number = Some(version.number);
        if record.canary.is_some() || record.ready_version != number || record.answered_version == number {
            return None;
        }
        let trial = TrialId { version: version.number, at: version.at };
        let counted = self.shared.trials.of(&self.name, trial).new;
        if counted.answered > 0 {
            record.answered_version = number;
            return None;
        }
        let limit = scaling::policy(&record.deployment).first_calls?;
        let good = record.answered_version?;
        (counted.failed >= limit).then(|| (good, format!("its first {} calls failed, all of them", counted.failed)))
    }

    /// Brings the last good version back.
    async fn roll_back_update(&mut self, good: u64, reason: &str) -> Result<()> {
        let Some(record) = self.record.clone() else { return Ok(()) };
        let kept = self.keep_current(&record).await?;
        let failed = kept.last().map_or(0, |kept| kept.version.number);
        let Some(found) = kept.iter().find(|kept| kept.version.number == good) else {
            warn!(function = %self.name, reason, "an update is not ready, and there is no version to go back to");
            self.record = Some(FunctionRecord { ready_version: None, answered_version: None, ..record });
            return Ok(());
        };
        let note = Note::fitted(&format!("version {failed} was rolled back: {reason}"));
        let entry = AuditLogEntry::new(skep_bus::now(), CONTROLLER, AuditAction::Rollback);
        let entry = entry.about(&self.name.to_string()).with_details(note.as_str());
        let author = Author::new(CONTROLLER, Some(note));
        let deployment = found.deployment.clone();
        let mut version = next(&kept, VersionCause::AutomaticRollback, author, &deployment, &record.deployment);
        (version.restores, version.replaces) = (Some(good), Some(failed));
        // It is not to be judged again, because nothing better is known.
        let (ready_version, answered_version) = (Some(version.number), Some(version.number));
        let minimum = scaling::scaling(&deployment).min;
        let replicas = scaling::after_update(&self.scaling, record.replicas, minimum);
        let deployment = Arc::new(deployment);
        let record = FunctionRecord { deployment, replicas, ready_version, answered_version, ..record };
        self.put_version(record, version, Cause::RolledBack).await?;
        warn!(function = %self.name, failed, restored = good, reason, "an update is rolled back");
        // An entry that is lost is in the log of this process.
        let _is_stored = self.shared.bus.audit_log.write(&entry, None).await;
        Ok(())
    }
}

/// Settings that were valid once can be so no longer, such as a secret that is gone.
fn cannot_go_back(name: &FunctionName, version: u64, error: Error) -> Error {
    match error {
        Error::Invalid(reason) => {
            let message = format!("function {name} cannot go back to version {version}: {reason}");
            Error::Bus(BusError::Refused { status: 422, message })
        }
        other => other,
    }
}

/// The first version of a function.
pub(super) fn first(author: Author) -> FunctionVersion {
    made(1, VersionCause::Deploy, author)
}

/// The version after those that are kept.
pub(super) fn next(
    kept: &[KeptVersion],
    cause: VersionCause,
    author: Author,
    wanted: &FunctionDeployment,
    former: &FunctionDeployment,
) -> FunctionVersion {
    let number = kept.last().map_or(1, |kept| kept.version.number + 1);
    FunctionVersion { changed: changed_settings(wanted, former), ..made(number, cause, author) }
}

fn made(number: u64, cause: VersionCause, Author { actor, note }: Author) -> FunctionVersion {
    let note = note.filter(|note| !note.as_str().is_empty());
    let (at, actor) = (skep_bus::now(), if actor.is_empty() { UNKNOWN.to_owned() } else { actor });
    FunctionVersion { number, at, actor, cause, restores: None, replaces: None, changed: Vec::new(), note }
}

/// A version of which nothing is known but its settings.
fn unknown(number: u64, at: OffsetDateTime) -> FunctionVersion {
    FunctionVersion { at, ..made(number, VersionCause::Unknown, Author::default()) }
}

/// A record before it changes. One without a version was written by a skep that kept none, and counts as ready.
fn as_former(record: FunctionRecord, kept: &[KeptVersion]) -> FunctionRecord {
    match record.version {
        Some(_) => record,
        None => FunctionRecord { ready_version: kept.last().map(|kept| kept.version.number), ..record },
    }
}

/// The canary of a function as a version.
fn kept_canary(record: &FunctionRecord) -> Option<KeptVersion> {
    let canary = record.canary.as_ref()?;
    Some(KeptVersion { version: canary.version.clone(), deployment: FunctionDeployment::clone(&canary.deployment) })
}

fn is_kept(kept: &[KeptVersion], version: &KeptVersion) -> bool {
    kept.iter().any(|kept| kept.version.number == version.version.number)
}
