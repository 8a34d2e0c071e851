//! Log lines of functions, live. Nobody has to subscribe; the controller has past lines.

use futures_util::{Stream, StreamExt};
use skep_protocol::{FunctionName, LogLine};

use crate::{Error, Logs, Result};

impl Logs {
    /// Publishes a line for followers.
    pub async fn publish(&self, function: &FunctionName, line: &LogLine) {
        let Ok(line) = serde_json::to_vec(line) else {
            return;
        };
        // A line that is lost here is still kept by the controller.
        let _ = self.nats.client.publish(self.nats.subjects.logs(function), line.into()).await;
    }

    /// Lines from now on, of one function or of all.
    pub async fn follow(&self, function: Option<&FunctionName>) -> Result<impl Stream<Item = LogLine> + use<>> {
        let subject =
            function.map_or_else(|| self.nats.subjects.logs_all(), |function| self.nats.subjects.logs(function));
        let lines = self.nats.client.subscribe(subject).await.map_err(Error::unavailable)?;
        self.nats.client.flush().await.map_err(Error::unavailable)?;
        Ok(lines.filter_map(|message| async move { serde_json::from_slice(&message.payload).ok() }))
    }
}
