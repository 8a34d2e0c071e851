//! One asynchronous call as it waits on the bus.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use skep_trace::Context;
use time::OffsetDateTime;
use url::Url;

use crate::{
    BurstKey, CallBody, CallId, CallState, CallStatus, Fingerprint, FunctionName, HeadersTooLarge, Occurrence,
    PastAttempt, PastEnd, check_headers, headers, hops, set_hops,
};

/// About what the queue adds to a call: its subject, skep's own headers, and the frame of a message on the disk.
const OWN_BYTES: usize = 300;

/// An accepted call: the caller's raw body, and everything else that the function or the callback needs.
#[derive(Clone, Debug)]
pub struct Call {
    pub call_id: CallId,
    pub function: FunctionName,
    /// The verb the caller used; the function gets `POST`, as the contract says.
    pub method: http::Method,
    /// The raw path after the function's name: empty, or starting with `/`.
    pub path: String,
    /// The raw query without `?`.
    pub query: Option<String>,
    /// The caller's headers, hop-by-hop ones removed.
    pub headers: HeaderMap,
    pub body: CallBody,
    pub callback: Option<Url>,
    /// It is a step of several: if it succeeds, the callback's function gets the answer, and that one's answer goes to the first of these, and so on.
    pub steps: Option<Vec<Url>>,
    /// Whether its caller has shown a token that may call the function that the callback names.
    pub callback_authorized: bool,
    pub accepted_at: OffsetDateTime,
    /// Whether the caller chose the id: then the same call may be submitted again after it has finished.
    pub has_callers_id: bool,
    /// What it was first asked for; none where skep made the id, and in calls of an older version.
    pub fingerprint: Option<Fingerprint>,
    /// When the caller wants it to run; `None` is at once.
    pub run_at: Option<OffsetDateTime>,
    /// It waits for later events, which replace it, and these are its burst's.
    pub burst: Option<BurstKey>,
    /// It is of a schedule, and it is decided when it comes due whether it runs.
    pub occurrence: Option<Occurrence>,
    /// It waits in a lane for functions that are called very often; this counts only where it is stored first.
    pub in_bulk: bool,
    /// What holds in place of its function's annotations on retries; of several steps, for the last one.
    pub retry: BTreeMap<String, String>,
    /// How often its next attempt was begun and came to no end, as far as a lease shows. A worker may still run it.
    pub interruptions: u64,
    /// What came of the attempt before, if there was one.
    pub last_attempt: Option<LastAttempt>,
    /// How it ended before it was sent on its way again.
    pub history: Vec<PastEnd>,
    /// The span that put it into the queue: its attempts are children of that.
    pub trace: Option<Context>,
}

/// An attempt that is to be followed by another one.
#[derive(Clone, Debug, PartialEq)]
pub struct LastAttempt {
    /// Counted from 1.
    pub number: u64,
    /// HTTP status of the answer, if there was one.
    pub status: Option<u16>,
    pub reason: String,
    /// When the next one is due.
    pub next_at: OffsetDateTime,
    /// What is shown of all attempts so far, including this one.
    pub past: Vec<PastAttempt>,
}

