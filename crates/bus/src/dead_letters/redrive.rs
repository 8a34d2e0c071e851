//! Redriving a dead letter, with the same call id.
//!
//! The dead letter is deleted last. A crash in between leaves it, and redriving it again still makes one call.

use async_nats::{HeaderMap as NatsHeaders, jetstream::message::StreamMessage};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use skep_protocol::{
    Call, CallRecord, CallState, CallbackTarget, DeadKind, DefaultNamespace, FunctionName, headers as names,
    parse_callback,
};
use skep_trace::Context;
use time::OffsetDateTime;
use url::Url;

use crate::{
    Connection, DeadLetter, DeadLetters, Error, Outcomes, Result, Submitted, calls::records, client::clock, fit,
    inbound::published, queue::parked, wire,
};

/// The number of earlier ends that a call remembers.
const MAX_ENDS: usize = 10;

/// What is changed of a request before it is sent again.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    pub body: Option<Bytes>,
    pub path: Option<String>,
    /// An empty one takes the query away.
    pub query: Option<String>,
    /// Headers to set, or with `None` to remove.
    pub headers: Vec<(HeaderName, Option<HeaderValue>)>,
}

/// What became of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redriven {
    /// The call is queued, and the dead letter is gone.
    Sent,
    /// The call was queued before, exactly as asked for now; the dead letter is gone now, too.
    UnderWay,
    /// An earlier redrive queued a different request; the dead letter stays.
    Otherwise,
    /// The call has come to another end meanwhile; the dead letter stays.
    Ended(CallState),
    /// It cannot be sent as it is; the dead letter stays.
    Impossible(String),
}

impl DeadLetters {
    /// Queues a dead letter again, in this trace. `may_call` says which functions the caller may call.
    pub async fn redrive(
        &self,
        letter: &DeadLetter,
        edit: Edit,
        trace: Option<Context>,
        may_call: impl Fn(&FunctionName) -> bool,
    ) -> Result<Redriven> {
        let has_other_body = edit.body.is_some();
        let may_call_back = |callback: Option<&Url>| {
            callback.and_then(|url| self.function_called_back(url)).is_some_and(|function| may_call(&function))
        };
        let sent = match letter.info.kind {
            DeadKind::Call => self.redrive_call(letter, edit, trace, may_call_back).await?,
            DeadKind::Callback => self.redrive_callback(letter, trace, may_call_back).await?,
        };
        if matches!(sent, Redriven::Sent | Redriven::UnderWay) {
            self.remove(letter.info.sequence).await?;
            if has_other_body {
                self.discard_body_of(letter);
            }
        }
        Ok(sent)
    }

    /// The function that a callback calls.
    fn function_called_back(&self, callback: &Url) -> Option<FunctionName> {
        match CallbackTarget::of(callback, self.nats.default_namespace()) {
            Ok(CallbackTarget::Function { name, .. }) => Some(name),
            Ok(CallbackTarget::Web | CallbackTarget::Subject(_)) | Err(_) => None,
        }
    }

    async fn redrive_call(
        &self,
        letter: &DeadLetter,
        edit: Edit,
        trace: Option<Context>,
        may_call_back: impl Fn(Option<&Url>) -> bool,
    ) -> Result<Redriven> {
        let mut call = match call_of(letter, self.nats.default_namespace()) {
            Ok(call) => Call { trace, ..edit.apply(call) },
            Err(reason) => return Ok(Redriven::Impossible(reason)),
        };
        call.callback_authorized |= may_call_back(call.callback.as_ref());
        let headers = wire::call_headers(&call);
        // Before anything is taken away.
        call.check_headers().map_err(Error::HeadersTooLarge)?;
        fit::check(&headers, call.body.in_message(), self.nats.largest_message())?;
        let id = &call.call_id;
        let (record, queued, delayed) =
            tokio::try_join!(self.nats.find_record(id), self.nats.find_queued(id), self.nats.find_delayed(id))?;
        let state = record.as_ref().map(records::read).transpose()?.map(|record| record.status.state);
        match plan(state, !queued.is_empty() || delayed.is_some()) {
            Plan::Leave(state) => return Ok(Redriven::Ended(state)),
            Plan::Compare => {
                return under_way(&call, queued.first().map(|queued| &queued.message).or(delayed.as_ref()));
            }
            Plan::Send => {}
        }
        // What is left of the call that died; its record goes last, because it decides.
        for queued in &queued {
            self.nats.remove_queued(queued).await?;
        }
        for (stream, message) in [("DELAYED", delayed), ("CALLS", record)] {
            if let Some(message) = message {
                self.nats.remove_message(stream, message.sequence).await?;
            }
        }
        let subject = self.nats.subjects.invoke(&call.function, id);
        match self.nats.publish_once(subject, headers, call.body.in_message().clone()).await? {
            Submitted::Accepted => {
                self.nats.ledger.note(&call);
                Ok(Redriven::Sent)
            }
            Submitted::Duplicate => {
                let queued = self.nats.find_queued(id).await?;
                under_way(&call, queued.first().map(|queued| &queued.message))
            }
        }
    }

