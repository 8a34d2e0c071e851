//! Which queue-workers there are, and which calls they hold. They publish it to each other; nothing is stored.

use std::sync::Arc;

use async_nats::Subscriber;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use skep_protocol::CallId;

use crate::{Connection, Error, Result, Workers};

/// Calls of a worker: those it asks the others about, or those of them that the other one holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct CallsOfWorker {
    /// The id of the worker that speaks.
    pub worker: String,
    pub calls: Vec<CallId>,
}

/// A question that another worker asks all workers: which of these calls do you hold?
#[derive(Debug)]
pub struct HoldersQuestion {
    pub asked: CallsOfWorker,
    reply: async_nats::Subject,
}

/// The answers to a question about who holds calls.
pub struct HoldersAnswers {
    nats: Arc<Connection>,
    inbox: String,
    answers: Subscriber,
    question: Vec<u8>,
}

impl Workers {
    /// Says that a worker is there.
    pub async fn heartbeat(&self, id: &str) -> Result<()> {
        self.nats.client.publish(self.nats.subjects.workers(), id.to_owned().into()).await.map_err(Error::unavailable)
    }

    /// The ids of workers, each time they say that they are there.
    pub async fn heartbeats(&self) -> Result<impl Stream<Item = String> + use<>> {
        let messages = self.nats.client.subscribe(self.nats.subjects.workers()).await.map_err(Error::unavailable)?;
        Ok(messages.map(|message| String::from_utf8_lossy(&message.payload).into_owned()))
    }

    /// Questions of all workers about calls, from now on.
    pub async fn holders_questions(&self) -> Result<impl Stream<Item = HoldersQuestion> + use<>> {
        let asked = self.nats.client.subscribe(self.nats.subjects.holders()).await.map_err(Error::unavailable)?;
        Ok(asked.filter_map(async |message| Some(HoldersQuestion { asked: read(&message)?, reply: message.reply? })))
    }

    /// Answers a question with the calls that this worker holds.
    pub async fn answer_holders(&self, question: HoldersQuestion, held: &CallsOfWorker) -> Result<()> {
        let answer = serde_json::to_vec(held).map_err(Error::unavailable)?;
        self.nats.client.publish(question.reply, answer.into()).await.map_err(Error::unavailable)
    }

    /// Prepares a question to all workers; [`HoldersAnswers::ask`] sends it.
    pub async fn holders(&self, question: &CallsOfWorker) -> Result<HoldersAnswers> {
        let question = serde_json::to_vec(question).map_err(Error::unavailable)?;
        let inbox = self.nats.client.new_inbox();
        let answers = self.nats.client.subscribe(inbox.clone()).await.map_err(Error::unavailable)?;
        Ok(HoldersAnswers { nats: Arc::clone(&self.nats), inbox, answers, question })
    }
}

impl HoldersAnswers {
    /// Sends the question; it may be sent again, because a worker that is about to reconnect did not get it.
    pub async fn ask(&self) -> Result<()> {
        let (subject, question) = (self.nats.subjects.holders(), self.question.clone());
        let asked = self.nats.client.publish_with_reply(subject, self.inbox.clone(), question.into());
        asked.await.map_err(Error::unavailable)
    }

    /// The next answer of any worker; `None` when the connection is closed.
    pub async fn next(&mut self) -> Option<CallsOfWorker> {
        loop {
            if let Some(answer) = read(&self.answers.next().await?) {
                return Some(answer);
            }
        }
    }
}

fn read<T: DeserializeOwned>(message: &async_nats::Message) -> Option<T> {
    serde_json::from_slice(&message.payload).ok()
}
