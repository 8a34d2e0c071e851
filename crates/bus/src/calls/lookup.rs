//! Whether calls have a message in a stream. Lookups at about the same time share one request.
//!
//! Deliveries arrive in groups, and a request for each would cost the server as much as delivering them.

use std::collections::HashSet;

use async_nats::{Client, StatusCode, header::NATS_SUBJECT};
use futures_util::StreamExt;
use serde::Serialize;
use skep_protocol::CallId;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{Error, Result, client::connect::REQUEST_TIMEOUT};

/// Calls of one request; the messages that there are come with their bodies.
const MAX_TOGETHER: usize = 64;
/// Calls that may wait to be looked up; others wait for room.
const MAX_WAITING: usize = 1024;

/// What the server says when no message is there, and after the last one (NATS ADR-31).
pub(crate) const NOT_FOUND: u16 = 404;
pub(crate) const END: u16 = 204;
/// How many more it has then: where they are large it ends before the last one, and what it does not say is asked for again.
pub(crate) const LEFT: &str = "Nats-Num-Pending";

/// The way to ask. Its task ends with the last handle on it.
#[derive(Clone)]
pub(crate) struct Lookup(mpsc::Sender<Question>);

/// Where the messages are.
struct Place<Subject> {
    client: Client,
    stream: String,
    /// The subject, or the subjects, of a call by its id, which is the last token.
    subject: Subject,
}

struct Question {
    call_id: CallId,
    answer: oneshot::Sender<Result<bool>>,
}

/// The last message of each of these subjects (NATS ADR-31).
#[derive(Serialize)]
struct LastOfEach {
    multi_last: Vec<String>,
}

impl Lookup {
    pub(crate) fn start<Subject>(client: Client, stream: String, subject: Subject) -> Self
    where
        Subject: Fn(&CallId) -> String + Send + Sync + 'static,
    {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        // Nobody awaits its end: it only answers callers who wait.
        tokio::spawn(run(Place { client, stream, subject }, receiver));
        Self(sender)
    }

    /// Whether a call has a message there.
    pub(crate) async fn has(&self, call_id: &CallId) -> Result<bool> {
        let (answer, answered) = oneshot::channel();
        let question = Question { call_id: call_id.clone(), answer };
        let closed = || Error::unavailable("the connection is closed");
        self.0.send(question).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }
}

async fn run<Subject>(place: Place<Subject>, mut questions: mpsc::Receiver<Question>)
where
    Subject: Fn(&CallId) -> String,
{
    let mut asked = Vec::new();
    while questions.recv_many(&mut asked, MAX_TOGETHER).await > 0 {
        let found = place.find(&asked).await.map_err(|error| error.chain());
        for Question { call_id, answer } in asked.drain(..) {
            let ended = found.as_ref().map(|found| found.contains(call_id.as_str()));
            // The caller may be gone.
            let _ = answer.send(ended.map_err(|reason| Error::unavailable(reason.clone())));
        }
    }
}

impl<Subject: Fn(&CallId) -> String> Place<Subject> {
    /// The ids of those that have a message.
    async fn find(&self, asked: &[Question]) -> Result<HashSet<String>> {
        let mut found = HashSet::new();
        loop {
            let known = found.len();
            let open = asked.iter().map(|question| &question.call_id).filter(|id| !found.contains(id.as_str()));
            let open: Vec<_> = open.map(&self.subject).collect();
            if open.is_empty() {
                return Ok(found);
            }
            let finding = self.find_once(open, &mut found);
            if timeout(REQUEST_TIMEOUT, finding).await.map_err(Error::unavailable)?? {
                return Ok(found);
            }
            if found.len() == known {
                return Err(Error::unavailable("calls cannot be looked up: the server tells none of those it has"));
            }
        }
    }

    /// Adds the ids of those that have a message, and returns whether these are all.
    async fn find_once(&self, multi_last: Vec<String>, found: &mut HashSet<String>) -> Result<bool> {
        let request = serde_json::to_vec(&LastOfEach { multi_last }).map_err(Error::unavailable)?;
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.map_err(Error::unavailable)?;
        let api = format!("$JS.API.DIRECT.GET.{}", self.stream);
        self.client.publish_with_reply(api, inbox, request.into()).await.map_err(Error::unavailable)?;
        while let Some(message) = answers.next().await {
            match message.status.as_ref().map(StatusCode::as_u16) {
                None => {
                    let subject = message.headers.as_ref().and_then(|headers| headers.get(NATS_SUBJECT));
                    found.extend(subject.and_then(|subject| subject.as_str().rsplit('.').next()).map(str::to_owned));
                }
                Some(NOT_FOUND) => return Ok(true),
                Some(END) => {
                    let left = message.headers.as_ref().and_then(|headers| headers.get(LEFT));
                    return Ok(left.is_some_and(|left| left.as_str() == "0"));
                }
                Some(status) => return Err(refused(status, message.description.as_deref())),
            }
        }
        Err(Error::unavailable("the connection is closed"))
    }
}

fn refused(status: u16, description: Option<&str>) -> Error {
    Error::unavailable(format!("calls cannot be looked up: {status} {}", description.unwrap_or_default()))
}
