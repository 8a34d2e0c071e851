//! The body of a queued call, or of its answer: in its message, or, if it is large, in chunks beside it.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use uuid::Uuid;

use crate::CallId;

/// A body, or where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallBody {
    /// In the message itself.
    Whole(Bytes),
    /// Too large for it.
    Stored(StoredBody),
}

/// A body that is kept in pieces; the message that it belongs to names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBody {
    pub key: BodyKey,
    pub length: u64,
}

/// What the pieces of one body have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyKey {
    pub kind: BodyKind,
    pub call_id: CallId,
    /// Another one for each body, also for those of one call.
    pub id: Uuid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// What a function is given.
    Request,
    /// What it answered.
    Result,
}

static NOTHING: Bytes = Bytes::new();

impl CallBody {
    pub fn empty() -> Self {
        Self::Whole(Bytes::new())
    }

    /// What of it is in its message.
    pub fn in_message(&self) -> &Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Stored(_) => &NOTHING,
        }
    }

    pub fn stored(&self) -> Option<&StoredBody> {
        match self {
            Self::Whole(_) => None,
            Self::Stored(stored) => Some(stored),
        }
    }

    /// How many bytes it has, wherever they are.
    pub fn length(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Stored(stored) => stored.length,
        }
    }
}

impl From<Bytes> for CallBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }
}

impl From<StoredBody> for CallBody {
    fn from(stored: StoredBody) -> Self {
        Self::Stored(stored)
    }
}

impl BodyKey {
    pub fn generate(kind: BodyKind, call_id: CallId) -> Self {
        Self { kind, call_id, id: Uuid::now_v7() }
    }
}

impl BodyKind {
    pub const ALL: [Self; 2] = [Self::Request, Self::Result];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Result => "result",
        }
    }
}

impl fmt::Display for BodyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.kind.as_str(), self.call_id, self.id.simple())
    }
}

impl FromStr for BodyKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let not_a_key = || format!("{:?} names no body", text.chars().take(80).collect::<String>());
        let mut parts = text.split('.');
        let (Some(kind), Some(call_id), Some(id), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(not_a_key());
        };
        let kind = BodyKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(not_a_key)?;
        let call_id = call_id.parse().map_err(|_| not_a_key())?;
        Ok(Self { kind, call_id, id: id.parse().map_err(|_| not_a_key())? })
    }
}

impl fmt::Display for StoredBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.key, self.length)
    }
}

impl FromStr for StoredBody {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, length) = text.split_once(' ').unwrap_or((text, ""));
        let length = length.parse().map_err(|_| format!("{length:?} is no length of a body"))?;
        Ok(Self { key: key.parse()?, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_body_is_read_as_it_is_written() {
        for kind in BodyKind::ALL {
            let stored = StoredBody { key: BodyKey::generate(kind, CallId::generate()), length: 1 << 30 };
            assert_eq!(stored.to_string().parse(), Ok(stored));
        }
        let id = Uuid::now_v7().simple();
        for bad in [
            String::new(),
            format!("request.a.{id}"),
            format!("other.a.{id} 7"),
            format!("request.*.{id} 7"),
            format!("request.a.{id}.b 7"),
            "request.a.> 7".to_owned(),
            format!("request.a.{id} -7"),
        ] {
            assert!(bad.parse::<StoredBody>().is_err(), "{bad}");
        }
    }
}
