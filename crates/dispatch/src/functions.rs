//! The set of all functions. Each change of the registry replaces it.

use std::{
    borrow::Borrow,
    collections::HashSet,
    hash::{Hash, Hasher},
    sync::Arc,
};

use skep_protocol::FunctionName;

use crate::Function;

/// Cloning it copies one pointer per function and no name.
#[derive(Clone, Default)]
pub(crate) struct Functions(HashSet<ByName>);

impl Functions {
    pub(crate) fn get(&self, name: &FunctionName) -> Option<&Arc<Function>> {
        self.0.get(name).map(|ByName(function)| function)
    }

    pub(crate) fn contains(&self, name: &FunctionName) -> bool {
        self.0.contains(name)
    }

    pub(crate) fn put(&mut self, function: Arc<Function>) {
        self.0.replace(ByName(function));
    }

    pub(crate) fn remove(&mut self, name: &FunctionName) {
        self.0.remove(name);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// In no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Function>> {
        self.0.iter().map(|ByName(function)| function)
    }
}

/// A function that is found by its name.
#[derive(Clone)]
struct ByName(Arc<Function>);

impl Borrow<FunctionName> for ByName {
    fn borrow(&self) -> &FunctionName {
        &self.0.name
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}
