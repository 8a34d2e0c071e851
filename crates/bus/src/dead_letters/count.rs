//! How many dead letters there are.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use skep_protocol::FunctionName;

use crate::{DeadLetters, Error, Result, queue::depth::count_of};

/// Requests that are under way at once.
const TOGETHER: usize = 16;

/// The dead letters of calls and callbacks.
pub struct DeadCounts {
    /// Of all functions, also of those that are no longer deployed.
    pub all: u64,
    functions: HashMap<FunctionName, u64>,
}

impl DeadCounts {
    /// Those of a function.
    pub fn of(&self, function: &FunctionName) -> u64 {
        self.functions.get(function).copied().unwrap_or(0)
    }
}

impl DeadLetters {
    /// Counts all dead letters, and those of these functions.
    pub async fn counts(&self, functions: &[FunctionName]) -> Result<DeadCounts> {
        let all = self.nats.streams.dead.get_info().await.map_err(Error::unavailable)?.state.messages;
        if all == 0 {
            return Ok(DeadCounts { all, functions: HashMap::new() });
        }
        let counts = stream::iter(functions.to_vec()).map(|function| async move {
            let (count, _) = count_of(&self.nats, "DEAD", &self.nats.subjects.dead_of(Some(&function))).await?;
            Ok::<_, Error>((function, count))
        });
        let functions = counts.buffer_unordered(TOGETHER).try_collect().await?;
        Ok(DeadCounts { all, functions })
    }
}
