//! The audit log: who changed what, when, from where, and what came of it.
//!
//! It has nothing to do with the [audit](crate::AuditReport), which counts calls.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// The version of entries that are written now. Readers ignore fields that they do not know.
const VERSION: u32 = 1;
/// An actor, an object or details are cut off after this many characters.
const MAX_TEXT: usize = 256;
const MAX_REQUEST_ID: usize = 128;

/// What somebody did, or tried to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    Deploy,
    Update,
    Delete,
    Rollback,
    Promote,
    Scale,
    Alert,
    SecretCreate,
    SecretUpdate,
    SecretDelete,
    NamespaceCreate,
    NamespaceUpdate,
    NamespaceDelete,
    SourceCreate,
    SourceUpdate,
    SourceDelete,
    SourcePause,
    SourceResume,
    SourceFire,
    SourceBackfill,
    SourceRelease,
    SourceReplay,
    SourceTry,
    SourceSend,
    SourceSampleKeep,
    SourceSampleDelete,
    SourceSecretAdd,
    SourceSecretRemove,
    /// An image of which all parts are there.
    ImagePush,
    Cancel,
    Redrive,
    DeadDelete,
    DeadPurge,
    TokenCreate,
    TokenUpdate,
    TokenRevoke,
    /// A login that failed.
    Login,
    /// A call that was refused to somebody who had logged in.
    Invoke,
    /// A look that was refused to somebody who had logged in.
    Read,
    /// A request that no route takes.
    Other,
}

impl AuditAction {
    pub const ALL: [Self; 40] = [
        Self::Deploy,
        Self::Update,
        Self::Delete,
        Self::Rollback,
        Self::Promote,
        Self::Scale,
        Self::Alert,
        Self::SecretCreate,
        Self::SecretUpdate,
        Self::SecretDelete,
        Self::NamespaceCreate,
        Self::NamespaceUpdate,
        Self::NamespaceDelete,
        Self::SourceCreate,
        Self::SourceUpdate,
        Self::SourceDelete,
        Self::SourcePause,
        Self::SourceResume,
        Self::SourceFire,
        Self::SourceBackfill,
        Self::SourceRelease,
        Self::SourceReplay,
        Self::SourceTry,
        Self::SourceSend,
        Self::SourceSampleKeep,
        Self::SourceSampleDelete,
        Self::SourceSecretAdd,
        Self::SourceSecretRemove,
        Self::ImagePush,
        Self::Cancel,
        Self::Redrive,
        Self::DeadDelete,
        Self::DeadPurge,
        Self::TokenCreate,
        Self::TokenUpdate,
        Self::TokenRevoke,
        Self::Login,
        Self::Invoke,
        Self::Read,
        Self::Other,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Rollback => "rollback",
            Self::Promote => "promote",
            Self::Scale => "scale",
            Self::Alert => "alert",
            Self::SecretCreate => "secret-create",
            Self::SecretUpdate => "secret-update",
            Self::SecretDelete => "secret-delete",
            Self::NamespaceCreate => "namespace-create",
            Self::NamespaceUpdate => "namespace-update",
            Self::NamespaceDelete => "namespace-delete",
            Self::SourceCreate => "source-create",
            Self::SourceUpdate => "source-update",
            Self::SourceDelete => "source-delete",
            Self::SourcePause => "source-pause",
            Self::SourceResume => "source-resume",
            Self::SourceFire => "source-fire",
            Self::SourceBackfill => "source-backfill",
            Self::SourceRelease => "source-release",
            Self::SourceReplay => "source-replay",
            Self::SourceTry => "source-try",
            Self::SourceSend => "source-send",
            Self::SourceSampleKeep => "source-sample-keep",
            Self::SourceSampleDelete => "source-sample-delete",
            Self::SourceSecretAdd => "source-secret-add",
            Self::SourceSecretRemove => "source-secret-remove",
            Self::ImagePush => "image-push",
            Self::Cancel => "cancel",
            Self::Redrive => "redrive",
            Self::DeadDelete => "dead-delete",
            Self::DeadPurge => "dead-purge",
            Self::TokenCreate => "token-create",
            Self::TokenUpdate => "token-update",
            Self::TokenRevoke => "token-revoke",
            Self::Login => "login",
            Self::Invoke => "invoke",
            Self::Read => "read",
            Self::Other => "other",
        }
    }
}

impl FromStr for AuditAction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let action = Self::ALL.into_iter().find(|action| action.as_str() == text);
        action.ok_or_else(|| {
            let all = Self::ALL.map(Self::as_str).join(", ");
            format!("{:?} is not one of {all}", text.chars().take(40).collect::<String>())
        })
    }
}

