//! Events of calls as they happen. Stored messages are published too, so subscribers receive them, and nothing extra is stored.

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use futures_util::{
    Stream, StreamExt,
    stream::{SelectAll, select_all},
};
use skep_protocol::{CallEvent, CallId, CallNews, CallStatus, CallbackTry, FunctionName, timeline};

use crate::{Calls, Error, Result, queue::relocate::Why, wire};

impl Calls {
    /// Something each time that a step of a call is about to be stored.
    pub async fn changes_of(&self, id: &CallId) -> Result<impl Stream<Item = ()> + use<>> {
        let subjects = [
            self.nats.subjects.invoke_by_id(id),
            self.nats.subjects.backlog_by_id(id),
            self.nats.subjects.delayed_by_id(id),
            self.nats.subjects.record_by_id(id),
        ];
        Ok(self.subscribe_all(&subjects).await?.map(|_| ()))
    }

    /// Events of all calls, or of one function's calls, from now on. They include messages that a stream refuses afterwards.
    pub async fn news(&self, function: Option<&FunctionName>) -> Result<impl Stream<Item = CallNews> + use<>> {
        let subjects = [
            self.nats.subjects.invoke_of(function),
            function
                .map_or_else(|| self.nats.subjects.backlog_all(), |function| self.nats.subjects.backlog_of(function)),
            self.nats.subjects.delayed_of(function),
            self.nats.subjects.record_all(),
            self.nats.subjects.callback_try_all(),
        ];
        let function = function.map(FunctionName::to_string);
        let news = self.subscribe_all(&subjects).await?.filter_map(async |message| news_of(&message));
        Ok(news.filter(move |news| {
            let is_wanted = function.as_ref().is_none_or(|function| *function == news.function);
            async move { is_wanted }
        }))
    }

    async fn subscribe_all(&self, subjects: &[String]) -> Result<SelectAll<Subscriber>> {
        let mut subscriptions = Vec::new();
        for subject in subjects {
            subscriptions.push(self.nats.client.subscribe(subject.clone()).await.map_err(Error::unavailable)?);
        }
        self.nats.client.flush().await.map_err(Error::unavailable)?;
        Ok(select_all(subscriptions))
    }
}

fn news_of(message: &Message) -> Option<CallNews> {
    let headers = message.headers.as_ref()?;
    let mut tokens = message.subject.split('.').skip(1);
    let status = match tokens.next()? {
        "calls" => wire::read_record(headers, Bytes::new()).ok()?.status,
        "delayed" => {
            let call = wire::read_call(headers, Bytes::new()).ok()?;
            // A lease says nothing new of its call.
            let is_lease = wire::text(headers, wire::PARKED) == Some(Why::Lease.as_str());
            (!is_lease).then(|| call.status())?
        }
        "invoke" => {
            let call = wire::read_call(headers, Bytes::new()).ok()?;
            // One that has waited was announced when it began to, and one that comes back to its lane when it came there first.
            let is_new = call.last_attempt.is_none() && call.run_at.is_none() && call.interruptions == 0;
            (is_new || !call.history.is_empty()).then(|| call.status())?
        }
        // What comes from a lane is known already.
        "backlog" => {
            wire::text(headers, wire::SUBMITTED)?;
            wire::read_call(headers, Bytes::new()).ok()?.status()
        }
        "tries" => {
            let one: CallbackTry = serde_json::from_slice(&message.payload).ok()?;
            let call_id = tokens.next()?.parse().ok()?;
            let function = wire::text(headers, wire::FUNCTION)?.to_owned();
            return Some(CallNews { call_id, function, event: CallEvent::of_try(&one) });
        }
        _ => return None,
    };
    let event = timeline(&status, &[]).pop()?;
    let CallStatus { call_id, function, .. } = status;
    Some(CallNews { call_id, function, event })
}
