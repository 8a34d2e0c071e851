//! Requests to the controller: one type per request, which names its operation and the type of its reply.
//!
//! So the caller and the controller cannot disagree about the type of a reply.

mod sources;
mod versions;

use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::sources::{
    AddSourceSecret, AddedSourceSecret, BackfillSource, CreateSource, DeleteSource, FireSource, Fired, FiredOccurrence,
    PauseSource, ReadSourceProgram, RemoveSourceSecret, UpdateSource, WhichSecret,
};
pub use self::versions::{
    Deploy, ListVersions, Promote, Promoted, ReadCanary, ReadVersion, RollBack, RolledBack, Update,
};
use crate::{
    AlertStatus, CanaryReport, FunctionName, KeptVersion, ListedVersion, LogLine, LogQuery, NamespaceInfo,
    ProviderInfo, Secret, SourceProgramReport, StreamUsage,
};

/// A request to the controller. It travels as JSON, and so does its reply.
pub trait ControlRequest: Serialize + DeserializeOwned + Send + Sync {
    const OPERATION: Operation;
    type Reply: Serialize + DeserializeOwned + Send;
}

/// A revision of the registry: each write has a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// What a request did to the registry; on the wire a revision, or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<Revision>", into = "Option<Revision>")]
pub enum Change {
    /// The registry is as it was.
    Unchanged,
    /// A reader of the registry sees the change once it has read this revision.
    Written(Revision),
}

impl From<Option<Revision>> for Change {
    fn from(revision: Option<Revision>) -> Self {
        revision.map_or(Self::Unchanged, Self::Written)
    }
}

impl From<Change> for Option<Revision> {
    fn from(change: Change) -> Self {
        match change {
            Change::Unchanged => None,
            Change::Written(revision) => Some(revision),
        }
    }
}

/// Removes a function.
#[derive(Serialize, Deserialize)]
pub struct Delete {
    pub function: FunctionName,
}

/// Sets the number of replicas.
#[derive(Serialize, Deserialize)]
pub struct Scale {
    pub function: FunctionName,
    pub replicas: u64,
    /// How long it is kept although the use of the function would change it.
    #[serde(default = "held_by_default")]
    pub hold: Duration,
}

/// How long a number of replicas is kept that a person has set.
pub fn held_by_default() -> Duration {
    Duration::from_secs(600)
}

/// Scales a function that is at zero to its minimum.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Wake(pub FunctionName);

/// Scales a function as an alert and its labels say.
#[derive(Serialize, Deserialize)]
pub struct ApplyAlert {
    pub function: FunctionName,
    pub status: AlertStatus,
}

/// Says what runs functions.
#[derive(Serialize, Deserialize)]
pub struct GetInfo;

/// Says what each stream takes.
#[derive(Serialize, Deserialize)]
pub struct ListStreams;

/// Lists all namespaces, the default one first.
#[derive(Serialize, Deserialize)]
pub struct ListNamespaces;

/// Adds a namespace that is not there yet.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct CreateNamespace(pub NamespaceInfo);

/// Sets the labels and annotations of a namespace.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpdateNamespace(pub NamespaceInfo);

/// Removes an empty namespace.
#[derive(Serialize, Deserialize)]
pub struct DeleteNamespace {
    pub name: String,
}

/// Lists the secrets of a namespace without their values; an empty text is the default namespace.
#[derive(Serialize, Deserialize)]
pub struct ListSecrets {
    pub namespace: String,
}

/// Adds a secret that is not there yet.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct CreateSecret(pub Secret);

/// Sets the value of a secret.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpdateSecret(pub Secret);

/// Removes a secret; only its name and namespace count.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeleteSecret(pub Secret);

macro_rules! requests {
    ($($request:ty => $operation:ident -> $reply:ty;)*) => {
        $(impl ControlRequest for $request {
            const OPERATION: Operation = Operation::$operation;
            type Reply = $reply;
        })*
    };
}

requests! {
    Deploy => Deploy -> Change;
    Update => Update -> Change;
    Delete => Delete -> ();
    ListVersions => ListVersions -> Vec<ListedVersion>;
    ReadVersion => ReadVersion -> KeptVersion;
    RollBack => RollBack -> RolledBack;
    ReadCanary => ReadCanary -> Option<CanaryReport>;
    Promote => Promote -> Promoted;
    Scale => Scale -> Change;
    Wake => Wake -> Change;
    ApplyAlert => Alert -> Change;
    GetInfo => Info -> ProviderInfo;
    LogQuery => Logs -> Vec<LogLine>;
    ListStreams => ListStreams -> Vec<StreamUsage>;
    ListNamespaces => ListNamespaces -> Vec<NamespaceInfo>;
    CreateNamespace => CreateNamespace -> ();
    UpdateNamespace => UpdateNamespace -> ();
    DeleteNamespace => DeleteNamespace -> ();
    ListSecrets => ListSecrets -> Vec<Secret>;
    CreateSecret => CreateSecret -> ();
    UpdateSecret => UpdateSecret -> ();
    DeleteSecret => DeleteSecret -> ();
    CreateSource => CreateSource -> Change;
    UpdateSource => UpdateSource -> Change;
    DeleteSource => DeleteSource -> Change;
    PauseSource => PauseSource -> Change;
    AddSourceSecret => AddSourceSecret -> AddedSourceSecret;
    RemoveSourceSecret => RemoveSourceSecret -> Change;
    ReadSourceProgram => ReadSourceProgram -> SourceProgramReport;
    FireSource => FireSource -> Fired;
    BackfillSource => BackfillSource -> Fired;
}

