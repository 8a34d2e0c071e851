//! Deploys the sources of the stack file over the bus, as `stack.rs` deploys its functions.

use serde_json::Value;
use skep_bus::{Bus, Error, Result};
use skep_protocol::{
    AuditAction, AuditLogEntry, SourceName,
    control::{Change, CreateSource, UpdateSource},
};
use skep_stack::{Difference, source_difference};

use crate::failure::TRY_AGAIN;

/// The status of an addition of what is there already.
const CONFLICT: u16 = 409;

/// Adds or updates what differs from the registry, and has secrets read again that are named. Others stay as they are.
///
/// Returns the first refusal, which does not keep the others from being deployed.
pub(super) async fn apply(bus: &Bus, sources: &[(SourceName, Value)]) -> Result<Option<Error>> {
    let mut first = None;
    for (name, spec) in sources {
        let (action, written) = put(bus, name, spec).await;
        let refusal = match written {
            Ok(Change::Unchanged) => continue,
            Ok(Change::Written(_)) => None,
            Err(refusal @ Error::Refused { status, .. }) if status != TRY_AGAIN => Some(refusal),
            Err(error) => return Err(error),
        };
        log_change(bus, name, action, refusal.as_ref()).await;
        first = first.or(refusal);
    }
    Ok(first)
}

async fn put(bus: &Bus, name: &SourceName, spec: &Value) -> (AuditAction, Result<Change>) {
    let known = match bus.sources.get(name).await {
        Ok(known) => known,
        Err(error) => return (AuditAction::SourceCreate, Err(error)),
    };
    if known.is_none() {
        let created = bus.control.request(&CreateSource { name: name.clone(), spec: spec.clone() }).await;
        if !matches!(created, Err(Error::Refused { status: CONFLICT, .. })) {
            return (AuditAction::SourceCreate, created);
        }
        // Someone else has added it since.
    }
    // A secret that is named may have changed while skep did not run.
    let declared = known.as_ref().map(|known| &known.record.spec);
    if source_difference(spec, declared) == Difference::Same && spec.get("secrets").is_none() {
        return (AuditAction::SourceUpdate, Ok(Change::Unchanged));
    }
    (AuditAction::SourceUpdate, bus.control.request(&UpdateSource { name: name.clone(), spec: spec.clone() }).await)
}

async fn log_change(bus: &Bus, name: &SourceName, action: AuditAction, refusal: Option<&Error>) {
    let mut entry = AuditLogEntry::new(skep_bus::now(), "stack file", action).about(name.as_str());
    if let Some(Error::Refused { status, .. }) = refusal {
        (entry.status, entry.error) = (Some(*status), Some("refused".to_owned()));
    }
    // An entry that is lost is in the log of this process.
    let _is_stored = bus.audit_log.write(&entry, None).await;
}
