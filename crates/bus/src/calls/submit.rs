//! Accepting a call: one durable message.

use std::time::Duration;

use async_nats::HeaderMap as NatsHeaders;
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderValue, header};
use skep_backoff::Backoff;
use skep_protocol::{Call, CallId, CallStatus, FunctionName, headers, without_credentials};
use tokio::time::{Instant, sleep};
use tracing::debug;
use url::Url;

use crate::{
    Bodies, Calls, Connection, Error, Result, calls::lookup::Lookup, client::clock, client::connect::REQUEST_TIMEOUT,
    publish::Message, publish::stalled::STORES_NOTHING, wire,
};

/// A cluster that has lost a server takes some seconds to agree on who leads a stream.
pub(crate) const ELECTION_TIMEOUT: Duration = Duration::from_secs(20);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));

/// What became of a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    Accepted,
    /// This call is waiting, running or recorded; it runs once.
    Duplicate,
}

impl Calls {
    /// Stores a call and returns when the server has acknowledged it, and not before.
    ///
    /// A server that is reachable and does not store it is tried again for a while, because a stream may be recreated or a cluster may elect a new leader.
    pub async fn submit(&self, call: &Call) -> Result<Submitted> {
        self.submit_call(call, false).await
    }

    /// The same of a call whose id follows from what it is for and from its function, as that of an event's route does. Most are new, and are looked up together.
    ///
    /// Nothing is looked up where nobody can have submitted it before.
    pub async fn submit_derived(&self, call: &Call, is_first: bool) -> Result<Submitted> {
        let is_new = call.run_at.is_none() && (is_first || !self.may_be_known(&call.call_id, call.in_bulk).await?);
        self.submit_call(call, is_new).await
    }

    /// Whether a call has ended, or waits somewhere; one that is in its own lane is found when it is stored there.
    ///
    /// What happens meanwhile does no harm: each delivery of a call with a caller's id is looked up before it runs.
    pub(crate) async fn may_be_known(&self, id: &CallId, in_bulk: bool) -> Result<bool> {
        let mut places = vec![&self.nats.recorded, &self.nats.parked, &self.nats.in_backlog];
        if in_bulk {
            // A further attempt may be in the lane of its function.
            places.push(&self.nats.in_lanes);
        }
        is_in_any(places, id).await
    }

    /// Whether a call has a message in any queue.
    pub(crate) async fn has_message(&self, id: &CallId) -> Result<bool> {
        // What is due goes to its lane next, so it is not missed there.
        Ok(self.nats.parked.has(id).await? || is_in_any(vec![&self.nats.in_backlog, &self.nats.in_lanes], id).await?)
    }

    /// Counts a call that is submitted later, and says whether its function is called very often.
    pub fn is_often(&self, function: &FunctionName) -> bool {
        self.nats.rates.is_often(function)
    }

    async fn submit_call(&self, call: &Call, is_new: bool) -> Result<Submitted> {
        if let Err(error) = call.check_headers() {
            self.discard_own_body(call);
            return Err(Error::HeadersTooLarge(error));
        }
        let Some(admitted) = self.nats.stalled.admit() else {
            self.discard_own_body(call);
            return Err(Error::unavailable(STORES_NOTHING));
        };
        let submitted = self.submit_patiently(call, is_new).await;
        self.nats.stalled.note(admitted, !matches!(submitted, Err(Error::Unavailable(_))));
        submitted
    }

