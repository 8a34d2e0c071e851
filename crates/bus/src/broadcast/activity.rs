//! Which functions are in use: their callers publish it every second, and the controller subscribes.
//!
//! Nothing is stored: a lost message is sent again a second later.

use futures_util::{Stream, StreamExt};
use skep_protocol::FunctionName;

use crate::{Activity, Error, Result};

/// Names that one message carries.
const MAX_NAMES: usize = 1000;

impl Activity {
    /// Says that these functions were used since this was said last, or are in use now.
    pub async fn announce(&self, functions: &[FunctionName]) {
        for names in functions.chunks(MAX_NAMES) {
            let Ok(names) = serde_json::to_vec(names) else { return };
            // Without a connection it waits for the next one, like all that is published.
            let _ = self.nats.client.publish(self.nats.subjects.activity(), names.into()).await;
        }
    }

    /// Functions that are in use, from now on.
    pub async fn reports(&self) -> Result<impl Stream<Item = Vec<FunctionName>> + use<>> {
        let told = self.nats.client.subscribe(self.nats.subjects.activity()).await.map_err(Error::unavailable)?;
        Ok(told.filter_map(|message| async move { serde_json::from_slice(&message.payload).ok() }))
    }
}
