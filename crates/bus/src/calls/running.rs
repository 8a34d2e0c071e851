//! Which calls run now: the worker that runs a call subscribes to a subject for it.
//!
//! Nobody listens for a call that does not run, so the server says so at once and the answer needs no store.

use std::time::Duration;

use futures_util::StreamExt;
use skep_protocol::{CallId, CallStatus};
use tracing::debug;

use crate::{Calls, Workers};

/// A worker on the same network answers far sooner; one that does not is treated as gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

impl Workers {
    /// Answers questions about one call, until it is dropped. Short calls need not be announced.
    pub async fn announce_running(&self, status: &CallStatus) {
        let subject = self.nats.subjects.running(&status.call_id);
        let Ok(mut questions) = self.nats.client.subscribe(subject).await else {
            return;
        };
        let Ok(answer) = serde_json::to_vec(status) else {
            return;
        };
        while let Some(question) = questions.next().await {
            let Some(reply) = question.reply else {
                continue;
            };
            if let Err(error) = self.nats.client.publish(reply, answer.clone().into()).await {
                debug!(%error, "a question about a running call was not answered");
            }
        }
    }
}

impl Calls {
    /// Asks the worker that runs a call, if one does.
    pub(crate) async fn ask_running(&self, id: &CallId) -> Option<CallStatus> {
        let subject = self.nats.subjects.running(id);
        let answer =
            tokio::time::timeout(ANSWER_TIMEOUT, self.nats.client.request(subject, "".into())).await.ok()?.ok()?;
        serde_json::from_slice(&answer.payload).ok()
    }
}
