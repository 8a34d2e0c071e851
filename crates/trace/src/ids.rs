//! The ids of traces and spans: random, and never all zero. Nothing secret depends on them, so they need no generator of cryptography.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::hex;

/// The id of a trace: 32 lower-case hexadecimal digits, not all of them zero.
///
/// It is never a call id: samplers read its last eight bytes as a random number, and those of a UUID are not random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TraceId([u8; 16]);

/// The id of a span: 16 lower-case hexadecimal digits, not all of them zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SpanId([u8; 8]);

/// A text that is no id of a trace or a span.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("a trace id has 32 lower-case hexadecimal digits and a span id 16, and neither has only zeros")]
pub struct InvalidId;

macro_rules! id {
    ($name:ident, $length:literal) => {
        impl $name {
            pub(crate) fn generate() -> Self {
                let mut bytes = [0; $length];
                loop {
                    fastrand::fill(&mut bytes);
                    if let Some(id) = Self::new(bytes) {
                        return id;
                    }
                }
            }

            pub(crate) fn new(bytes: [u8; $length]) -> Option<Self> {
                (bytes != [0; $length]).then_some(Self(bytes))
            }

            /// The id as bytes.
            pub fn to_bytes(self) -> [u8; $length] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; 2 * $length];
                hex::write(&self.0, &mut digits);
                // Digits are text.
                formatter.write_str(str::from_utf8(&digits).unwrap_or_default())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                hex::read(text.as_bytes()).and_then(Self::new).ok_or(InvalidId)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

id!(TraceId, 16);
id!(SpanId, 8);

impl TraceId {
    /// The last eight bytes, which samplers take for a random number.
    pub(crate) fn low(self) -> u64 {
        let mut low = [0; 8];
        low.copy_from_slice(&self.0[8..]);
        u64::from_be_bytes(low)
    }
}
