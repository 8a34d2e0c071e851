//! What the controller can be asked for.

/// One operation of the controller's micro service; its name is the last token of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Body [`FunctionDeployment`](crate::FunctionDeployment), answer: the registry's revision.
    Deploy,
    /// Body [`FunctionDeployment`](crate::FunctionDeployment), answer: the registry's revision.
    Update,
    /// Body [`DeleteFunction`](crate::DeleteFunction), answer: null.
    Delete,
    /// Body [`ScaleFunction`](crate::ScaleFunction), answer: the registry's revision.
    Scale,
    /// Body [`FunctionName`](crate::FunctionName): scales it to its minimum if it is at zero; answer: the registry's revision, or 0.
    Wake,
    /// Body [`ScalingAlert`](crate::ScalingAlert), answer: the registry's revision, or 0 if nothing follows from it.
    Alert,
    /// Body null, answer [`ProviderInfo`](crate::ProviderInfo).
    Info,
    /// Body [`LogQuery`](crate::LogQuery), answer: past [`LogLine`](crate::LogLine)s.
    Logs,
    /// Body null, answer [`NamespaceInfo`](crate::NamespaceInfo)s, the default one first.
    ListNamespaces,
    /// Body [`NamespaceInfo`](crate::NamespaceInfo), answer null.
    CreateNamespace,
    /// Body [`NamespaceInfo`](crate::NamespaceInfo), answer null.
    UpdateNamespace,
    /// Body [`NamespaceInfo`](crate::NamespaceInfo), of which only the name counts, answer null.
    DeleteNamespace,
    /// Body [`NamespaceInfo`](crate::NamespaceInfo), of which only the name counts, answer [`Secret`](crate::Secret)s without values.
    ListSecrets,
    /// Body [`Secret`](crate::Secret), answer null.
    CreateSecret,
    /// Body [`Secret`](crate::Secret), answer null.
    UpdateSecret,
    /// Body [`Secret`](crate::Secret), answer null.
    DeleteSecret,
}

impl Operation {
    pub const ALL: [Self; 16] = [
        Self::Deploy,
        Self::Update,
        Self::Delete,
        Self::Scale,
        Self::Wake,
        Self::Alert,
        Self::Info,
        Self::Logs,
        Self::ListNamespaces,
        Self::CreateNamespace,
        Self::UpdateNamespace,
        Self::DeleteNamespace,
        Self::ListSecrets,
        Self::CreateSecret,
        Self::UpdateSecret,
        Self::DeleteSecret,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Scale => "scale",
            Self::Wake => "wake",
            Self::Alert => "alert",
            Self::Info => "info",
            Self::Logs => "logs",
            Self::ListNamespaces => "list-namespaces",
            Self::CreateNamespace => "create-namespace",
            Self::UpdateNamespace => "update-namespace",
            Self::DeleteNamespace => "delete-namespace",
            Self::ListSecrets => "list-secrets",
            Self::CreateSecret => "create-secret",
            Self::UpdateSecret => "update-secret",
            Self::DeleteSecret => "delete-secret",
        }
    }
}
