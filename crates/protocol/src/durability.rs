//! What a 202 is worth, in words.

use serde::{Deserialize, Serialize};

/// What an accepted call survives, from the most to the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// A power cut, of all servers at once: it is on disk.
    Fsync,
    /// The loss of a server: most of three or more have it, at least in memory.
    Replicated,
    /// The end of the server's process, where it is kept in files; not that of its machine.
    Memory,
}

/// What an accepted call survives, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durability {
    pub tier: Tier,
    /// Servers that store a call.
    pub replicas: usize,
    pub reason: String,
}

impl Tier {
    /// As the header `X-Skep-Durability` says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Replicated => "replicated",
            Self::Memory => "memory",
        }
    }
}