    async fn submit_patiently(&self, call: &Call, is_new: bool) -> Result<Submitted> {
        let patience = if self.nats.kept.replicas > 1 { ELECTION_TIMEOUT } else { REQUEST_TIMEOUT };
        let entry = self.entry(call);
        let is_direct = matches!(entry, Entry::Backlog);
        let (mut submitted, mut tries) = patiently(call, patience, &self.queue(call, entry, is_new)).await;
        if is_direct && tries == 1 && matches!(submitted, Err(Error::Full(_))) {
            // The backlog has no room and has refused the call, so it is stored nowhere.
            (submitted, tries) = patiently(call, patience, &self.queue(call, Entry::Lane, is_new)).await;
        }
        if matches!(submitted, Ok(Submitted::Accepted)) {
            self.nats.ledger.note(call);
        } else if tries == 1 && !matches!(submitted, Err(Error::Unavailable(_))) {
            // The call that is there has a body of its own. What was tried before may be stored, and name this one.
            self.discard_own_body(call);
        }
        submitted
    }

    /// A call as the message that it is in the queue.
    pub fn message_of(&self, call: &Call) -> (NatsHeaders, Bytes) {
        (wire::call_headers(call), call.body.in_message().clone())
    }

    /// Discards the large body of a call that is not stored, because nobody will read it.
    fn discard_own_body(&self, call: &Call) {
        if let Some(body) = call.body.stored() {
            Bodies::over(&self.nats).discard(&body.key);
        }
    }

    /// A request's headers as they are stored with its call: without its length, which is that of the stored body, without the credentials of the callback's URL, which is stored beside them, and without the caller's own where so set.
    pub fn stored_headers(&self, headers: http::HeaderMap, callback: Option<&Url>) -> http::HeaderMap {
        to_store(headers, callback, self.nats.kept.strip_credentials)
    }

    /// Where a call is stored that is to be run now.
    fn entry(&self, call: &Call) -> Entry {
        // An id that may come again has one place only, where the second call is refused.
        if call.in_bulk {
            Entry::BulkLane
        } else if call.has_callers_id {
            Entry::Lane
        } else if self.nats.backlogs.has(&call.function) {
            Entry::Backlog
        } else if self.nats.rates.is_often(&call.function) {
            Entry::BulkLane
        } else {
            Entry::Lane
        }
    }

    fn queue<'call>(&'call self, call: &'call Call, entry: Entry, is_new: bool) -> InQueue<'call> {
        InQueue { calls: self, call, entry, is_new: is_new || !call.has_callers_id }
    }

    /// Stores a call. One that may be known is looked up first, because a queue forgets what is finished.
    async fn try_submit(&self, call: &Call, entry: Entry, is_new: bool) -> Result<Submitted> {
        if !is_new && let Some(known) = self.stored_status(&call.call_id).await? {
            return same_call(call, known);
        }
        // The call of a burst waits even if its time is over, because another one may replace it.
        let waits = call.burst.is_some() || call.run_at.is_some_and(|run_at| run_at > clock::now());
        let submitted =
            if waits { self.nats.submit_delayed(call).await? } else { self.nats.store(call, entry).await? };
        if submitted == Submitted::Accepted || !call.has_callers_id {
            return Ok(submitted);
        }
        // Another one with this id came at the same moment.
        let known = self.stored_status(&call.call_id).await?;
        same_call(call, known.ok_or_else(|| Error::unavailable("a call is there and cannot be read"))?)
    }
}

impl Connection {
    /// Stores a new call that is to be run now.
    async fn store(&self, call: &Call, entry: Entry) -> Result<Submitted> {
        let (function, id) = (&call.function, &call.call_id);
        let (mut headers, body) = (wire::call_headers(call), call.body.in_message().clone());
        match entry {
            Entry::Lane => self.calls.store(self.subjects.invoke(function, id), headers, body).await,
            Entry::BulkLane => self.calls.store(self.subjects.invoke_in_bulk(function, id), headers, body).await,
            Entry::Backlog => {
                headers.insert(wire::SUBMITTED, "true");
                self.backlogged.store(self.subjects.backlog(function, id), headers, body).await
            }
        }
    }

