//! A decision with all that it was made from, so that it can be repeated.

use serde::{Deserialize, Serialize};

use crate::{Observation, Policy};

/// One line of a log of decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Seconds on the clock of [`crate::decide`].
    pub at: f64,
    pub function: String,
    pub seen: Observation,
    pub policy: Policy,
    /// What was decided.
    pub want: u32,
}