/// One operation of the controller's micro service; its name is the last token of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Deploy,
    Update,
    Delete,
    ListVersions,
    ReadVersion,
    RollBack,
    ReadCanary,
    Promote,
    Scale,
    Wake,
    Alert,
    Info,
    Logs,
    ListStreams,
    ListNamespaces,
    CreateNamespace,
    UpdateNamespace,
    DeleteNamespace,
    ListSecrets,
    CreateSecret,
    UpdateSecret,
    DeleteSecret,
    CreateSource,
    UpdateSource,
    DeleteSource,
    PauseSource,
    AddSourceSecret,
    RemoveSourceSecret,
    ReadSourceProgram,
    FireSource,
    BackfillSource,
}

impl Operation {
    pub const ALL: [Self; 31] = [
        Self::Deploy,
        Self::Update,
        Self::Delete,
        Self::ListVersions,
        Self::ReadVersion,
        Self::RollBack,
        Self::ReadCanary,
        Self::Promote,
        Self::Scale,
        Self::Wake,
        Self::Alert,
        Self::Info,
        Self::Logs,
        Self::ListStreams,
        Self::ListNamespaces,
        Self::CreateNamespace,
        Self::UpdateNamespace,
        Self::DeleteNamespace,
        Self::ListSecrets,
        Self::CreateSecret,
        Self::UpdateSecret,
        Self::DeleteSecret,
        Self::CreateSource,
        Self::UpdateSource,
        Self::DeleteSource,
        Self::PauseSource,
        Self::AddSourceSecret,
        Self::RemoveSourceSecret,
        Self::ReadSourceProgram,
        Self::FireSource,
        Self::BackfillSource,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::ListVersions => "list-versions",
            Self::ReadVersion => "read-version",
            Self::RollBack => "roll-back",
            Self::ReadCanary => "read-canary",
            Self::Promote => "promote",
            Self::Scale => "scale",
            Self::Wake => "wake",
            Self::Alert => "alert",
            Self::Info => "info",
            Self::Logs => "logs",
            Self::ListStreams => "list-streams",
            Self::ListNamespaces => "list-namespaces",
            Self::CreateNamespace => "create-namespace",
            Self::UpdateNamespace => "update-namespace",
            Self::DeleteNamespace => "delete-namespace",
            Self::ListSecrets => "list-secrets",
            Self::CreateSecret => "create-secret",
            Self::UpdateSecret => "update-secret",
            Self::DeleteSecret => "delete-secret",
            Self::CreateSource => "create-source",
            Self::UpdateSource => "update-source",
            Self::DeleteSource => "delete-source",
            Self::PauseSource => "pause-source",
            Self::AddSourceSecret => "add-source-secret",
            Self::RemoveSourceSecret => "remove-source-secret",
            Self::ReadSourceProgram => "read-source-program",
            Self::FireSource => "fire-source",
            Self::BackfillSource => "backfill-source",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;
    use crate::Author;

    #[test]
    fn a_change_travels_as_its_revision_or_null() {
        for (change, expected) in [(Change::Unchanged, Value::Null), (Change::Written(Revision(7)), json!(7))] {
            assert_eq!(to_value(change).unwrap(), expected);
            assert_eq!(from_value::<Change>(expected).unwrap(), change);
        }
    }

    #[test]
    fn a_deploy_of_an_older_gateway_names_no_author() {
        let deploy: Deploy = from_value(json!({ "service": "a", "image": "i:1", "limits": null })).unwrap();
        assert_eq!((deploy.deployment.image.as_str(), deploy.author), ("i:1", Author::default()));
        let update =
            Update { author: Author::new("user admin", None), ..from_value(json!({ "service": "a" })).unwrap() };
        let sent = to_value(update).unwrap();
        assert_eq!((&sent["service"], &sent["author"]["actor"]), (&json!("a"), &json!("user admin")));
    }

    #[test]
    fn a_request_with_an_invalid_function_name_is_not_read() {
        for name in ["", "a.b", "A", "a_B", "a_b_c"] {
            assert!(from_value::<Delete>(json!({ "function": name })).is_err(), "{name}");
            assert!(from_value::<Wake>(json!(name)).is_err(), "{name}");
        }
        assert_eq!(from_value::<Delete>(json!({ "function": "a_dev" })).unwrap().function.to_string(), "a.dev");
    }
}
