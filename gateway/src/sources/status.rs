//! What is told of a source.

use skep_bus::Source;
use skep_protocol::{SourceSecretStatus, SourceStatus};
use skep_sources::SealKey;

pub(super) fn of(source: &Source, seal_key: Option<&SealKey>) -> SourceStatus {
    let record = &source.record;
    let open = record.spec.get("verify").and_then(serde_json::Value::as_str) == Some("none");
    SourceStatus {
        name: record.name.clone(),
        path: format!("/hooks/{}", record.name),
        paused: record.paused,
        open,
        secrets: secrets(source),
        created_at: record.created_at,
        updated_at: record.updated_at,
        problem: problem(source, open, seal_key),
        spec: record.spec.clone(),
    }
}

/// The secrets that count now, without their values.
pub(super) fn secrets(source: &Source) -> Vec<SourceSecretStatus> {
    source.secrets.active(skep_bus::now()).map(SourceSecretStatus::from).collect()
}

/// Why this gateway takes no events of the source, if so.
fn problem(source: &Source, open: bool, seal_key: Option<&SealKey>) -> Option<String> {
    let name = &source.record.name;
    let mut active = source.secrets.active(skep_bus::now()).peekable();
    if active.peek().is_none() {
        let reason = format!("it has no secret, so every event is refused: skep sources secret add {name}");
        return (!open).then_some(reason);
    }
    let Some(seal_key) = seal_key else {
        return Some("this gateway has no seal key, so it knows no secret: start it with --seal-key-file".to_owned());
    };
    let unreadable = active.filter(|secret| seal_key.open(name, secret).is_err()).count();
    (unreadable > 0).then(|| {
        format!(
            "{unreadable} of its secrets were sealed with another key than this gateway's --seal-key-file: use the \
             controller's, or add them again"
        )
    })
}