/// One entry. It never holds a secret, a token, a body or a header other than the request's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditLogEntry {
    pub version: u32,
    /// Its place in the log; only in answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// `user NAME`, `token NAME`, `anonymous`, `stack file`, `tokens file`, `controller`, or `unknown` for a failed login.
    pub actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The text of an [`AuditAction`], or one of a later version.
    pub action: String,
    /// The function, secret or namespace, or the id of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The HTTP status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it was refused, as `X-Skep-Error` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The request's `X-Request-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// How many dead letters were sent or removed, or how many requests the entry stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl AuditLogEntry {
    pub fn new(at: OffsetDateTime, actor: &str, action: AuditAction) -> Self {
        Self {
            version: VERSION,
            sequence: None,
            at,
            actor: shortened(actor),
            role: None,
            address: None,
            action: action.as_str().to_owned(),
            object: None,
            details: None,
            status: None,
            error: None,
            request_id: None,
            count: None,
        }
    }

    /// Names what the action was about; nothing if the name is empty.
    #[must_use]
    pub fn about(self, object: &str) -> Self {
        Self { object: Some(shortened(object)).filter(|object| !object.is_empty()), ..self }
    }

    #[must_use]
    pub fn with_details(self, details: impl fmt::Display) -> Self {
        Self { details: Some(shortened(&details.to_string())), ..self }
    }

    /// Takes over the id that a client gave its request. Anything but a short plain word is left out.
    #[must_use]
    pub fn of_request(self, id: Option<&str>) -> Self {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        let id = id.filter(|id| !id.is_empty() && id.len() <= MAX_REQUEST_ID && id.bytes().all(is_plain));
        Self { request_id: id.map(str::to_owned), ..self }
    }

    /// Whether somebody is its actor, by the whole name or without `user` or `token` before it.
    pub fn is_by(&self, actor: &str) -> bool {
        let kinds = ["user ", "token "];
        self.actor == actor || kinds.iter().any(|kind| self.actor.strip_prefix(kind) == Some(actor))
    }

    /// Whether it is about something, by the whole name or without the namespace.
    pub fn is_about(&self, object: &str) -> bool {
        let rest = self.object.as_deref().and_then(|whole| whole.strip_prefix(object));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// Without control characters, and not too long.
fn shortened(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(actor: &str, action: AuditAction) -> AuditLogEntry {
        AuditLogEntry::new(OffsetDateTime::UNIX_EPOCH, actor, action)
    }

    #[test]
    fn an_entry_is_read_as_it_is_written_and_fields_of_later_versions_are_ignored() {
        let written = AuditLogEntry {
            role: Some("deploy".to_owned()),
            address: Some("10.0.0.7".to_owned()),
            status: Some(403),
            error: Some("forbidden".to_owned()),
            count: Some(3),
            ..entry("token ci", AuditAction::Deploy).about("upper.dev").of_request(Some("r-1"))
        };
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<AuditLogEntry>(&text).unwrap(), written);
        let later = r#"{"version":2,"at":"2026-01-31T08:00:00Z","actor":"robot x","action":"fold","mood":"good"}"#;
        let read: AuditLogEntry = serde_json::from_str(later).unwrap();
        assert_eq!(
            (read.version, read.actor.as_str(), read.action.as_str(), read.status),
            (2, "robot x", "fold", None)
        );
        assert!(serde_json::from_str::<AuditLogEntry>(r#"{"version":1}"#).is_err());
        let brief = serde_json::to_string(&entry("anonymous", AuditAction::Scale)).unwrap();
        assert_eq!(brief, r#"{"version":1,"at":"1970-01-01T00:00:00Z","actor":"anonymous","action":"scale"}"#);
    }

    #[test]
    fn texts_have_bounds_and_no_control_characters() {
        let long = entry("x", AuditAction::Deploy).about(&"a\n".repeat(1000));
        let object = long.object.unwrap();
        assert_eq!(object.chars().count(), MAX_TEXT);
        assert!(!object.contains('\n'));
        assert_eq!(entry("x", AuditAction::Deploy).about("").object, None);
        for bad in ["", "a b", "a\r", &"a".repeat(MAX_REQUEST_ID + 1), "é"] {
            assert_eq!(entry("x", AuditAction::Deploy).of_request(Some(bad)).request_id, None, "{bad}");
        }
    }

    #[test]
    fn actors_and_objects_are_found_by_their_short_names() {
        let one = entry("token ci", AuditAction::Deploy).about("upper.dev");
        assert!(one.is_by("ci") && one.is_by("token ci") && !one.is_by("c") && !one.is_by("token"));
        assert!(one.is_about("upper") && one.is_about("upper.dev") && !one.is_about("upp") && !one.is_about("dev"));
        assert!(!entry("x", AuditAction::Login).is_about(""));
    }

    #[test]
    fn actions_are_read_as_they_are_written() {
        for action in AuditAction::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
        }
        assert!("deploys".parse::<AuditAction>().unwrap_err().contains("\"deploys\" is not one of deploy, update"));
    }
}
