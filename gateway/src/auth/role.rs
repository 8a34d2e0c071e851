//! What a caller may do, and who the caller is.

use std::{fmt::Display, sync::Arc};

use serde::{Deserialize, Serialize};
use skep_protocol::{CallerInfo, DefaultNamespace, FunctionName};

use crate::{Error, Result};

/// The rights of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything; change nothing.
    Read,
    /// Call functions, and ask for calls by their ids or cancel them.
    Invoke,
    /// Deploy, scale and delete functions, manage secrets and dead letters; and all that `read` and `invoke` may.
    Deploy,
    /// Everything.
    Admin,
}

/// What a route asks of its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Any role will do.
    Any,
    Read,
    Invoke,
    Deploy,
    Admin,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Invoke => "invoke",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }

    fn may(self, need: Need) -> bool {
        match need {
            Need::Any => true,
            Need::Read => self != Self::Invoke,
            Need::Invoke => self != Self::Read,
            Need::Deploy => matches!(self, Self::Deploy | Self::Admin),
            Need::Admin => self == Self::Admin,
        }
    }
}

impl Need {
    fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Read => "read",
            Self::Invoke => "invoke",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }
}

/// Who makes a request, as far as that is known.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    name: String,
    role: Role,
    /// Whether it has logged in.
    is_known: bool,
    /// Empty for all.
    namespaces: Vec<String>,
}

impl Caller {
    pub(crate) fn new(name: impl Display, role: Role, namespaces: Vec<String>) -> Self {
        Self(Arc::new(Facts { name: name.to_string(), role, is_known: true, namespaces }))
    }

    /// Everyone, where nobody has to log in.
    pub(crate) fn anonymous() -> Self {
        let name = "anonymous".to_owned();
        Self(Arc::new(Facts { name, role: Role::Admin, is_known: false, namespaces: Vec::new() }))
    }

    /// The role of a caller who has logged in.
    pub(crate) fn role_name(&self) -> Option<&'static str> {
        self.0.is_known.then(|| self.0.role.as_str())
    }

    /// What it may know of itself.
    pub(crate) fn info(&self) -> CallerInfo {
        let Facts { name, role, namespaces, .. } = &*self.0;
        CallerInfo { name: name.clone(), role: role.as_str().to_owned(), namespaces: namespaces.clone() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn is_limited(&self) -> bool {
        !self.0.namespaces.is_empty()
    }

    pub(crate) fn require(&self, need: Need) -> Result<()> {
        let Facts { name, role, .. } = &*self.0;
        if role.may(need) {
            return Ok(());
        }
        Err(Error::Forbidden(format!("{name} has the role {}, and this needs {}", role.as_str(), need.as_str())))
    }

    /// Refuses a namespace that the caller's token is not for.
    pub(crate) fn require_namespace(&self, namespace: &str) -> Result<()> {
        let namespaces = &self.0.namespaces;
        if namespaces.is_empty() || namespaces.iter().any(|one| one == namespace) {
            return Ok(());
        }
        Err(self.beyond(&format!("and this is in {namespace}")))
    }

    pub(crate) fn require_function(&self, function: &FunctionName, default: &DefaultNamespace) -> Result<()> {
        self.require_namespace(default.of(function))
    }

    /// The error for a limited caller that asks for more.
    pub(crate) fn beyond(&self, what: &str) -> Error {
        let Facts { name, namespaces, .. } = &*self.0;
        Error::Forbidden(format!("{name} is limited to the namespaces {}, {what}", namespaces.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_do_what_it_says_and_no_more() {
        let may = |role: Role| {
            let needs = [Need::Any, Need::Read, Need::Invoke, Need::Deploy, Need::Admin];
            needs.map(|need| Caller::new("x", role, Vec::new()).require(need).is_ok())
        };
        assert_eq!(may(Role::Read), [true, true, false, false, false]);
        assert_eq!(may(Role::Invoke), [true, false, true, false, false]);
        assert_eq!(may(Role::Deploy), [true, true, true, true, false]);
        assert_eq!(may(Role::Admin), [true; 5]);
    }

    #[test]
    fn a_limited_caller_stays_in_its_namespaces() {
        let caller = Caller::new("token ci", Role::Admin, vec!["dev".to_owned(), "test".to_owned()]);
        assert!(caller.require_namespace("dev").is_ok() && caller.require_namespace("test").is_ok());
        let refused = caller.require_namespace("openfaas-fn").unwrap_err();
        assert_eq!(refused.to_string(), "token ci is limited to the namespaces dev, test, and this is in openfaas-fn");
        let free = Caller::new("admin", Role::Admin, Vec::new());
        assert!(free.require_namespace("dev").is_ok() && !free.is_limited());
    }
}
