//! What the API shows of a source.

use skep_bus::Source;
use skep_protocol::{SourceSecretStatus, SourceStatus};

use crate::{app::App, hooks};

pub(super) fn of(source: &Source, app: &App) -> SourceStatus {
    let record = &source.record;
    let receiver = hooks::compile(source, app);
    let open = receiver.as_ref().is_ok_and(skep_sources::Receiver::is_open);
    let problem = match &receiver {
        Ok(receiver) if !receiver.needs_secret() => None,
        Ok(_) => problem_of_secrets(source, app),
        Err(reason) => Some(reason.clone()),
    };
    SourceStatus {
        name: record.name.clone(),
        path: format!("/hooks/{}", record.name),
        paused: record.paused,
        open,
        secrets: secrets(source),
        created_at: record.created_at,
        updated_at: record.updated_at,
        problem,
        warnings: receiver.map(|receiver| receiver.warnings().to_vec()).unwrap_or_default(),
        spec: record.spec.clone(),
    }
}

/// The secrets that count now, without their values.
pub(super) fn secrets(source: &Source) -> Vec<SourceSecretStatus> {
    source.secrets.active(skep_bus::now()).map(SourceSecretStatus::from).collect()
}

/// Why this gateway can verify no event of the source, or not all, if so.
fn problem_of_secrets(source: &Source, app: &App) -> Option<String> {
    let name = &source.record.name;
    let mut keys = source.secrets.active(skep_bus::now()).filter(|secret| secret.name.is_none()).peekable();
    if keys.peek().is_none() {
        return Some(format!("it has no secret, so no event can be verified: skep sources secret add {name}"));
    }
    let Some(seal_key) = &app.hooks.seal_key else {
        return Some("this gateway has no seal key, so it knows no secret: start it with --seal-key-file".to_owned());
    };
    let unreadable = keys.filter(|secret| seal_key.open(name, secret).is_err()).count();
    (unreadable > 0).then(|| {
        format!(
            "{unreadable} of its secrets were sealed with another key than this gateway's --seal-key-file: use the \
             controller's, or add them again"
        )
    })
}