    /// The record is the entry of the outbox, so it is stored once more.
    async fn redrive_callback(
        &self,
        letter: &DeadLetter,
        trace: Option<Context>,
        may_call_back: impl Fn(Option<&Url>) -> bool,
    ) -> Result<Redriven> {
        let mut record: CallRecord = match wire::read_record(&letter.headers, letter.body.clone()) {
            Ok(record) => record,
            Err(reason) => return Ok(Redriven::Impossible(reason)),
        };
        record.status.trace = trace;
        record.status.callback_authorized |= may_call_back(record.status.callback_url.as_ref());
        if let Some(old) = self.nats.find_record(&record.status.call_id).await? {
            self.nats.remove_message("CALLS", old.sequence).await?;
        }
        Ok(match Outcomes::over(&self.nats).store_record_again(&record).await? {
            Submitted::Accepted => Redriven::Sent,
            Submitted::Duplicate => Redriven::UnderWay,
        })
    }

    /// The request of a call's dead letter, to be shown.
    pub fn request_of(&self, letter: &DeadLetter) -> Result<Call> {
        call_of(letter, self.nats.default_namespace())
            .map_err(|reason| Error::Unreadable { subject: letter.info.call_id.to_string(), reason })
    }
}

impl Connection {
    pub(crate) async fn find_record(&self, id: &skep_protocol::CallId) -> Result<Option<StreamMessage>> {
        records::find(&self.streams.calls, self.subjects.record_by_id(id)).await
    }
}

/// The call that a dead letter holds, as if it was new, but for its history.
fn call_of(letter: &DeadLetter, namespace: &DefaultNamespace) -> Result<Call, String> {
    if wire::text(&letter.headers, wire::LEFT_OUT).is_some() {
        return Err("its headers are not kept, because they did not fit into the letter".to_owned());
    }
    let now = clock::now();
    let mut call = match wire::text(&letter.headers, wire::CALL_ID) {
        Some(_) => wire::read_call(&without_end(&letter.headers), letter.body.clone())?,
        None => published_call(letter, namespace, now)?,
    };
    call.history.push(letter.info.past());
    let too_many = call.history.len().saturating_sub(MAX_ENDS);
    call.history.drain(..too_many);
    // Its age counts from now on, and an id that comes again is looked up.
    Ok(Call { run_at: Some(now), interruptions: 0, last_attempt: None, burst: None, has_callers_id: true, ..call })
}

/// Published work that never became a call.
fn published_call(letter: &DeadLetter, namespace: &DefaultNamespace, now: OffsetDateTime) -> Result<Call, String> {
    let function: FunctionName = namespace.function(&letter.info.function).map_err(|error| error.to_string())?;
    let mut headers = published::publishers_headers(Some(&without_end(&letter.headers)));
    skep_trace::remove(&mut headers);
    let callback = headers.get(names::CALLBACK_URL).and_then(|url| url.to_str().ok());
    let fingerprint = Some(published::fingerprint(&function, &headers, &letter.body));
    Ok(Call {
        callback: callback.map(|url| parse_callback(url, namespace)).transpose()?,
        callback_authorized: true,
        headers,
        body: letter.body.clone().into(),
        has_callers_id: true,
        fingerprint,
        ..Call::new(letter.info.call_id.clone(), function, now)
    })
}

/// What a redrive does about the call that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// It has another end than the dead letter.
    Leave(CallState),
    /// It is under way, perhaps by an earlier redrive.
    Compare,
    /// What is left of the call that died is removed, and the call is queued.
    Send,
}

/// `waits` says whether a message of the call waits to be run.
fn plan(record: Option<CallState>, waits: bool) -> Plan {
    match record {
        Some(CallState::Dead) => Plan::Send,
        Some(state) => Plan::Leave(state),
        None if waits => Plan::Compare,
        None => Plan::Send,
    }
}

/// What a call that is under way means for a redrive: nothing is left to do if it is the same request.
fn under_way(wanted: &Call, message: Option<&StreamMessage>) -> Result<Redriven> {
    // One that has gone from there in this moment has been taken up.
    let Some(found) = message.map(parked::read).transpose()? else { return Ok(Redriven::UnderWay) };
    let request = |call: &Call| (call.path.clone(), call.query.clone(), call.headers.clone(), call.body.clone());
    Ok(if request(&found) == request(wanted) { Redriven::UnderWay } else { Redriven::Otherwise })
}

impl Edit {
    fn apply(self, mut call: Call) -> Call {
        if let Some(body) = self.body {
            call.body = body.into();
        }
        if let Some(path) = self.path {
            call.path = path;
        }
        if let Some(query) = self.query {
            call.query = Some(query).filter(|query| !query.is_empty());
        }
        edit_headers(&mut call.headers, self.headers);
        call
    }
}

fn edit_headers(headers: &mut HeaderMap, edits: Vec<(HeaderName, Option<HeaderValue>)>) {
    for (name, value) in edits {
        match value {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        }
    }
}

/// The original message: without what the dead letter says of its end.
fn without_end(headers: &NatsHeaders) -> NatsHeaders {
    let of_the_end = [wire::REASON, wire::ATTEMPTS, wire::LAST_STATUS, wire::NEXT_AT, wire::LAST_ANSWER];
    fit::without(headers, |name| of_the_end.contains(&name))
}

#[cfg(test)]
mod tests;
