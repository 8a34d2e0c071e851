//! Which calls run now: the worker that runs a call subscribes to a subject for it.
//!
//! Nobody listens for a call that does not run, so the server says so at once and the answer needs no store.

use std::time::Duration;

use futures_util::StreamExt;
use skep_protocol::{CallId, CallStatus};
use tracing::debug;

use crate::Bus;

/// A worker on the same network answers far sooner; one that does not is treated as gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Answers for calls while they run.
#[derive(Clone)]
pub struct RunningCalls {
    bus: Bus,
}

impl RunningCalls {
    pub fn new(bus: Bus) -> Self {
        Self { bus }
    }

    /// Answers questions about one call, until it is dropped. Short calls need not be announced.
    pub async fn announce(&self, status: &CallStatus) {
        let subject = self.bus.subjects.running(&status.call_id);
        let Ok(mut questions) = self.bus.client.subscribe(subject).await else {
            return;
        };
        let Ok(answer) = serde_json::to_vec(status) else {
            return;
        };
        while let Some(question) = questions.next().await {
            let Some(reply) = question.reply else {
                continue;
            };
            if let Err(error) = self.bus.client.publish(reply, answer.clone().into()).await {
                debug!(%error, "a question about a running call was not answered");
            }
        }
    }
}

impl Bus {
    /// Asks the worker that runs a call, if one does.
    pub(crate) async fn ask_running(&self, id: &CallId) -> Option<CallStatus> {
        let subject = self.subjects.running(id);
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.client.request(subject, "".into())).await.ok()?.ok()?;
        serde_json::from_slice(&answer.payload).ok()
    }
}
