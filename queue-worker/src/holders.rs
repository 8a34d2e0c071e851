//! Asks the other workers whether one of them holds a call that was delivered here, and answers them.
//!
//! NATS delivers a call again when its holder seems to be gone, or after NATS was killed and forgot its deliveries.
//! The holder may still run the call, or wait to store its result; then the call must not run here as well.

use std::{collections::HashSet, pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use skep_bus::{CallsOfWorker, Error, Result};
use skep_protocol::CallId;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout_at},
};
use tracing::{debug, warn};

use crate::Worker;

/// Calls of one question.
const MAX_TOGETHER: usize = 256;
/// Calls that may wait to be asked about; others wait for room.
const MAX_WAITING: usize = 1024;
/// A worker that has not answered is asked again: it may have been about to reconnect.
const ASK_AGAIN_INTERVAL: Duration = Duration::from_millis(300);
/// No question waits longer. A worker that does not answer for this time although NATS is there counts as gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// The way to ask.
pub(crate) struct Holders(mpsc::Sender<Question>);

pub(crate) struct Question {
    call: CallId,
    answer: oneshot::Sender<Result<bool, String>>,
}

impl Holders {
    /// Returns what [`ask`] needs, too.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(MAX_WAITING);
        (Self(questions), asked)
    }

    /// Whether another worker holds a call.
    pub(crate) async fn has_another(&self, call: &CallId) -> Result<bool> {
        let (answer, answered) = oneshot::channel();
        let stopping = || Error::unavailable("the worker is stopping");
        self.0.send(Question { call: call.clone(), answer }).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?.map_err(Error::unavailable)
    }
}

/// Asks about calls, those of the same moment together, until shutdown.
pub(crate) async fn ask(worker: Arc<Worker>, mut questions: mpsc::Receiver<Question>) {
    let mut asked = Vec::new();
    let until_shutdown = worker.shutdown.run_until_cancelled(async {
        worker.slots.peers().introduced().await;
        while questions.recv_many(&mut asked, MAX_TOGETHER).await > 0 {
            let calls = asked.iter().map(|question| question.call.clone()).collect();
            let held = worker.held_by_others(calls).await.map_err(|error| error.chain());
            for Question { call, answer } in asked.drain(..) {
                let is_held = held.as_ref().map(|held| held.contains(&call)).map_err(Clone::clone);
                // The delivery may have ended meanwhile.
                let _ = answer.send(is_held);
            }
        }
    });
    until_shutdown.await;
}

impl Worker {
    async fn held_by_others(&self, calls: Vec<CallId>) -> Result<HashSet<CallId>> {
        let peers = self.slots.peers();
        let mut silent = peers.others();
        let mut held = HashSet::new();
        if silent.is_empty() {
            return Ok(held);
        }
        let mut answers = self.bus.workers.holders(&CallsOfWorker { worker: peers.id().to_owned(), calls }).await?;
        let give_up = Instant::now() + ANSWER_TIMEOUT;
        while !silent.is_empty() {
            if Instant::now() >= give_up {
                if self.bus.connection.connected_for() < ANSWER_TIMEOUT {
                    return Err(Error::unavailable(format!("{} other queue-workers do not answer", silent.len())));
                }
                warn!(workers = ?silent, "other queue-workers do not answer and count as gone; their calls may run twice");
                break;
            }
            answers.ask().await?;
            let ask_again = Instant::now() + ASK_AGAIN_INTERVAL;
            while let Ok(answer) = timeout_at(ask_again, answers.next()).await {
                let answer = answer.ok_or_else(|| Error::unavailable("the connection is closed"))?;
                silent.remove(&answer.worker);
                held.extend(answer.calls);
                if silent.is_empty() {
                    break;
                }
            }
            // One that is gone has no answer.
            silent.retain(|worker| peers.has(worker));
        }
        Ok(held)
    }
}

/// Answers the questions of other workers until the last call of this one has ended.
pub(crate) async fn answer(worker: Arc<Worker>) {
    let until_shutdown = worker.gone.run_until_cancelled(async {
        loop {
            if let Err(error) = worker.answer_questions().await {
                warn!(error = error.chain(), "cannot subscribe to questions of other queue-workers; trying again");
            }
            sleep(RETRY_DELAY).await;
        }
    });
    until_shutdown.await;
}

impl Worker {
    async fn answer_questions(&self) -> Result<()> {
        let own_id = self.slots.peers().id();
        let mut questions = pin!(self.bus.workers.holders_questions().await?);
        while let Some(mut question) = questions.next().await {
            if question.asked.worker == own_id {
                continue;
            }
            let other_goes_first = question.asked.worker.as_str() < own_id;
            let calls = self.held.held_of(std::mem::take(&mut question.asked.calls), other_goes_first);
            let held = CallsOfWorker { worker: own_id.to_owned(), calls };
            if let Err(error) = self.bus.workers.answer_holders(question, &held).await {
                debug!(error = error.chain(), "a question of another queue-worker was not answered");
            }
        }
        Ok(())
    }
}