/// A caller's headers that come back with the callback, as [`headers::SKEP_CALLBACK_HEADERS`] asks for.
///
/// Those of one hop do not, nor those that [stay behind](headers::stays_behind).
/// [`headers::SKEP_LOCAL_CALLER`] is added where the call came from this machine; [`headers::SKEP_OWN_EVENT`] stays with the callback.
pub fn returned_headers(given: &HeaderMap) -> HeaderMap {
    let mut returned = HeaderMap::new();
    let asked = given.get_all(headers::SKEP_CALLBACK_HEADERS).iter();
    for name in asked.filter_map(|names| names.to_str().ok()).flat_map(|names| names.split(',')) {
        let Ok(name) = name.trim().parse::<HeaderName>() else { continue };
        if !headers::stays_behind(&name) && !returned.contains_key(&name) {
            returned.extend(given.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
        }
    }
    headers::remove_hop_by_hop(&mut returned);
    for of_the_request in [header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE, header::EXPECT] {
        returned.remove(of_the_request);
    }
    // A callback leads on from the call.
    if let Some(hops) = hops(given) {
        set_hops(&mut returned, hops);
    }
    if is_from_this_machine(given) {
        returned.insert(headers::SKEP_LOCAL_CALLER, HeaderValue::from_static("true"));
    }
    if given.contains_key(headers::SKEP_OWN_EVENT) {
        returned.insert(headers::SKEP_OWN_EVENT, HeaderValue::from_static("true"));
    }
    returned
}

/// Whether no other machine has a part in it: the gateway writes down who called it, and a proxy for whom it asks.
fn is_from_this_machine(given: &HeaderMap) -> bool {
    let mut hops = given.get_all(headers::FORWARDED_FOR).iter();
    let is_direct = match (hops.next(), hops.next()) {
        (Some(only), None) => is_loopback(only),
        (Some(_), Some(_)) => false,
        // What was published came through no gateway, but from somebody whom NATS knows.
        (None, _) => !given.contains_key(headers::START_TIME),
    };
    is_direct && !given.contains_key(header::FORWARDED)
}

impl Call {
    /// A call that is to run at once, with an empty `POST` request.
    pub fn new(call_id: CallId, function: FunctionName, accepted_at: OffsetDateTime) -> Self {
        Self {
            call_id,
            function,
            method: http::Method::POST,
            path: String::new(),
            query: None,
            headers: HeaderMap::new(),
            body: CallBody::empty(),
            callback: None,
            steps: None,
            callback_authorized: false,
            accepted_at,
            has_callers_id: false,
            fingerprint: None,
            run_at: None,
            burst: None,
            in_bulk: false,
            occurrence: None,
            retry: BTreeMap::new(),
            interruptions: 0,
            last_attempt: None,
            history: Vec::new(),
            trace: None,
        }
    }

    /// Its headers that come back with the callback, if there is one.
    pub fn returned_headers(&self) -> HeaderMap {
        self.callback.as_ref().map(|_| returned_headers(&self.headers)).unwrap_or_default()
    }

    /// Checks that what the caller says beside the body may be stored.
    pub fn check_headers(&self) -> Result<(), HeadersTooLarge> {
        check_headers(&self.headers, &self.path, self.query.as_deref(), self.callback.as_ref())
    }

    /// Its state while it is queued.
    pub fn status(&self) -> CallStatus {
        let accepted = CallStatus::accepted(self.call_id.clone(), self.function.to_string(), self.accepted_at);
        let last = self.last_attempt.as_ref();
        CallStatus {
            callback_url: self.callback.clone(),
            steps: self.steps.clone(),
            // A last step takes it from its own message.
            retry: self.steps.as_ref().map(|_| self.retry.clone()).unwrap_or_default(),
            callback_authorized: self.callback_authorized,
            fingerprint: self.fingerprint.clone(),
            attempts: self.attempts(),
            status: last.and_then(|last| last.status),
            reason: last.map(|last| last.reason.clone()),
            run_at: self.run_at,
            past_attempts: last.map(|last| last.past.clone()).unwrap_or_default(),
            history: self.history.clone(),
            trace: self.trace.clone(),
            ..accepted
        }
    }

    /// Its state while it waits for its time.
    pub fn waiting_status(&self) -> CallStatus {
        let state = if self.last_attempt.is_some() { CallState::Retrying } else { CallState::Scheduled };
        CallStatus { state, next_attempt_at: self.due_at(), ..self.status() }
    }

    /// Attempts that have been made.
    pub fn attempts(&self) -> u64 {
        self.last_attempt.as_ref().map_or(0, |last| last.number)
    }

    /// When the next attempt is due, if it is not at once.
    pub fn due_at(&self) -> Option<OffsetDateTime> {
        self.last_attempt.as_ref().map_or(self.run_at, |last| Some(last.next_at))
    }

    /// About what it takes in the queue, in bytes; a body that is stored apart does not count.
    pub fn queued_bytes(&self) -> u64 {
        let headers: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 9).sum();
        let path = self.path.len() + self.query.as_ref().map_or(0, String::len);
        (self.body.in_message().len() + headers + path + OWN_BYTES) as u64
    }

    /// How long it could have run by now.
    pub fn age(&self, now: OffsetDateTime) -> Duration {
        let wanted_at = self.run_at.unwrap_or(self.accepted_at).max(self.accepted_at);
        (now - wanted_at).try_into().unwrap_or_default()
    }
}

fn is_loopback(address: &HeaderValue) -> bool {
    let address = address.to_str().ok().and_then(|text| text.trim().parse::<IpAddr>().ok());
    address.is_some_and(|address| address.to_canonical().is_loopback())
}
