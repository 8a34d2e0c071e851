//! A source's secrets. Their text is in no log, error or answer.

use std::{collections::BTreeMap, fmt};

/// One secret, with a name that may be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    name: String,
    text: String,
}

/// The secrets that count now: those for signatures, newest first, and named ones for challenges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets {
    keys: Vec<Secret>,
    named: BTreeMap<String, Secret>,
}

impl Secret {
    /// `name` is its number or name, which verdicts show.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?}, …)", self.name)
    }
}

impl Secrets {
    /// `keys` are newest first.
    pub fn new(keys: Vec<Secret>) -> Self {
        Self { keys, named: BTreeMap::new() }
    }

    /// Adds a secret that challenges name (`verify_token`, `public_key`).
    #[must_use]
    pub fn with_named(mut self, name: &str, text: &str) -> Self {
        self.named.insert(name.to_owned(), Secret::new(name, text));
        self
    }

    pub fn keys(&self) -> &[Secret] {
        &self.keys
    }

    pub fn named(&self, name: &str) -> Option<&Secret> {
        self.named.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_debug() {
        let secrets = Secrets::new(vec![Secret::new("1", "hunter2")]).with_named("verify_token", "hunter3");
        let shown = format!("{secrets:?}");
        assert!(shown.contains('…') && !shown.contains("hunter"), "{shown}");
    }
}
