//! What the check of a request says.

use std::{fmt, time::Duration};

use skep_protocol::Proof;

use crate::resolve::ResolveError;

/// Whether a request is the provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its signature fits the secret of this name.
    Signature {
        key: String,
    },
    /// It has the secret of this name.
    Token {
        key: String,
    },
    /// The source checks nothing.
    None,
    Refused(Reason),
}

/// Why a request is not let in. For the operator; its sender must not learn it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no signature or token.
    Missing,
    /// Something that is needed cannot be read.
    Malformed(String),
    /// No signature fits any secret.
    Mismatch,
    /// The signature fits, but the time that it covers is too long ago.
    Stale { by: Duration },
    /// The signature fits, but the time that it covers is too far ahead.
    Future { by: Duration },
    /// The source has no secret of the right form.
    NoSecret,
    /// The signature fits, but the hash that it covers is not the body's.
    BodyHash,
    /// The request is larger than what is kept.
    Oversize,
    /// Requests of this provider cannot be checked yet.
    Unsupported,
}

impl Verdict {
    pub fn is_accepted(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }

    /// The name of the secret that fitted.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Signature { key } | Self::Token { key } => Some(key),
            Self::None | Self::Refused(_) => None,
        }
    }

    /// Why the request is let in; none if it is refused.
    pub fn proof(&self) -> Option<Proof> {
        match self {
            Self::Signature { .. } => Some(Proof::Signature),
            Self::Token { .. } => Some(Proof::Token),
            Self::None => Some(Proof::None),
            Self::Refused(_) => None,
        }
    }

    /// One word, for events and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Signature { .. } => "signature",
            Self::Token { .. } => "token",
            Self::None => "none",
            Self::Refused(reason) => reason.label(),
        }
    }
}

impl Reason {
    /// One word, for records and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed(_) => "malformed",
            Self::Mismatch => "mismatch",
            Self::Stale { .. } => "stale",
            Self::Future { .. } => "future",
            Self::NoSecret => "no_secret",
            Self::BodyHash => "body_hash",
            Self::Oversize => "oversize",
            Self::Unsupported => "unsupported",
        }
    }

    /// How far the check came; of several schemes, the one that came farthest gives the reason.
    pub(crate) fn progress(&self) -> u8 {
        match self {
            Self::Unsupported => 0,
            Self::NoSecret => 1,
            Self::Missing => 2,
            Self::Malformed(_) | Self::Oversize => 3,
            Self::Mismatch => 4,
            Self::Stale { .. } | Self::Future { .. } | Self::BodyHash => 5,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the request has no signature or token"),
            Self::Malformed(what) => write!(f, "the request cannot be checked: {what}"),
            Self::Mismatch => f.write_str("the signature or token fits no secret of the source"),
            Self::Stale { by } => write!(f, "the request was signed {} s before it came", by.as_secs()),
            Self::Future { by } => {
                write!(f, "the request was signed {} s after it came: compare the clocks", by.as_secs())
            }
            Self::NoSecret => f.write_str("the source has no secret of the form that this provider uses"),
            Self::BodyHash => f.write_str("the body is not the one whose hash was signed"),
            Self::Oversize => f.write_str("the request is too large"),
            Self::Unsupported => f.write_str("skep cannot check the requests of this provider yet"),
        }
    }
}

impl From<ResolveError> for Reason {
    fn from(error: ResolveError) -> Self {
        Self::Malformed(error.to_string())
    }
}
