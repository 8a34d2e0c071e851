//! Names that travel: of functions and of calls.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// The namespace that every function lives in unless another was made; `faas-cli invoke` always appends it.
pub const DEFAULT_NAMESPACE: &str = "openfaas-fn";

const LONGEST_FUNCTION_NAME: usize = 63;
const LONGEST_CALL_ID: usize = 128;

/// The name of a function: lower-case letters, digits and inner hyphens, at most 63 bytes.
///
/// That makes it safe as a DNS label, a Swarm service name, a NATS subject token and a file name at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FunctionName(String);

/// Why a text does not name a function.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    #[error("function name is missing")]
    Empty,
    #[error(
        "function name {0:?} is not valid: use lower-case letters, digits and inner hyphens, at most 63 characters"
    )]
    Invalid(String),
    #[error("namespace {0:?} not found")]
    UnknownNamespace(String),
}

impl FunctionName {
    /// Reads `NAME` or `NAME.NAMESPACE` as it stands in a path; the split is at the last dot.
    pub fn parse_qualified(text: &str) -> Result<Self, NameError> {
        match text.rsplit_once('.') {
            None => text.parse(),
            Some((name, DEFAULT_NAMESPACE)) => name.parse(),
            Some((name, namespace)) => {
                name.parse::<Self>()?;
                Err(NameError::UnknownNamespace(namespace.to_owned()))
            }
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FunctionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let inner = text.bytes().all(|byte| plain(byte) || byte == b'-');
        let edges = !text.starts_with('-') && !text.ends_with('-');
        if inner && edges && text.len() <= LONGEST_FUNCTION_NAME {
            return Ok(Self(text.to_owned()));
        }
        Err(NameError::Invalid(text.chars().take(LONGEST_FUNCTION_NAME + 1).collect()))
    }
}

impl TryFrom<String> for FunctionName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<FunctionName> for String {
    fn from(name: FunctionName) -> Self {
        name.0
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The id of one call, given by the caller in `X-Call-Id` or made by the door that accepted it.
///
/// It is the last token of several NATS subjects, so its characters are few: letters, digits, `-` and `_`, at most 128.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallId(String);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("call id is not valid: use 1 to 128 letters, digits, hyphens and underscores")]
pub struct CallIdError;

impl CallId {
    /// A new id; ids made later sort later (UUID version 7).
    pub fn generate() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CallId {
    type Err = CallIdError;

    fn from_str(text: &str) -> Result<Self, CallIdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > LONGEST_CALL_ID || !text.bytes().all(allowed) {
            return Err(CallIdError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for CallId {
    type Error = CallIdError;

    fn try_from(text: String) -> Result<Self, CallIdError> {
        text.parse()
    }
}

impl From<CallId> for String {
    fn from(id: CallId) -> Self {
        id.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_naming_rule() {
        for good in ["a", "figlet", "a-b", "0", &"x".repeat(63)] {
            assert_eq!(good.parse::<FunctionName>().unwrap().as_str(), good);
        }
        for bad in ["-a", "a-", "A", "a_b", "a b", "a.b", "*", ">", "é", &"x".repeat(64)] {
            assert!(matches!(bad.parse::<FunctionName>(), Err(NameError::Invalid(_))), "{bad}");
        }
        assert_eq!("".parse::<FunctionName>(), Err(NameError::Empty));
    }

    #[test]
    fn the_default_namespace_may_be_left_out_or_written() {
        let plain = FunctionName::parse_qualified("figlet").unwrap();
        assert_eq!(FunctionName::parse_qualified("figlet.openfaas-fn").unwrap(), plain);
        assert_eq!(FunctionName::parse_qualified(".openfaas-fn"), Err(NameError::Empty));
        assert_eq!(FunctionName::parse_qualified("figlet.other"), Err(NameError::UnknownNamespace("other".to_owned())));
    }

    #[test]
    fn call_ids_are_safe_as_subject_tokens() {
        assert!("order_17-A".parse::<CallId>().is_ok());
        for bad in ["", "a.b", "a b", "*", ">", "ü", &"x".repeat(129)] {
            assert_eq!(bad.parse::<CallId>(), Err(CallIdError), "{bad}");
        }
        assert!(CallId::generate().as_str().parse::<CallId>().is_ok());
    }
}
