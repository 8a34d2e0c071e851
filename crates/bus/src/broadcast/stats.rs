//! Statistics of the functions in use, each second. Nobody has to subscribe.

use futures_util::{Stream, StreamExt};
use skep_protocol::Stats as Second;

use super::activity::MAX_FUNCTIONS;
use crate::{Error, Result, Stats};

impl Stats {
    /// Publishes a second, as several messages if very many functions are in use.
    pub async fn publish(&self, mut second: Second) {
        loop {
            let rest = second.functions.split_off(second.functions.len().min(MAX_FUNCTIONS));
            let Ok(text) = serde_json::to_vec(&second) else { return };
            // What is lost is replaced a second later.
            let _ = self.nats.client.publish(self.nats.subjects.stats(), text.into()).await;
            if rest.is_empty() {
                return;
            }
            second.functions = rest;
        }
    }

    /// Each second from now on.
    pub async fn follow(&self) -> Result<impl Stream<Item = Second> + use<>> {
        let messages = self.nats.client.subscribe(self.nats.subjects.stats()).await.map_err(Error::unavailable)?;
        Ok(messages.filter_map(|message| async move { serde_json::from_slice(&message.payload).ok() }))
    }
}
