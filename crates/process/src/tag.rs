//! The mark that a program's processes inherit.

use std::{
    collections::hash_map::RandomState,
    fmt::{self, Display, Formatter},
    hash::BuildHasher,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Random for each process: what the standard library takes from the system for its maps.
static KEY: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The value of an environment variable that marks one program and all that it starts.
///
/// Tags nest: a tagged process that starts programs itself gives them tags [within](Self::within) its own, so that the outer tag still finds them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessTag(Arc<str>);

impl ProcessTag {
    /// The environment variable that carries the tag.
    pub const VARIABLE: &str = "SKEP_PROCESS_TAG";

    /// A new tag, inside the one that this process was given itself, if any.
    pub fn new(inherited: Option<&str>) -> Self {
        // Two of one process differ by the counter, and those of others by the key, which tells nothing of the machine.
        let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
        let own = format!("{:016x}-{counter:x}", *KEY);
        match inherited {
            Some(outer) if !outer.is_empty() => Self(format!("{outer}/{own}").into()),
            _ => Self(own.into()),
        }
    }

    /// The tag that a process was found with.
    pub fn of(value: &str) -> Self {
        Self(value.into())
    }

    /// A new tag inside this one.
    pub fn within(&self) -> Self {
        Self::new(Some(self.as_str()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a process with this value of the variable belongs to the tag.
    pub fn covers(&self, value: &str) -> bool {
        value.strip_prefix(self.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Display for ProcessTag {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_covers_itself_and_what_is_within_and_nothing_else() {
        let outer = ProcessTag::new(None);
        let inner = outer.within();
        assert!(outer.covers(outer.as_str()) && outer.covers(inner.as_str()));
        assert!(!inner.covers(outer.as_str()) && !inner.covers(outer.within().as_str()));
        assert!(!outer.covers(&format!("{outer}0")));
        assert_ne!(ProcessTag::new(None), ProcessTag::new(Some("")));
    }
}