    /// Publishes the only message of its subject.
    pub(crate) async fn publish_once(
        &self,
        subject: String,
        headers: async_nats::HeaderMap,
        body: Bytes,
    ) -> Result<Submitted> {
        let stored = self.publisher.publish(Message::only_one(subject, headers, body)).await?;
        Ok(if stored.is_some() { Submitted::Accepted } else { Submitted::Duplicate })
    }

    /// Publishes a message whose headers may name a condition, and returns its number in its stream; `None` if the condition does not hold.
    pub(crate) async fn publish(
        &self,
        subject: String,
        headers: async_nats::HeaderMap,
        body: Bytes,
    ) -> Result<Option<u64>> {
        self.publisher.publish(Message { subject, headers, body }).await
    }
}

async fn is_in_any(places: Vec<&Lookup>, id: &CallId) -> Result<bool> {
    let found = try_join_all(places.into_iter().map(|place| place.has(id))).await?;
    Ok(found.contains(&true))
}

fn to_store(mut headers: http::HeaderMap, callback: Option<&Url>, strip_credentials: bool) -> http::HeaderMap {
    headers.remove(header::CONTENT_LENGTH);
    if let Some(callback) = callback.filter(|url| !url.username().is_empty() || url.password().is_some())
        && let Ok(shown) = HeaderValue::try_from(String::from(without_credentials(callback.clone())))
    {
        headers.insert(headers::CALLBACK_URL, shown);
    }
    if strip_credentials {
        for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE] {
            headers.remove(name);
        }
    }
    headers
}

/// Where a call is stored.
trait Queue {
    async fn store(&self, is_first_try: bool) -> Result<Submitted>;

    /// Whether it is of use to try again.
    async fn is_reachable(&self) -> bool;
}

/// The queue that a new call is stored in.
#[derive(Clone, Copy)]
enum Entry {
    Lane,
    /// A lane for hot functions.
    BulkLane,
    /// The backlog of its function, behind the calls that wait there.
    Backlog,
}

struct InQueue<'call> {
    calls: &'call Calls,
    call: &'call Call,
    /// Decided once: what is sent again must meet what may have been stored before.
    entry: Entry,
    /// Nobody has submitted it before.
    is_new: bool,
}

impl Queue for InQueue<'_> {
    async fn store(&self, is_first_try: bool) -> Result<Submitted> {
        self.calls.try_submit(self.call, self.entry, is_first_try && self.is_new).await
    }

    async fn is_reachable(&self) -> bool {
        self.calls.nats.is_reachable().await
    }
}

/// Tries to store a call until the server answers, at most for this long; returns the answer, and how often it was tried.
async fn patiently(call: &Call, patience: Duration, queue: &impl Queue) -> (Result<Submitted>, u32) {
    let give_up = Instant::now() + patience;
    let mut delays = BACKOFF.delays();
    let mut tries = 0;
    loop {
        tries += 1;
        let delay = delays.next_delay();
        match queue.store(tries == 1).await {
            // It was stored before, although the answer was lost.
            Ok(Submitted::Duplicate) if tries > 1 && !call.has_callers_id => return (Ok(Submitted::Accepted), tries),
            Err(error @ Error::Unavailable(_)) => {
                if Instant::now() + delay >= give_up || !queue.is_reachable().await {
                    return (Err(error), tries);
                }
                debug!(error = error.chain(), call_id = %call.call_id, "a call cannot be stored; trying again");
            }
            answer => return (answer, tries),
        }
        sleep(delay).await;
    }
}

/// A known id may be submitted again with the same request only: another one would be another call.
pub(crate) fn same_call(call: &Call, known: CallStatus) -> Result<Submitted> {
    let is_other = match (&call.fingerprint, &known.fingerprint) {
        (Some(wanted), Some(known)) => wanted != known,
        // A call of an older version, or one whose id skep made, does not say which request it is of.
        _ => known.function != call.function.to_string(),
    };
    if is_other { Err(Error::IdInUse(known.call_id)) } else { Ok(Submitted::Duplicate) }
}

#[cfg(test)]
mod tests;
