//! Which replica took a call.

use std::sync::{Arc, Mutex, PoisonError};

/// In the extensions of a request it learns which replica the request goes to; the last one, if several are tried.
#[derive(Clone, Debug, Default)]
pub struct Taker(Arc<Mutex<Option<String>>>);

impl Taker {
    /// The name of the replica, once one was chosen.
    pub fn replica(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn is(&self, instance: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(instance.to_owned());
    }
}
