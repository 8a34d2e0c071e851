//! Secrets that a provider brings with its first request.

use skep_protocol::{AuditAction, AuditLogEntry, SecretText, control::AddSourceSecret};
use skep_sources::Answer;
use tracing::warn;

use super::hook::Hook;
use crate::{Error, Result, app::App};

/// Gives the source the secret that a challenge has brought, if it has. Of several, the first counts.
pub(super) async fn learn(app: &App, hook: &Hook, answer: &Answer) -> Result<()> {
    let Some(secret) = &answer.learned else { return Ok(()) };
    let asked = AddSourceSecret {
        source: hook.name().clone(),
        value: SecretText::new(secret.expose().to_owned()),
        name: None,
        expires_at: None,
        retire_others: None,
        learned: true,
    };
    match app.control(&asked).await {
        Ok(_) => {}
        Err(Error::Bus(skep_bus::Error::Refused { status, message })) if status < 500 => {
            warn!(source = %hook.name(), message, "a secret that a request brought is not taken");
            return Err(Error::UnverifiedEvent);
        }
        Err(error) => return Err(error),
    }
    let entry = AuditLogEntry::new(skep_bus::now(), "the provider", AuditAction::SourceSecretAdd);
    app.audit_log.record(&entry.about(hook.name().as_str())).await;
    Ok(())
}
