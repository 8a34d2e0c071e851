//! Namespaces: the groups that functions and secrets live in.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{FunctionName, NameError, deployment::null_is_default, name};

/// The name of a namespace: written as a function's is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);

impl Namespace {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if name::is_label(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::InvalidNamespace(name::beginning(text)))
    }
}

impl TryFrom<String> for Namespace {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Namespace> for String {
    fn from(namespace: Namespace) -> Self {
        namespace.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The namespace of whatever names none; it always exists, and is the same for all roles.
///
/// It reads names as people write them, because only with it is known whether `figlet` and `figlet.openfaas-fn` are one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultNamespace(Namespace);

impl Default for DefaultNamespace {
    /// The one that `faas-cli invoke` always appends.
    fn default() -> Self {
        Self(Namespace("openfaas-fn".to_owned()))
    }
}

impl FromStr for DefaultNamespace {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

impl DefaultNamespace {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Reads `NAME` or `NAME.NAMESPACE`; the split is at the last dot.
    pub fn function(&self, text: &str) -> Result<FunctionName, NameError> {
        self.function_in(text, "")
    }

    /// Reads `NAME`, or `NAME.NAMESPACE`, with a namespace that was given beside it, or an empty text.
    pub fn function_in(&self, text: &str, namespace: &str) -> Result<FunctionName, NameError> {
        let Some((name, written)) = text.rsplit_once('.') else {
            return FunctionName::new(text, self.other(namespace)?.as_ref());
        };
        if !namespace.is_empty() && written != namespace {
            return Err(NameError::TwoNamespaces(name::beginning(text), name::beginning(namespace)));
        }
        FunctionName::new(name, self.written(written)?.as_ref())
    }

    /// Reads one token of a subject, `NAME` or `NAME_NAMESPACE`.
    pub fn function_of_token(&self, token: &str) -> Result<FunctionName, NameError> {
        let Some((name, written)) = token.split_once('_') else { return FunctionName::new(token, None) };
        FunctionName::new(name, self.written(written)?.as_ref())
    }

    /// A namespace as it was given, `None` if it is this one or an empty text.
    pub fn other(&self, namespace: &str) -> Result<Option<Namespace>, NameError> {
        if namespace.is_empty() { Ok(None) } else { self.written(namespace) }
    }

    fn written(&self, namespace: &str) -> Result<Option<Namespace>, NameError> {
        if namespace == self.as_str() { Ok(None) } else { namespace.parse().map(Some) }
    }

    /// The namespace of a function.
    pub fn of<'name>(&'name self, function: &'name FunctionName) -> &'name str {
        function.namespace().unwrap_or(self.as_str())
    }
}

/// A namespace as `/system/namespace/NAME` shows it and takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceInfo {
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_namespace_may_be_left_out_or_written() {
        let default = DefaultNamespace::default();
        let plain: FunctionName = "figlet".parse().unwrap();
        for (text, namespace) in [
            ("figlet", ""),
            ("figlet.openfaas-fn", ""),
            ("figlet", "openfaas-fn"),
            ("figlet.openfaas-fn", "openfaas-fn"),
        ] {
            assert_eq!(default.function_in(text, namespace), Ok(plain.clone()), "{text} {namespace}");
        }
        assert_eq!(default.function_of_token("figlet_openfaas-fn"), Ok(plain));
        assert_eq!(default.function(".openfaas-fn"), Err(NameError::Empty));
        let other: DefaultNamespace = "dev".parse().unwrap();
        assert_eq!(other.function("figlet.dev"), Ok("figlet".parse().unwrap()));
        assert_eq!(other.function("figlet.openfaas-fn").unwrap().namespace(), Some("openfaas-fn"));
    }

    #[test]
    fn another_namespace_stays_with_the_name() {
        let default = DefaultNamespace::default();
        let figlet = default.function("figlet.dev").unwrap();
        assert_eq!((figlet.as_str(), figlet.name(), default.of(&figlet)), ("figlet_dev", "figlet", "dev"));
        assert_eq!(figlet.to_string(), "figlet.dev");
        assert_eq!(default.function_in("figlet", "dev"), Ok(figlet.clone()));
        assert_eq!(default.function_of_token("figlet_dev"), Ok(figlet));
        assert!(matches!(default.function_in("figlet.dev", "test"), Err(NameError::TwoNamespaces(..))));
        assert!(matches!(default.function("figlet.Dev"), Err(NameError::InvalidNamespace(_))));
        assert!(matches!(default.function("figlet."), Err(NameError::InvalidNamespace(_))));
        assert!(matches!(default.function("a.b.dev"), Err(NameError::Invalid(_))));
    }
}
